"""A proxy before a real DICOMweb server or Orthanc that goes wrong when told to.

It speaks HTTP and the wire formats of STOW-RS (PS3.18 Section 10.5) and of Orthanc's
``POST /instances``; what it is not told to spoil it passes on.

Fixture: ``faulty_pacs``, a factory: ``proxy = faulty_pacs(upstream_url)``.

    proxy.answer(503, times=3)            any request, or only="POST"
    proxy.hang(times=1)                   no answer until the proxy closes
    proxy.cut(times=1)                    half of the answer, then the line breaks
    proxy.garbage(times=1)                200 with a web page
    proxy.drop(times=1)                   a store is answered as done; one instance is lost
    proxy.partial(times=1)                a store fails for its first instance: 202
    proxy.conflict(times=1)               a store fails for all instances: 409
    proxy.away = True                     every connection is closed at once
    proxy.without = {"00201208"}          attributes that its searches do not give
    proxy.page = 20                       searches answer at most so many, and do not say it
    proxy.ignore_offset = True            every page of a search is the first one

Read next: `dimse_peer.py`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import urlsplit

import httpx
import pytest
from pydicom import dcmread

OUT_OF_RESOURCES = 0xA700
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}


@dataclass
class _Fault:
    kind: str
    times: int
    status: int = 0
    only: str = ""


class FaultyPacs:
    """The proxy; ``url`` replaces the upstream's, ``requests`` lists (method, path)."""

    def __init__(self, upstream_url: str) -> None:
        parts = urlsplit(upstream_url)
        self._upstream = f"{parts.scheme}://{parts.netloc}"
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self.away = False
        self.without: set[str] = set()
        self.page = 0
        self.ignore_offset = False
        self.requests: list[tuple[str, str]] = []
        self.client = httpx.Client(timeout=30)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{parts.path}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Stop the proxy; hanging requests end."""
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.client.close()

    def answer(self, status: int, times: int = 1, only: str = "") -> None:
        """Answer the next requests with a status and pass nothing on."""
        self._add(_Fault("answer", times, status, only))

    def hang(self, times: int = 1, only: str = "") -> None:
        """Do not answer the next requests."""
        self._add(_Fault("hang", times, 0, only))

    def cut(self, times: int = 1, only: str = "") -> None:
        """Break the line in the middle of the next answers."""
        self._add(_Fault("cut", times, 0, only))

    def garbage(self, times: int = 1, only: str = "") -> None:
        """Answer the next requests with a web page."""
        self._add(_Fault("garbage", times, 200, only))

    def drop(self, times: int = 1) -> None:
        """Answer the next stores as done, and lose their first instance."""
        self._add(_Fault("drop", times, 200, "POST"))

    def partial(self, times: int = 1) -> None:
        """Refuse the first instance of the next stores, with status 202."""
        self._add(_Fault("partial", times, 202, "POST"))

    def conflict(self, times: int = 1) -> None:
        """Refuse all instances of the next stores, with status 409."""
        self._add(_Fault("conflict", times, 409, "POST"))

    def heal(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()
        self.away = False

    def next_fault(self, method: str) -> _Fault | None:
        """Return the fault that the next request of a method meets."""
        with self._lock:
            for fault in self._faults:
                if fault.only in ("", method):
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove(fault)
                    return fault
        return None

    def forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> httpx.Response:
        """Return the upstream's answer to a request."""
        headers = {key: value for key, value in handler.headers.items() if key.lower() not in _HOP}
        path = re.sub(r"&?offset=\d+", "", handler.path) if self.ignore_offset else handler.path
        return self.client.request(
            handler.command, self._upstream + path, content=body, headers=headers
        )

    def poorer(self, answer: httpx.Response) -> bytes:
        """Return a search's answer without what this archive is told not to give."""
        is_list = "json" in answer.headers.get("content-type", "") and answer.content[:1] == b"["
        if not is_list or not (self.without or self.page):
            return answer.content
        items = answer.json()[: self.page or None]
        kept = [{tag: item[tag] for tag in item if tag not in self.without} for item in items]
        return json.dumps(kept).encode()

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)


def _handler_of(proxy: FaultyPacs) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _serve(proxy, self)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _serve(proxy: FaultyPacs, handler: BaseHTTPRequestHandler) -> None:
    body = _body(handler)
    proxy.requests.append((handler.command, handler.path))
    fault = proxy.next_fault(handler.command)
    if proxy.away:
        handler.close_connection = True
    elif fault is None:
        answer = proxy.forward(handler, body)
        content_type = answer.headers.get("content-type", "")
        _reply(handler, answer.status_code, content_type, proxy.poorer(answer))
    elif fault.kind == "hang":
        proxy.closing.wait(60)
        handler.close_connection = True
    elif fault.kind == "answer":
        _reply(handler, fault.status, "text/plain", b"told to fail")
    elif fault.kind == "garbage":
        _reply(handler, 200, "text/html", b"<html><body>Please sign in</body></html>")
    elif fault.kind == "cut":
        answer = proxy.forward(handler, body)
        content_type = answer.headers.get("content-type", "")
        _reply(handler, answer.status_code, content_type, answer.content, cut=True)
    else:
        _spoil_store(proxy, handler, body, fault)


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if "chunked" in handler.headers.get("Transfer-Encoding", ""):
        parts = []
        while size := int(handler.rfile.readline().strip() or b"0", 16):
            parts.append(handler.rfile.read(size))
            handler.rfile.readline()
        handler.rfile.readline()
        return b"".join(parts)
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def _reply(
    handler: BaseHTTPRequestHandler,
    status: int,
    content_type: str,
    content: bytes,
    *,
    cut: bool = False,
) -> None:
    handler.send_response(status)
    if content_type:
        handler.send_header("Content-Type", content_type)
    if status != 204:
        handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2] if cut else content)
    if cut:
        handler.close_connection = True


def _spoil_store(
    proxy: FaultyPacs, handler: BaseHTTPRequestHandler, body: bytes, fault: _Fault
) -> None:
    content_type = handler.headers.get("Content-Type", "")
    if "multipart" not in content_type:
        _spoil_orthanc(handler, fault)
        return
    boundary = content_type.split("boundary=")[1].split(";")[0].strip().strip('"').encode()
    files = [part.split(b"\r\n\r\n", 1)[1] for part in body.split(b"--" + boundary)[1:-1]]
    files = [data.removesuffix(b"\r\n") for data in files]
    kept = [] if fault.kind == "conflict" else files[1:]
    if kept:
        parts = b"".join(
            b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n"
            for data in kept
        )
        proxy.forward(handler, parts + b"--" + boundary + b"--\r\n").raise_for_status()
    lost = files[: len(files) - len(kept)]
    said_stored = files if fault.kind == "drop" else kept
    said_failed = [] if fault.kind == "drop" else lost
    document = {
        tag: {"vr": "SQ", "Value": [_item(data, tag) for data in items]}
        for tag, items in (("00081199", said_stored), ("00081198", said_failed))
        if items
    }
    _reply(handler, fault.status, "application/dicom+json", json.dumps(document).encode())


def _spoil_orthanc(handler: BaseHTTPRequestHandler, fault: _Fault) -> None:
    if fault.kind == "drop":
        answer = {"ID": "0" * 8, "Path": "/instances/00000000", "Status": "Success"}
        _reply(handler, 200, "application/json", json.dumps(answer).encode())
    else:
        _reply(handler, 409, "application/json", b"{}")


def _item(data: bytes, tag: str) -> dict[str, object]:
    dataset = dcmread(BytesIO(data), stop_before_pixels=True)
    item: dict[str, object] = {
        "00081150": {"vr": "UI", "Value": [dataset.SOPClassUID]},
        "00081155": {"vr": "UI", "Value": [dataset.SOPInstanceUID]},
    }
    if tag == "00081198":
        item["00081197"] = {"vr": "US", "Value": [OUT_OF_RESOURCES]}
    return item


@pytest.fixture
def faulty_pacs() -> Iterator[Callable[[str], FaultyPacs]]:
    """Yield a function that puts a proxy before a server; all close with the test."""
    proxies: list[FaultyPacs] = []

    def make(upstream_url: str) -> FaultyPacs:
        proxies.append(FaultyPacs(upstream_url))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()
