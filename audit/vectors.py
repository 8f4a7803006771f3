"""Holds our checks against proof vectors of others: inclusion and consistency, good and bad.

The format is that of transparency-dev/merkle (``testdata``): JSON files of one proof each.
Inclusion: ``leafIdx, treeSize, leafHash, root, proof``; consistency: ``size1, size2, root1,
root2, proof``; hashes in base64, and ``wantErr`` where the proof must be refused.  A file that
is none of both counts as failed, so that an empty or misspelt vector cannot pass.

Read next: `merkle.py`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import LogTamperedError
from audit.merkle import check_consistency, check_inclusion

_INCLUSION = ("leafIdx", "treeSize")
_CONSISTENCY = ("size1", "size2")


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one vector; ``reason`` says in what way it failed, empty where it passed."""

    name: str
    passed: bool
    reason: str = ""


def judge(name: str, content: bytes) -> Judged:
    """Return whether our checks say of a vector what its makers say."""
    try:
        vector = json.loads(content)
    except ValueError:
        return Judged(name, False, "expected JSON, found other bytes")
    if not isinstance(vector, dict) or not _is_vector(vector):
        return Judged(name, False, "expected an inclusion or a consistency vector")
    wanted = vector.get("wantErr", False)
    if not isinstance(wanted, bool):
        return Judged(name, False, "expected wantErr to be true or false")
    refused = _refusal(vector)
    if wanted and refused is None:
        return Judged(name, False, "expected the proof to be refused, found it accepted")
    if not wanted and refused is not None:
        return Judged(name, False, f"expected the proof to hold, found it refused: {refused}")
    return Judged(name, True)


def _is_vector(vector: Mapping[str, Any]) -> bool:
    kinds = (_INCLUSION, _CONSISTENCY)
    return "proof" in vector and any(all(key in vector for key in kind) for kind in kinds)


def _refusal(vector: Mapping[str, Any]) -> str | None:
    """Return why the proof does not hold, None where it does."""
    try:
        proof = [_bytes(item) for item in vector["proof"] or ()]
        if all(key in vector for key in _INCLUSION):
            index, size = _whole(vector["leafIdx"]), _whole(vector["treeSize"])
            leaf, root = _bytes(vector.get("leafHash")), _bytes(vector.get("root"))
            check_inclusion(leaf, index, size, proof, root)
        else:
            size1, size2 = _whole(vector["size1"]), _whole(vector["size2"])
            roots = _bytes(vector.get("root1")), _bytes(vector.get("root2"))
            check_consistency(size1, size2, proof, *roots)
    except (LogTamperedError, TypeError, binascii.Error) as error:
        return str(error)
    return None


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, found {type(value).__name__}")
    return value


def _bytes(text: Any) -> bytes:
    """Return the bytes of base64 text; None, as Go writes an absent hash, is empty."""
    if text is None:
        return b""
    if not isinstance(text, str):
        raise TypeError(f"expected base64 text, found {type(text).__name__}")
    return base64.b64decode(text, validate=True)
