"""The border between host and worker: small documents, each with at most one value.

A document is one JSON datagram on a Unix socket pair (unix(7), SOCK_SEQPACKET), so there
are no partial messages.  A value travels beside it as a sealed memory file (memfd_create(2),
SCM_RIGHTS): the sender writes the arrays once, the receiver maps them, and neither can
change or shorten them afterwards.  A plugin can write anything here; `Channel.receive`
and `wire.decode` accept nothing but JSON values and our own types.

Read next: `worker.py` and `worker_process.py`, the two ends.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import select
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugins.host.wire import Message, WireError, decode

DATAGRAM_LIMIT = 65536
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


@dataclass(frozen=True, slots=True)
class Received:
    """A document and the block that came with it (empty when none did)."""

    document: Mapping[str, Any]
    block: memoryview

    def value(self, kind: Any, *, finite: bool = False) -> Any:
        """Return the value of type ``kind`` that came along; WireError when none did."""
        size = self.document.get("size")
        if type(size) is not int or not 0 <= size <= len(self.block):
            raise WireError("expected a value beside the document, found none")
        return decode(self.block[size:], self.block[:size], kind, finite=finite)


class Channel:
    """One end of the border."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    @staticmethod
    def pair() -> tuple[Channel, socket.socket]:
        """Return the host's end, and the socket that the worker inherits."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Channel(ours), theirs

    def send(self, document: Mapping[str, Any], message: Message | None = None) -> None:
        """Send a document, and a value with it; OSError when the other end is gone."""
        if message is None:
            self._connection.sendmsg([json.dumps(document).encode()])
            return
        handle = os.memfd_create("osteon-value", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            for offset, buffer in message.buffers:
                _write(handle, buffer, offset)
            _write(handle, memoryview(message.header), message.size)
            fcntl.fcntl(handle, fcntl.F_ADD_SEALS, _SEALS)
            raw = json.dumps({**document, "size": message.size}).encode()
            socket.send_fds(self._connection, [raw], [handle])
        finally:
            os.close(handle)

    def receive(self, timeout_s: float | None = None) -> Received | None:
        """Return the next document; None when the other end is gone.

        Raises
        ------
        TimeoutError : nothing came in time.
        WireError : what came is not a document.
        """
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        if not poll.poll(None if timeout_s is None else max(0.0, timeout_s * 1000)):
            raise TimeoutError
        try:
            raw, handles, flags, _ = socket.recv_fds(self._connection, DATAGRAM_LIMIT, 1)
        except ConnectionError:
            return None
        try:
            if not raw:
                return None
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise WireError("expected one document, found a larger one")
            return Received(_document(raw), _map(handles[0]) if handles else memoryview(b""))
        finally:
            for handle in handles:
                os.close(handle)

    def close(self) -> None:
        """Close this end; the other end then receives None."""
        self._connection.close()


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise WireError("expected a JSON document, found other bytes") from error
    if not isinstance(document, dict):
        raise WireError("expected a JSON object, found another value")
    return document


def _map(handle: int) -> memoryview:
    """Map a sealed memory file; without the seals its sender could pull it from under us."""
    status = os.fstat(handle)
    try:
        sealed = fcntl.fcntl(handle, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:
        sealed = False
    if not stat.S_ISREG(status.st_mode) or not sealed or status.st_size == 0:
        raise WireError("expected a sealed memory file, found another kind")
    # MAP_PRIVATE: before Linux 6.7 a shared mapping of a write-sealed file is refused.
    mapped = mmap.mmap(handle, status.st_size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    return memoryview(mapped)


def _write(handle: int, buffer: memoryview, offset: int) -> None:
    while buffer.nbytes:
        count = os.pwrite(handle, buffer[: 1 << 30], offset)
        buffer, offset = buffer[count:], offset + count
