"""A second, independent PACS: tiny-pacs (DIMSE and DICOMweb) as a process of its own.

Fixture: ``tiny_pacs_server``.  It has no ``/series`` root search, no metadata and no
frames; a second store of an instance is answered with 409.

Read next: `faulty_pacs.py`.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

TOKEN = "tiny-pacs-test-token"
AET = "TINY_PACS"


@dataclass(frozen=True)
class TinyPacs:
    """How to reach it."""

    dicomweb_url: str
    token: str
    aet: str
    dicom_port: int


@pytest.fixture(scope="session")
def tiny_pacs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyPacs]:
    """Yield a tiny-pacs that runs for the whole session."""
    if importlib.util.find_spec("tiny_pacs") is None:
        pytest.skip("tiny-pacs is not installed")
    folder = tmp_path_factory.mktemp("tiny-pacs")
    http_port, dicom_port = _free_port(), _free_port()
    server = TinyPacs(f"http://127.0.0.1:{http_port}/dicomweb", TOKEN, AET, dicom_port)
    path = folder / "config.json"
    path.write_text(json.dumps(_settings(folder, http_port, dicom_port)), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tiny_pacs", "run", "-c", str(path)],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        _await(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=10)


def _settings(folder: Path, http_port: int, dicom_port: int) -> dict[str, object]:
    return {
        "ae": {"ae_title": [AET], "port": dicom_port, "dump_ds": False},
        "components": {
            "Database": {"on": True, "db_name": str(folder / "tiny.db")},
            "Devices": {"on": True},
            "PACS": {"on": True},
            "InMemoryStorage": {"on": False},
            "FileStorage": {"on": True, "storage_dir": str(folder / "files")},
            "HttpServer": {"on": True, "port": http_port, "threads": 2},
            "DICOMWeb": {"on": True, "auth": "token", "tokens": [TOKEN]},
        },
    }


def _await(server: TinyPacs, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "application/dicom+json"}
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{server.dicomweb_url}/studies", headers=headers).status_code < 300:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    pytest.fail("tiny-pacs did not start")


def _free_port() -> int:
    with socket.socket() as item:
        item.bind(("127.0.0.1", 0))
        return int(item.getsockname()[1])
