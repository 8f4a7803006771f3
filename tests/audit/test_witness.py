"""The witness and cosignatures: what extends the last checkpoint is cosigned, nothing else."""

import base64
import hashlib
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.witness.folder import SeenFolder, add_log, known_logs, witness_keys
from adapters.witness.server import witness_in_background
from audit.checkpoint import Checkpoint, Signer, new_signer, sign, split_note, verify
from audit.cosignature import (
    ED25519,
    ML_DSA_44,
    Cosigner,
    check_cosignature,
    cosigned,
    parse_cosigner,
)
from audit.errors import ConfigurationError, LogTamperedError
from audit.merkle import EMPTY_ROOT, Frontier, extend, leaf_hash, prove_consistency, root_of
from audit.witness import Reply, Request, Witness, read_request
from tests.simulators.site_database import ORIGIN, START, Clock

LOG = Signer(ORIGIN, b"\x07" * 32)
LEAVES = [leaf_hash(bytes([number])) for number in range(40)]
NODES = dict(extend(Frontier(), LEAVES)[1])


def _read(keys):  # type: ignore[no-untyped-def]
    return {key: NODES[key] for key in keys if key in NODES}


def _note(size: int, signer: Signer = LOG) -> str:
    return sign(Checkpoint(ORIGIN, size, root_of(LEAVES[:size])), signer)


def _request(old: int, size: int, signer: Signer = LOG) -> bytes:
    proof = prove_consistency(old, size, _read) if 0 < old <= size else ()
    return Request(old, proof, _note(size, signer)).encode()


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    """A witness that knows the test log."""
    cosigners = witness_keys(tmp_path, "witness.test/a")
    clock = Clock()
    return Witness({ORIGIN: LOG.verifier}, cosigners, SeenFolder(tmp_path / "seen"), clock)


@pytest.mark.parametrize("kind", [ED25519, ML_DSA_44])
def test_cosign_and_check_are_a_pair(kind: int) -> None:
    """A cosignature holds over its text, at its time, under its key, and nothing else."""
    cosigner = Cosigner("witness.test/a", kind, b"\x01" * 32)
    text, _ = split_note(_note(5))
    line = cosigner.cosign(text, START)
    _, (signature,) = split_note(f"{text}\n{line}")
    key = parse_cosigner(cosigner.key.text())
    assert key == cosigner.key
    assert check_cosignature(text, signature, key) == START
    other, _ = split_note(_note(6))
    with pytest.raises(LogTamperedError, match="wrong"):
        check_cosignature(other, signature, key)
    name, key_id, stamped = signature
    later = (int.from_bytes(stamped[:8], "big") + 1).to_bytes(8, "big") + stamped[8:]
    with pytest.raises(LogTamperedError, match="wrong"):
        check_cosignature(text, (name, key_id, later), key)
    with pytest.raises(LogTamperedError, match="other bytes"):
        check_cosignature(text, (name, key_id, stamped[:-1]), key)
    with pytest.raises(LogTamperedError, match="another's"):
        check_cosignature(text, signature, Cosigner("witness.test/b", kind, b"\x01" * 32).key)


def test_the_cosignature_is_that_of_the_specification() -> None:
    """The signed message and the key id are spelt out here as tlog-cosignature prints them."""
    cosigner = Cosigner("w", ED25519, b"\x02" * 32)
    text = f"{ORIGIN}\n0\n{base64.b64encode(EMPTY_ROOT).decode()}\n"
    line = cosigner.cosign(text, START)
    data = base64.b64decode(line.split(" ")[2])
    public = cosigner.key.public
    assert data[:4] == hashlib.sha256(b"w\n\x04" + public).digest()[:4]
    seconds = int(START.timestamp())
    assert data[4:12] == seconds.to_bytes(8, "big")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
    Ed25519PublicKey.from_public_bytes(public).verify(data[12:], message)


def test_the_post_quantum_message_is_that_of_the_specification() -> None:
    """subtree/v1, names with their lengths, start 0, end the size, and the root."""
    cosigner = Cosigner("w", ML_DSA_44, b"\x02" * 32)
    root = root_of(LEAVES[:3])
    text = f"{ORIGIN}\n3\n{base64.b64encode(root).decode()}\n"
    data = base64.b64decode(cosigner.cosign(text, START).split(" ")[2])
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

    seconds = int(START.timestamp()).to_bytes(8, "big")
    origin = bytes([len(ORIGIN)]) + ORIGIN.encode()
    end = (3).to_bytes(8, "big")
    message = b"subtree/v1\n\x00" + b"\x01w" + seconds + origin + bytes(8) + end + root
    MLDSA44PublicKey.from_public_bytes(cosigner.key.public).verify(data[12:], message)
    assert len(data) == 4 + 8 + 2420


def test_the_witness_follows_a_log_that_grows(witness: Witness) -> None:
    """First, larger, and the same checkpoint again are cosigned by both keys."""
    notes = []
    for old, size in ((0, 0), (0, 3), (3, 3), (3, 8), (8, 40)):
        reply = witness.add_checkpoint(_request(old, size))
        assert reply.status == 200, reply
        notes.append(_note(size) + reply.body)
    keys = [item.key for item in witness.cosigners]
    assert [(item.size, item.at) for item in cosigned(notes, keys)] == [(40, START)] * 2
    assert all(verify(note, LOG.verifier).origin == ORIGIN for note in notes)


STRANGER = Request(0, (), sign(Checkpoint("o", 1, b"\x00" * 32), new_signer("o"))).encode()


def _fork(size: int) -> str:
    return sign(Checkpoint(ORIGIN, size, b"\x09" * 32), LOG)


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (_request(3, 8), 409, "8\n"),  # an older state of the log: rolled back
        (_request(0, 40), 409, "8\n"),
        (_request(8, 8).replace(b"old 8", b"old 08"), 400, None),
        (Request(8, (), _fork(8)).encode(), 409, "8\n"),  # another tree of the same size
        (Request(8, prove_consistency(8, 40, _read), _fork(40)).encode(), 422, None),
        (Request(8, (), _note(40)).encode(), 422, None),
        (Request(8, (b"\x00" * 32,) * 3, _note(40)).encode(), 422, None),
        (Request(9, (), _note(8)).encode(), 400, None),
        (_request(8, 40, new_signer(ORIGIN)), 403, None),
        (STRANGER, 404, None),
        (b"", 400, None),
        (b"old 8\n\nx\n", 400, None),
        (b"\xff\xfe", 400, None),
        (b"old 8\n" + b"AAAA\n" + b"\n" + _note(40).encode(), 400, None),
        (Request(8, (b"\x00" * 32,) * 64, _note(40)).encode(), 400, None),
    ],
)  # fmt: skip
def test_the_witness_refuses(
    witness: Witness, body: bytes, status: int, answer: str | None
) -> None:
    """What does not extend the last checkpoint is refused as tlog-witness says; it stays."""
    assert witness.add_checkpoint(_request(0, 8)).status == 200
    before = witness.store.last(ORIGIN)
    reply = witness.add_checkpoint(body)
    assert reply.status == status
    if answer is not None:
        assert reply == Reply(409, answer, "text/x.tlog.size")
    assert "\N{EM DASH}" not in reply.body
    assert witness.store.last(ORIGIN) == before


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(body: bytes) -> None:
    """No body breaks the parser."""
    try:
        read_request(body)
    except ValueError:
        return


def test_a_missing_cosignature_is_a_fault(witness: Witness) -> None:
    """A log written anew has no cosignature of those who saw the old one."""
    with pytest.raises(LogTamperedError, match="cosigned, found none"):
        cosigned([_note(8)], [witness.cosigners[0].key])


def test_the_witness_remembers_over_a_restart(tmp_path: Path) -> None:
    """What it cosigned it holds a log to, also in its next life, over real HTTP."""
    keys = witness_keys(tmp_path, "witness.test/a")
    add_log(tmp_path, LOG.verifier)
    add_log(tmp_path, LOG.verifier)
    assert list(known_logs(tmp_path)) == [ORIGIN]
    with pytest.raises(ConfigurationError, match="another one kept"):
        add_log(tmp_path, new_signer(ORIGIN).verifier)
    with witness_in_background(tmp_path) as url, httpx.Client(base_url=url) as client:
        assert client.post("/add-checkpoint", content=_request(0, 8)).status_code == 200
        given = [parse_cosigner(line) for line in client.get("/keys").text.splitlines()]
        assert given == [item.key for item in keys]
    with witness_in_background(tmp_path) as url, httpx.Client(base_url=url) as client:
        reply = client.post("/add-checkpoint", content=_request(0, 5))
        assert (reply.status_code, reply.text) == (409, "8\n")
        assert reply.headers["content-type"] == "text/x.tlog.size"
        assert client.post("/add-checkpoint", content=_request(8, 9)).status_code == 200
        digest = hashlib.sha256(ORIGIN.encode()).hexdigest()
        anchor = client.get(f"/checkpoint/{digest}").text
        assert verify(anchor, LOG.verifier).size == 9
        assert cosigned([anchor], [keys[0].key])[0].size == 9
        assert client.get(f"/checkpoint/{'0' * 64}").status_code == 404
        assert client.get("/checkpoint/../name.txt").status_code == 404
        assert client.post("/other", content=b"x").status_code == 404
        big = client.post("/add-checkpoint", content=b"x" * 70_000)
        assert big.status_code == 400


def test_a_witness_that_cannot_write_cosigns_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk gives 503 and no signature."""
    witness_keys(tmp_path, "witness.test/a")
    add_log(tmp_path, LOG.verifier)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with witness_in_background(tmp_path) as url:
        monkeypatch.setattr("adapters.witness.folder.os.fsync", full)
        reply = httpx.post(f"{url}/add-checkpoint", content=_request(0, 8))
    assert (reply.status_code, "\N{EM DASH}" in reply.text) == (503, False)


def test_the_time_that_is_stated_is_that_of_the_witness(witness: Witness) -> None:
    """Each cosignature carries the moment in which it was given."""
    clock = witness.now
    assert isinstance(clock, Clock)
    clock.advance(3600)
    reply = witness.add_checkpoint(_request(0, 8))
    found = cosigned([_note(8) + reply.body], [witness.cosigners[1].key])
    assert found[0].at == START + timedelta(hours=1)
