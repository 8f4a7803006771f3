"""The witness on the network: C2SP tlog-witness over HTTP, of the standard library alone.

    POST PREFIX/add-checkpoint     cosignatures, or 400, 403, 404, 409, 422
    GET  PREFIX/checkpoint/DIGEST  the last cosigned checkpoint of a log (DIGEST = SHA-256 of
                                   its origin, hexadecimal): an anchor for whoever verifies
    GET  PREFIX/keys               our public keys, one a line

Put it behind a reverse proxy for TLS; what it receives is signed, what it gives is too.

Read next: `audit/witness.py`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import structlog

from adapters.witness.folder import SeenFolder, known_logs, witness_keys
from audit.errors import SuiteError
from audit.witness import Reply, Witness

LONGEST_BODY = 1 << 16
"""63 hashes of a proof and a checkpoint with some post-quantum signatures fit."""
_TIMEOUT_S = 30.0
_SEEN = re.compile(r"/checkpoint/([0-9a-f]{64})")
_log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def open_witness(folder: Path, now: Callable[[], datetime] = utc_now) -> Witness:
    """Return the witness that a folder keeps; ConfigurationError where there is none."""
    cosigners = witness_keys(folder)
    return Witness(known_logs(folder), cosigners, SeenFolder(folder / "seen"), now)


def build_server(
    folder: Path, host: str, port: int, now: Callable[[], datetime] = utc_now
) -> ThreadingHTTPServer:
    """Return a server that is bound and not yet running; port 0 takes a free one."""
    witness = open_witness(folder, now)

    class Handler(_Handler):
        kept = witness
        seen = folder / "seen"

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = type("Server", (ThreadingHTTPServer,), {"address_family": family})
    bound: ThreadingHTTPServer = server((host, port), Handler)
    bound.daemon_threads = True
    return bound


@contextmanager
def witness_in_background(
    folder: Path, port: int = 0, now: Callable[[], datetime] = utc_now
) -> Iterator[str]:
    """Run a witness of this machine in a thread; yields its submission prefix."""
    with build_server(folder, "127.0.0.1", port, now) as server:
        thread = Thread(target=server.serve_forever, name="osteon-witness", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(timeout=10)


class _Handler(BaseHTTPRequestHandler):
    """One connection; subclassed with the witness that it speaks for."""

    kept: Witness
    seen: Path
    protocol_version = "HTTP/1.1"
    server_version = "osteon-witness"
    sys_version = ""
    timeout = _TIMEOUT_S

    def do_POST(self) -> None:
        """Answer ``add-checkpoint``."""
        body = self._body()
        if body is None:
            return
        if not self.path.endswith("/add-checkpoint"):
            self._answer(Reply(HTTPStatus.NOT_FOUND, "no such call\n"))
            return
        try:
            reply = self.kept.add_checkpoint(body)
        except SuiteError as error:
            _log.error("witness cannot keep a checkpoint", code=error.code)
            reply = Reply(HTTPStatus.SERVICE_UNAVAILABLE, "nothing was cosigned\n")
        _log.info("add-checkpoint", status=int(reply.status))
        self._answer(reply)

    def do_GET(self) -> None:
        """Give keys and last checkpoints."""
        if self.path.endswith("/keys"):
            keys = "".join(f"{item.key.text()}\n" for item in self.kept.cosigners)
            self._answer(Reply(HTTPStatus.OK, keys))
            return
        asked = _SEEN.search(self.path)
        file = self.seen / f"{asked.group(1)}.txt" if asked else None
        if file is None or not file.exists():
            self._answer(Reply(HTTPStatus.NOT_FOUND, "no such page\n"))
            return
        self._answer(Reply(HTTPStatus.OK, file.read_text("utf-8")))

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > LONGEST_BODY:
            self.close_connection = True
            self._answer(Reply(HTTPStatus.BAD_REQUEST, "expected a body of known, small size\n"))
            return None
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            self.close_connection = True
            return None
        return body

    def _answer(self, reply: Reply) -> None:
        content = reply.body.encode()
        self.send_response(int(reply.status))
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing by itself: what matters is logged where it is decided."""
