"""STOW-RS: the request body, and what the answer says of every single instance.

Follows PS3.18 Section 10.5 and Annex I (Store Instances Response Module).  The files are
sent byte for byte; dicomweb-client would decode and write them anew, and gives no
per-instance status for 409.

Read next: `pacs.py`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from adapters.pacs import StoreOutcome

REFERENCED_SOP_SEQUENCE = "00081199"
FAILED_SOP_SEQUENCE = "00081198"
REFERENCED_SOP_INSTANCE_UID = "00081155"
FAILURE_REASON = "00081197"
WARNING_REASON = "00081196"

# PS3.18 Table I.2-2 has no code for "already here": servers use these.
ALREADY_STORED = frozenset({0x0111, 45070})
REASONS: Mapping[int, str] = {
    0x0110: "processing failure",
    0x0111: "duplicate SOP Instance",
    0x0117: "invalid SOP Instance UID",
    0x0122: "SOP Class not supported",
    0x0124: "not authorised",
    0xA700: "out of resources",
    0xA900: "the data set does not match its SOP Class or study",
    0xC000: "the data set was not understood",
    0xC122: "transfer syntax not supported",
    45070: "the instance is already stored",
}

Items = tuple[Mapping[str, Any], ...]


def batches(files: Sequence[bytes], limit_bytes: int) -> Iterator[Sequence[int]]:
    """Yield positions of files that together stay within the limit; at least one each."""
    batch: list[int] = []
    size = 0
    for position, data in enumerate(files):
        if batch and size + len(data) > limit_bytes:
            yield batch
            batch, size = [], 0
        batch.append(position)
        size += len(data)
    if batch:
        yield batch


def body_of(files: Sequence[bytes]) -> tuple[bytes, str]:
    """Return the multipart body of the files and its content type (PS3.18 8.6.1.2.1)."""
    boundary = f"osteon-{secrets.token_hex(16)}"
    parts = []
    for data in files:
        parts.append(f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode())
        parts.append(data)
        parts.append(b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    content_type = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    return b"".join(parts), content_type


def answer_of(payload: bytes, content_type: str) -> Mapping[str, Items]:
    """Return the sequences of a response by tag; empty when it has no body.

    Raises
    ------
    ValueError : there is a body, and it is no Store Instances Response.
    """
    if not payload.strip():
        return {}
    try:
        if "xml" in content_type:
            return _from_xml(payload)
        found = json.loads(payload)
        found = found[0] if isinstance(found, list) and found else found
        return {
            tag: tuple(_flat(item) for item in found.get(tag, {}).get("Value", ()))
            for tag in (REFERENCED_SOP_SEQUENCE, FAILED_SOP_SEQUENCE)
        }
    except (ValueError, AttributeError, TypeError, KeyError, ElementTree.ParseError) as error:
        raise ValueError("expected a Store Instances Response") from error


def outcomes_of(
    uids: Sequence[str], status: int, answer: Mapping[str, Items]
) -> tuple[StoreOutcome, ...]:
    """Return one outcome for each SOP Instance UID, in order.

    Without a list 200 means all stored and anything else none; with one, an instance that
    it does not name was not stored.
    """
    if not any(answer.values()):
        if status == 200:
            return tuple(StoreOutcome(uid, "stored") for uid in uids)
        reason = f"HTTP status {status} without a list of instances"
        return tuple(StoreOutcome(uid, "failed", 0, reason) for uid in uids)
    failed = _by_uid(answer.get(FAILED_SOP_SEQUENCE, ()))
    stored = _by_uid(answer.get(REFERENCED_SOP_SEQUENCE, ()))
    return tuple(_outcome(uid, stored, failed) for uid in uids)


def _outcome(uid: str, stored: Mapping[str, Any], failed: Mapping[str, Any]) -> StoreOutcome:
    if uid in failed:
        code = _number(failed[uid].get(FAILURE_REASON))
        status = "duplicate" if code in ALREADY_STORED else "failed"
        return StoreOutcome(uid, status, code, REASONS.get(code, f"failure reason {code}"))
    if uid in stored:
        code = _number(stored[uid].get(WARNING_REASON))
        if code:
            return StoreOutcome(uid, "warning", code, f"warning reason {code:#06x}")
        return StoreOutcome(uid, "stored")
    return StoreOutcome(uid, "failed", 0, "the answer does not name the instance")


def _by_uid(items: Items) -> dict[str, Mapping[str, Any]]:
    return {str(item.get(REFERENCED_SOP_INSTANCE_UID, "")): item for item in items}


def _flat(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return {tag: (element.get("Value") or [""])[0] for tag, element in item.items()}


def _number(value: object) -> int:
    text = str(value or "0")
    return int(text) if text.isdigit() else 0


def _from_xml(payload: bytes) -> Mapping[str, Items]:
    """Read the Native DICOM Model (PS3.19 Annex A.1)."""
    root = ElementTree.fromstring(payload)
    found: dict[str, Items] = {}
    for sequence in root:
        tag = sequence.get("tag", "")
        if tag in (REFERENCED_SOP_SEQUENCE, FAILED_SOP_SEQUENCE):
            found[tag] = tuple(
                {element.get("tag", ""): _first_text(element) for element in item}
                for item in sequence
            )
    return found


def _first_text(element: ElementTree.Element) -> str:
    return next((text.strip() for text in element.itertext() if text.strip()), "")
