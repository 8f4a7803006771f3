"""A worker has no network, no other files, no new processes, no secrets: layer by layer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.errors import PluginRaisedError
from plugins.host.ports import Answer
from plugins.host.runner import ReleaseWorkers
from plugins.host.sandbox import LAYERS
from tests.simulators.released_plugins import bundle, install, request_for, small_case

PROBE = """
def predict(self, case, parameters):
    import os, socket, sys
    def connect():
        socket.create_connection(("127.0.0.1", int(parameters["port"])), 2).close()
    def resolve():
        socket.getaddrinfo("localhost", 80)
    def bind():
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("127.0.0.1", 0))
    def unix():
        socket.socket(socket.AF_UNIX).connect(parameters["unix"])
    def fork():
        os.fork() or os._exit(0)
    def spawn():
        os.posix_spawn("/bin/true", ["true"], {})
    def read():
        open(parameters["secret"]).read()
    def write():
        open(parameters["secret"], "a").close()
    def parent():
        os.kill(os.getppid(), 0)
    def memory():
        open(f"/proc/{os.getppid()}/environ").read()
    def temporary():
        open("scratch", "w").close()
    probes = (connect, resolve, bind, unix, fork, spawn, read, write, parent, memory, temporary)
    done = set()
    for probe in probes:
        try:
            probe()
            done.add(probe.__name__)
        except OSError:
            pass
    found = answer(case)
    names = tuple(sorted(os.environ))
    object.__setattr__(found.uncertainty, "reasons", tuple(sorted(done)) + ("|",) + names)
    return found
"""


@pytest.fixture
def listening() -> Iterator[int]:
    """Return a port of this machine that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _probe(tmp_path: Path, port: int, layers: tuple[str, ...]) -> tuple[Answer, set[str]]:
    secret = tmp_path / "secret.key"
    secret.write_text("secret")
    path = str(tmp_path / "unix")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        digest = install(bundle(PROBE), tmp_path / "releases")
        with ReleaseWorkers(tmp_path / "releases", layers=layers) as workers:
            request = request_for(digest, port=port, secret=str(secret), unix=path)
            answer = workers.run(request, small_case())
    reasons = answer.prediction.uncertainty.reasons
    return answer, set(reasons[: reasons.index("|")])


def test_whole_sandbox(tmp_path: Path, listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all layers only the temporary folder is left, and the answer says what held."""
    monkeypatch.setenv("OSTEON_PACS_PASSWORD", "secret")
    answer, done = _probe(tmp_path, listening, LAYERS)
    names = answer.prediction.uncertainty.reasons
    assert "OSTEON_PACS_PASSWORD" not in names
    assert not [name for name in names if "PASSWORD" in name or "TOKEN" in name]
    runtime = answer.runtime
    if runtime["files"] == "unrestricted" or "seccomp" not in runtime["network"]:
        pytest.skip("this kernel has no Landlock or no seccomp filter")
    assert done == {"temporary"}


@pytest.mark.parametrize(
    ("layer", "stopped"),
    [
        ("namespace", {"connect", "resolve", "bind", "fork", "spawn"}),
        ("landlock", {"connect", "resolve", "bind", "read", "write", "memory", "fork", "spawn"}),
        ("seccomp", {"connect", "bind", "unix", "fork", "spawn", "parent"}),
        ("none", {"connect", "resolve", "bind", "fork", "spawn"}),
    ],
)
def test_each_layer_alone(tmp_path: Path, listening: int, layer: str, stopped: set[str]) -> None:
    """Each layer stops its share where the others are missing; none leaves the audit hook."""
    answer, done = _probe(tmp_path, listening, (layer,))
    runtime = answer.runtime
    held = {
        "namespace": runtime["network"] == "namespace",
        "landlock": runtime["files"].startswith("landlock/"),
        "seccomp": runtime["network"] == runtime["processes"] == "seccomp",
        "none": runtime["network"] == runtime["processes"] == "audit-hook",
    }
    if not held[layer]:
        pytest.skip(f"this kernel has no {layer}")
    assert not done & stopped
    assert "temporary" in done


def test_secrets_of_the_doors_are_out_of_reach(tmp_path: Path) -> None:
    """A plugin that wants the configuration of the doors gets an import error."""
    digest = install(
        bundle("def predict(self, case, parameters):\n    from adapters import config"), tmp_path
    )
    with (
        ReleaseWorkers(tmp_path) as workers,
        pytest.raises(PluginRaisedError, match="ModuleNotFoundError"),
    ):
        workers.run(request_for(digest), small_case())
