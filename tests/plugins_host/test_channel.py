"""The border of the worker process passes documents and sealed values, and nothing else."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.host.case import Case
from plugins.host.channel import Channel, Received
from plugins.host.wire import WireError, encode
from tests.simulators.released_plugins import small_case

Ends = tuple[Channel, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Return the host's channel and the raw socket of a worker."""
    channel, theirs = Channel.pair()
    with theirs:
        yield channel, theirs
    channel.close()


def _received(channel: Channel) -> Received:
    found = channel.receive(5)
    assert found is not None
    return found


def test_value_crosses_with_its_document(ends: Ends) -> None:
    """A case arrives equal to what was sent, in memory that cannot be written."""
    channel, theirs = ends
    case = small_case()
    Channel(theirs).send({"kind": "run"}, encode(case, Case))
    received = _received(channel)
    found = received.value(Case)
    assert received.document["kind"] == "run"
    assert found.images["ct"].array.tobytes() == case.images["ct"].array.tobytes()
    assert not found.images["ct"].array.flags.writeable
    assert received.block.readonly


def test_values_live_on_after_the_next(ends: Ends) -> None:
    """An array that was received stays what it was when later values arrive."""
    channel, theirs = ends
    first, second = small_case(), small_case((3, 16, 20))
    arrays = []
    for case in (first, second):
        Channel(theirs).send({}, encode(case, Case))
        arrays.append(_received(channel).value(Case).images["ct"].array)
    assert arrays[0].tobytes() == first.images["ct"].array.tobytes()
    assert arrays[1].shape == (3, 16, 20)


def test_other_end_gone_and_silence(ends: Ends) -> None:
    """Silence is a timeout; a closed end is None."""
    channel, theirs = ends
    with pytest.raises(TimeoutError):
        channel.receive(0.01)
    theirs.close()
    assert channel.receive(1) is None


@pytest.mark.parametrize("raw", [b"\xff", b"[]", b"1", b"[" * 60000, b'"' + b"x" * 100_000 + b'"'])
def test_other_bytes_are_refused(ends: Ends, raw: bytes) -> None:
    """What is not one JSON object of bounded size is refused."""
    channel, theirs = ends
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.send(raw)
    with pytest.raises(WireError):
        channel.receive(5)


def _memory_file(seals: int) -> int:
    handle = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.write(handle, b"x" * 100)
    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, seals)
    return handle


@pytest.mark.parametrize("kind", ["pipe", "file", "unsealed", "shrinkable", "empty"])
def test_only_sealed_memory_is_mapped(ends: Ends, kind: str, tmp_path: Path) -> None:
    """A pipe, an ordinary file or memory that its sender could still change is refused."""
    channel, theirs = ends
    path = tmp_path / "x"
    path.write_bytes(b"x" * 100)
    everything = fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    handle = {
        "pipe": lambda: os.pipe()[0],
        "file": lambda: os.open(path, os.O_RDONLY),
        "unsealed": lambda: _memory_file(0),
        "shrinkable": lambda: _memory_file(everything),
        "empty": lambda: os.memfd_create("x", os.MFD_ALLOW_SEALING),
    }[kind]()
    socket.send_fds(theirs, [json.dumps({"size": 0}).encode()], [handle])
    with pytest.raises(WireError, match="sealed memory"):
        channel.receive(5)
    os.close(handle)


@pytest.mark.parametrize("size", [None, -1, 10**9, "1", True])
def test_size_must_lie_inside_the_value(ends: Ends, size: object) -> None:
    """A document that lies about the size of its value gives no value."""
    channel, theirs = ends
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    handle = _memory_file(seals)
    socket.send_fds(theirs, [json.dumps({"size": size}).encode()], [handle])
    os.close(handle)
    received = _received(channel)
    with pytest.raises(WireError):
        received.value(Case)
