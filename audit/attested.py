"""Holds what others stated about a log against the keys that a verifier trusts.

Only this finds a log that was written anew by somebody who has its signing key: no witness
cosigned the new one, and no time-stamp lies over it.

Read next: `bundle.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.x509 import Certificate

from audit import timestamp
from audit.cosignature import Cosigned, CosignerKey, cosigned
from audit.errors import LogTamperedError
from audit.ports import Attestation, StoredCheckpoint
from audit.timestamp import Stamped

COSIGNATURE, TIMESTAMP = "cosignature", "timestamp"


@dataclass(frozen=True, slots=True)
class StampedTree:
    """A tree that an authority saw at a time."""

    name: str
    size: int
    stamped: Stamped


@dataclass(frozen=True, slots=True)
class Attested:
    """How much of a log others vouch for: the largest tree for each witness and authority."""

    cosigned: tuple[Cosigned, ...] = ()
    stamped: tuple[StampedTree, ...] = ()


def check_attested(
    seen: Iterable[str],
    notes: Mapping[int, str],
    stamps: Iterable[Attestation],
    witnesses: Sequence[CosignerKey] = (),
    authorities: Sequence[Certificate] = (),
) -> Attested:
    """Return who vouches for how much; without keys and certificates nothing is checked.

    Parameters
    ----------
    seen : notes with cosignatures; `audit.verify` holds them against the records.
    notes : the stored checkpoints by tree size, over which the time-stamps are.

    Raises
    ------
    LogTamperedError : a cosignature or time-stamp is wrong or of a checkpoint that is not
        there, or one of those who are trusted has seen nothing of this log.
    """
    found = cosigned(seen, witnesses) if witnesses else ()
    if not authorities:
        return Attested(found)
    by_name: dict[str, StampedTree] = {}
    for item in sorted(stamps, key=lambda stamp: stamp.tree_size):
        stamped = timestamp.check(answer_of(item), _note(notes, item), authorities)
        by_name[item.name] = StampedTree(item.name, item.tree_size, stamped)
    if not by_name:
        raise LogTamperedError("expected a time-stamp over a checkpoint, found none")
    return Attested(found, tuple(by_name[name] for name in sorted(by_name)))


def cosigned_notes(notes: Mapping[int, str], said: Iterable[Attestation]) -> list[str]:
    """Return, for each kept cosignature, its checkpoint with the lines below.

    Raises
    ------
    LogTamperedError : a checkpoint that was cosigned is not there.
    """
    return [_note(notes, item) + item.content for item in said if item.kind == COSIGNATURE]


def stamps_of(said: Iterable[Attestation]) -> list[Attestation]:
    """Return the time-stamps among the statements."""
    return [item for item in said if item.kind == TIMESTAMP]


def answer_of(item: Attestation) -> bytes:
    """Return the bytes of a stored time-stamp.

    Raises
    ------
    LogTamperedError : they are not base64.
    """
    try:
        return base64.b64decode(item.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise LogTamperedError(
            f"expected the time-stamp of {item.name} over {item.tree_size}, found other text"
        ) from error


def notes_by_size(checkpoints: Iterable[StoredCheckpoint]) -> dict[int, str]:
    """Return the notes of stored checkpoints by tree size."""
    return {item.tree_size: item.note for item in checkpoints}


def _note(notes: Mapping[int, str], item: Attestation) -> str:
    note = notes.get(item.tree_size)
    if note is None:
        raise LogTamperedError(
            f"expected checkpoint {item.tree_size}, which {item.name} attested, found none"
        )
    return note
