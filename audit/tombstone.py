"""What is left of a record whose time is over: its leaf hash, so that every proof stays valid.

A tombstone stands in the place of the record's bytes and says which `purge` record took them.
Only the leaf hash is in the tree, so a tombstone alone proves nothing: anybody who can write to
the database could put one over a record that is in the way.  What makes it true is a `purge`
record further on in the same tree which names its index, under the signature of the log's key
(`sign_order`), and which kept to the floor of the law.

Source: Regulation (EU) 2024/1689 Art. 19(1) and 26(6): at least six months.

Read next: `verify.py`, `governance/retention.py` (what may be purged).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from audit import canonical
from audit.checkpoint import NoteSigner, VerifierKey, verify_note
from audit.errors import LogTamperedError, RecordError

FLOOR = timedelta(days=183)
"""No record is purged before; no setting goes under it."""
SCHEMA = "osteon.audit.tombstone/1"
PURGE = "purge"
ORDER = "osteon.purge/1"
_TAIL = f'"schema":"{SCHEMA}"}}'.encode()
_HASH = re.compile(r"[0-9a-f]{64}")
Range = tuple[int, int]
"""First and last leaf index, both included."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The place of a record that was purged."""

    event_id: str
    kind: str
    leaf_hash: bytes
    purged_by: str


def is_tombstone(leaf: bytes) -> bool:
    """Tell whether stored bytes are a tombstone: records have the schema of their kind."""
    return leaf.endswith(_TAIL)


def encode(tombstone: Tombstone) -> bytes:
    """Return the bytes that take the place of the record; inverse of `decode`."""
    return canonical.encode(
        {
            "event_id": tombstone.event_id,
            "kind": tombstone.kind,
            "leaf_hash": tombstone.leaf_hash.hex(),
            "purged_by": tombstone.purged_by,
            "schema": SCHEMA,
        }
    )


def decode(leaf: bytes) -> Tombstone:
    """Return what a tombstone says.

    Raises
    ------
    LogTamperedError : it is none in its one spelling.
    """
    try:
        values = json.loads(leaf)
        if values.pop("schema") != SCHEMA or not _HASH.fullmatch(values["leaf_hash"]):
            raise ValueError("schema")
        found = Tombstone(**values | {"leaf_hash": bytes.fromhex(values["leaf_hash"])})
        if encode(found) != leaf:
            raise ValueError("spelling")
        return found
    except (ValueError, KeyError, TypeError, AttributeError, RecordError) as error:
        raise LogTamperedError("expected a tombstone, found other bytes") from error


def ranges(indices: Iterable[int]) -> tuple[Range, ...]:
    """Return ascending leaf indices as ranges without gaps."""
    found: list[Range] = []
    for index in indices:
        if found and index == found[-1][1] + 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return tuple(found)


def sign_order(body: Mapping[str, Any], signer: NoteSigner) -> dict[str, Any]:
    """Return the body of a purge record with the signature of the log's key over the rest."""
    note = signer.sign_note(_order_text(body))
    return {**body, "signature": note.rsplit(" ", 1)[1].strip()}


def check_order(
    body: Mapping[str, Any], recorded_at: datetime, *keys: VerifierKey
) -> tuple[Range, ...]:
    """Return the leaf indices that a purge record covers.

    Parameters
    ----------
    keys : of the log, those in force where the record stands.

    Raises
    ------
    LogTamperedError : the log's key did not sign it, or it took what was younger than `FLOOR`.
    """
    try:
        rest = {name: value for name, value in body.items() if name != "signature"}
        line = f"\N{EM DASH} {keys[0].name} {body['signature']}"
        verify_note(f"{_order_text(rest)}\n{line}\n", *keys)
        before = datetime.fromisoformat(body["before"])
        covered = tuple((int(first), int(last)) for first, last in body["leaves"])
        if before > recorded_at - FLOOR:
            raise LogTamperedError(
                f"expected a purge of what is {FLOOR.days} days old, found one of younger records"
            )
    except (KeyError, TypeError, ValueError, RecordError) as error:
        raise LogTamperedError("expected a signed purge, found other content") from error
    return covered


def check_covered(dead: Sequence[Range], purged: Iterable[Range]) -> None:
    """Hold the tombstones of a log against what its purge records cover.

    Raises
    ------
    LogTamperedError : names the first record that no purge took.
    """
    allowed = sorted(purged)
    place = 0
    for first, last in dead:
        at = first
        while at <= last:
            while place < len(allowed) and allowed[place][1] < at:
                place += 1
            if place == len(allowed) or allowed[place][0] > at:
                raise LogTamperedError(
                    f"expected record {at}, found a tombstone that no purge put there"
                )
            at = allowed[place][1] + 1


def _order_text(body: Mapping[str, Any]) -> str:
    return f"{ORDER}\n{hashlib.sha256(canonical.encode(dict(body))).hexdigest()}\n"
