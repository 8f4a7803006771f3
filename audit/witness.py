"""The witness: keeps the last checkpoint of a log and cosigns only what extends it.

Protocol: C2SP tlog-witness (https://c2sp.org/tlog-witness), ``add-checkpoint``.  It runs
elsewhere, in other hands than the log: an administrator who holds the database and the
log's own key can write the log anew, but finds no witness who signs that.  Pure decisions
over a store; `adapters/witness` serves them by HTTP.

Read next: `verify.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Protocol

from audit.checkpoint import (
    Checkpoint,
    VerifierKey,
    decode_base64,
    encode_base64,
    parse,
    split_note,
    verify,
)
from audit.cosignature import Cosigner
from audit.errors import LogTamperedError
from audit.merkle import EMPTY_ROOT, HASH_SIZE, check_consistency

LONGEST_PROOF = 63
SIZE_TYPE = "text/x.tlog.size"
_PLAIN = "text/plain; charset=utf-8"


class WitnessStore(Protocol):
    """The last cosigned note of each log; what `put` took is durable on return."""

    def locked(self, origin: str) -> AbstractContextManager[None]:
        """Hold the log's place alone: reading, deciding and keeping are one step."""
        ...

    def last(self, origin: str) -> str | None:
        """Return the note that was cosigned last, None before the first."""
        ...

    def put(self, origin: str, note: str) -> None:
        """Keep a cosigned note in place of the one before."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What the witness answers, as HTTP says it."""

    status: int
    body: str
    content_type: str = _PLAIN


@dataclass(frozen=True, slots=True)
class Request:
    """An ``add-checkpoint`` request: the size that the witness saw last, proof, note."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str

    def encode(self) -> bytes:
        """Return the body of the request; inverse of `read_request`."""
        lines = [f"old {self.old_size}", *map(encode_base64, self.proof), "", ""]
        return ("\n".join(lines) + self.note).encode()


def read_request(body: bytes) -> Request:
    """Return what a request says.

    Raises
    ------
    ValueError : it is none.
    """
    head, separator, note = body.decode("utf-8").partition("\n\n")
    first, *rest = head.split("\n")
    size = first.removeprefix("old ")
    plain = size.isascii() and size.isdigit() and (size == "0" or not size.startswith("0"))
    if not separator or not first.startswith("old ") or not plain or len(size) > 19:
        raise ValueError("expected an old size, a proof and a checkpoint")
    hashes = [decode_base64(line) for line in rest]
    proof = tuple(item for item in hashes if item is not None and len(item) == HASH_SIZE)
    if len(proof) != len(rest) or len(proof) > LONGEST_PROOF:
        raise ValueError(f"expected at most {LONGEST_PROOF} hashes in base64")
    return Request(int(size), proof, note)


@dataclass(frozen=True, slots=True)
class Witness:
    """Answers ``add-checkpoint`` for the logs that it knows.

    Parameters
    ----------
    logs : origin -> public key.
    now : the clock whose time is stated in every cosignature; aware UTC.
    """

    logs: Mapping[str, VerifierKey]
    cosigners: Sequence[Cosigner]
    store: WitnessStore
    now: Callable[[], datetime]

    def add_checkpoint(self, body: bytes) -> Reply:
        """Return cosignatures of a checkpoint that extends the last one, else why not."""
        # 1. Well formed, of a log that we know, and signed by it.
        try:
            request = read_request(body)
            origin = parse(split_note(request.note)[0]).origin
        except (ValueError, LogTamperedError):
            return Reply(HTTPStatus.BAD_REQUEST, "expected an add-checkpoint request\n")
        key = self.logs.get(origin)
        if key is None:
            return Reply(HTTPStatus.NOT_FOUND, "unknown log\n")
        try:
            checkpoint = verify(request.note, key)
        except LogTamperedError:
            return Reply(HTTPStatus.FORBIDDEN, "not signed by this log\n")
        if request.old_size > checkpoint.size:
            return Reply(HTTPStatus.BAD_REQUEST, "the old size is above that of the checkpoint\n")
        # 2. Judged against the last one, and kept before it is cosigned, alone.
        with self.store.locked(origin):
            refusal = self._refusal(request, checkpoint, key)
            return refusal or self._cosign(request, origin)

    def _refusal(self, request: Request, checkpoint: Checkpoint, key: VerifierKey) -> Reply | None:
        note = self.store.last(key.name)
        seen = Checkpoint(key.name, 0, EMPTY_ROOT) if note is None else verify(note, key)
        same_size = request.old_size == checkpoint.size
        forked = same_size and checkpoint.root_hash != seen.root_hash
        if request.old_size != seen.size or forked:
            return Reply(HTTPStatus.CONFLICT, f"{seen.size}\n", SIZE_TYPE)
        try:
            if request.old_size:
                check_consistency(
                    seen.size, checkpoint.size, request.proof, seen.root_hash, checkpoint.root_hash
                )
            elif request.proof:
                raise LogTamperedError("expected no proof from the empty tree, found one")
        except LogTamperedError:
            return Reply(HTTPStatus.UNPROCESSABLE_ENTITY, "the proof does not hold\n")
        return None

    def _cosign(self, request: Request, origin: str) -> Reply:
        text, _ = split_note(request.note)
        at = self.now()
        lines = "".join(cosigner.cosign(text, at) for cosigner in self.cosigners)
        self.store.put(origin, request.note + lines)
        return Reply(HTTPStatus.OK, lines)
