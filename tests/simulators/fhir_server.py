"""A FHIR R4 server that we did not write, and a proxy in front of it that misbehaves.

`fhir_server` (session) is Medplum's router in a Node process (`fhir/server.cjs`); every
resource is validated against the R4 StructureDefinitions.  `fhir` is that server emptied
for one test.  `fhir_faults` is a proxy before it which refuses, drops or breaks requests
as a test orders.

The packages are installed once into `.stamps/`, by the versions of `fhir/package.json`;
without node, npm or their registry the tests are skipped by name.

Read next: `fhir/server.cjs`.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

_HERE = Path(__file__).parent / "fhir"
_CACHE = Path(__file__).resolve().parents[2] / ".stamps"
_START_S = 60.0
_INSTALL_S = 300.0
# One client: making one costs more than all its requests.
_HTTP = httpx.Client(verify=False, timeout=60)


@dataclass(frozen=True)
class FhirServer:
    """The running server."""

    url: str

    def reset(self) -> None:
        """Forget every resource."""
        _HTTP.post(f"{self.url}/$reset").raise_for_status()

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return every resource of a type, as the server has it."""
        answer = _HTTP.get(f"{self.url}/{kind}", params={"_count": "1000"})
        answer.raise_for_status()
        return [item["resource"] for item in answer.json().get("entry", [])]

    def post(self, path: str, body: object) -> dict[str, Any]:
        """Post a resource or a bundle and return the answer."""
        answer = _HTTP.post(f"{self.url}/{path}", json=body)
        answer.raise_for_status()
        return dict(answer.json())

    def put(self, resource: dict[str, Any]) -> None:
        """Change a resource, as a person would."""
        path = f"{self.url}/{resource['resourceType']}/{resource['id']}"
        _HTTP.put(path, json=resource).raise_for_status()

    def get(self, path: str) -> dict[str, Any]:
        """Return the answer to a GET."""
        return dict(_HTTP.get(f"{self.url}{path}").json())

    def delete(self, resource: dict[str, Any]) -> None:
        """Lose a resource."""
        _HTTP.delete(f"{self.url}/{resource['resourceType']}/{resource['id']}").raise_for_status()

    def counts(self) -> dict[str, int]:
        """Return how many resources of each type there are that we may write."""
        kinds = ("DiagnosticReport", "Observation", "ImagingStudy", "Device", "Provenance")
        return {kind: len(self.all(kind)) for kind in (*kinds, "Patient")}


@pytest.fixture(scope="session")
def fhir_server() -> Iterator[FhirServer]:
    """The server process, for the whole session."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("FHIR server: node is not installed")
    if not _is_new_enough(node):
        pytest.skip("FHIR server: its packages need Node 20.19 or newer")
    environment = dict(os.environ, OSTEON_FHIR_MODULES=str(_modules()))
    process = subprocess.Popen(
        [node, str(_HERE / "server.cjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    try:
        yield FhirServer(f"http://127.0.0.1:{_port(process)}")
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def fhir(fhir_server: FhirServer) -> FhirServer:
    """The server, empty."""
    fhir_server.reset()
    return fhir_server


@pytest.fixture
def fhir_faults(fhir: FhirServer) -> Iterator[Proxy]:
    """A proxy before the empty server; without orders it passes everything on."""
    with Proxy(fhir.url) as proxy:
        yield proxy


def _is_new_enough(node: str) -> bool:
    """Return whether Node fulfils the `engines` of Medplum's packages."""
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    try:
        major, minor = (int(part) for part in said.strip().lstrip("v").split(".")[:2])
    except ValueError:
        return False
    return (major, minor) >= (20, 19)


def _modules() -> Path:
    """Return the folder with the packages, installed if need be; safe for parallel sessions."""
    package = _HERE / "package.json"
    folder = _CACHE / f"fhir-{hashlib.sha256(package.read_bytes()).hexdigest()[:12]}"
    if (folder / "node_modules").is_dir():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("FHIR server: npm is not installed")
    building = _CACHE / f"{folder.name}.{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    shutil.copy(package, building)
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command, cwd=building, capture_output=True, timeout=_INSTALL_S, check=False
        )
        if done.returncode:
            pytest.skip("FHIR server: its npm packages cannot be installed here")
        if not folder.exists():
            building.rename(folder)
    except subprocess.TimeoutExpired:
        pytest.skip("FHIR server: installing its npm packages took too long")
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([process.stdout], [], [], 0.1)[0]:
            words = process.stdout.readline().split()
            if words[:1] == ["listening"]:
                return int(words[1])
    raise RuntimeError("expected the FHIR server to listen, found none")


@dataclass(frozen=True)
class Seen:
    """One request that came to the proxy."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What the proxy answers instead of the server; ``hang_s`` keeps the client waiting."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    close: bool = False


_PASSED = ("content-type", "accept", "if-match", "if-none-exist")
Order = Callable[[Seen], "Reply | bytes | None"]


class Proxy:
    """Passes requests on, but first asks its orders.

    An order gets the request and returns a `Reply` to answer itself, other body bytes to
    pass on in place of the sent ones, or None to pass on what came.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.seen: list[Seen] = []
        self.order: Order = self.pass_on
        self._stopped = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy.answer(self, upstream)

            do_POST = do_GET  # noqa: N815
            do_PUT = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @staticmethod
    def reply(status: int = 200, body: object = None, **rest: Any) -> Reply:
        """Return an answer with a JSON body, or with the bytes given."""
        return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode(), **rest)

    @staticmethod
    def pass_on(_: Seen) -> None:
        """The order to do nothing."""

    def always(self, status: int = 200, body: object = None, **rest: Any) -> None:
        """Answer every request so from now on."""
        self.order = lambda _: self.reply(status, body, **rest)

    def posts(self) -> list[dict[str, Any]]:
        """Return the bodies that were posted."""
        return [json.loads(item.body) for item in self.seen if item.method == "POST"]

    def answer(self, handler: BaseHTTPRequestHandler, upstream: str) -> None:
        """Answer one request."""
        length = int(handler.headers.get("content-length", 0))
        headers = {key.lower(): value for key, value in handler.headers.items()}
        seen = Seen(handler.command, handler.path, headers, handler.rfile.read(length))
        self.seen.append(seen)
        order = self.order(seen)
        if not isinstance(order, Reply):
            body = seen.body if order is None else order
            kept = {key: headers[key] for key in _PASSED if key in headers}
            answer = _HTTP.request(seen.method, upstream + seen.path, content=body, headers=kept)
            order = Reply(answer.status_code, answer.content)
        if order.hang_s:
            self._stopped.wait(order.hang_s)
        if order.close:
            handler.close_connection = True
            return
        handler.send_response(order.status)
        for key, value in {"content-type": "application/fhir+json", **order.headers}.items():
            handler.send_header(key, value)
        handler.send_header("content-length", str(len(order.body)))
        handler.end_headers()
        handler.wfile.write(order.body)
