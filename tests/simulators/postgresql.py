"""A real PostgreSQL on loopback for the session: `postgresql_url` gives an empty database.

initdb refuses to run as root; then the server runs as the user ``postgres`` that Debian's
package makes.  Nothing outlives the session.

Read next: `tests/adapters/test_database.py`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

_PLACES = tuple(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
_USER = "osteon"


def _program(name: str) -> str | None:
    for place in _PLACES:
        if (place / name).exists():
            return str(place / name)
    return shutil.which(name)


def _as_owner(command: list[str]) -> list[str]:
    """Run as ``postgres`` when we are root, which PostgreSQL does not accept."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


def _run(*command: str) -> None:
    done = subprocess.run(_as_owner(list(command)), capture_output=True, text=True, cwd="/")
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Start a server in a temporary folder and yield the URL of its first database."""
    programs = {name: _program(name) for name in ("initdb", "pg_ctl")}
    if not all(programs.values()):
        pytest.skip("PostgreSQL (initdb, pg_ctl) is not installed")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("PostgreSQL cannot run as root, and runuser is not installed")
    folder = Path(tempfile.mkdtemp(prefix="osteon-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data, port = folder / "data", _free_port()
    initdb, pg_ctl = str(programs["initdb"]), str(programs["pg_ctl"])
    options = (
        f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} "
        "-c fsync=off -c shared_buffers=32MB -c max_connections=60"
    )
    try:
        _run(initdb, "-D", str(data), "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        _run(pg_ctl, "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
        yield f"postgresql+psycopg://{_USER}@127.0.0.1:{port}/postgres"
    finally:
        if (data / "postmaster.pid").exists():
            _run(pg_ctl, "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def beside(url: str, suffix: str) -> str:
    """Make another empty database beside one; it goes with the server."""
    import psycopg

    name = f"{url.rsplit('/', 1)[1]}{suffix}"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url + suffix


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """Yield the URL of a database that only this test uses."""
    import psycopg

    plain = postgresql_server.replace("+psycopg", "")
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield postgresql_server.rsplit("/", 1)[0] + f"/{name}"
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
