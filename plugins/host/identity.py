"""Names that follow from content: run ids, UIDs, input digests.

A run is named before it starts, from what the search already knows, so that a second
trigger finds the first; every UID that the run writes is derived from its id, so that
writing twice writes once (SEAMS: Identity).

Read next: `ports.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from plugins.host.case import Case

SHADOW_REVISION = 0
"""Revision of a run in shadow, so that the same release may run the study live besides."""
RECALL = "recall"
"""Trigger of a run that only tells that an earlier result was withdrawn: it infers nothing."""
RECALLED = "RELEASE_RECALLED"
"""Its reason."""


def run_id_for(
    sop_instance_uids: Iterable[str],
    release_digest: str,
    parameters: Mapping[str, str | float | bool],
    revision: int = 1,
) -> str:
    """Return the id of the run of one release on these instances: 32 hex digits."""
    text = json.dumps(
        [sorted(set(sop_instance_uids)), release_digest, dict(parameters), revision],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(b"osteon.run/1\0" + text.encode()).hexdigest()[:32]


def uid_for(run_id: str, *parts: str | int) -> str:
    """Return a UID under 2.25 (PS3.5 B.2) that depends on the run and ``parts`` only."""
    text = "\0".join(("osteon.uid/1", run_id, *map(str, parts)))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    return f"2.25.{number}"


def case_digest(case: Case) -> str:
    """Return sha256:<hex> over the decoded typed values of a case.

    File bytes do not enter: a PACS may change transfer syntax and headers.  A prescription
    enters where there is one, so that every other case keeps the digest it always had.
    """
    sink = hashlib.sha256(b"osteon.case/1\0")
    for group in (case.images, case.doses, case.structure_sets, case.plans, case.radiographs):
        for role in sorted(group):
            sink.update(role.encode())
            _feed(sink, group[role])
    _feed(sink, case.seed_point_mm)
    if case.prescription is not None:
        sink.update(b"prescription")
        _feed(sink, case.prescription)
    return f"sha256:{sink.hexdigest()}"


def array_digest(array: np.ndarray[Any, Any]) -> str:
    """Return sha256:<hex> over dtype, shape and little-endian bytes of an array."""
    sink = hashlib.sha256(b"osteon.array/1\0")
    _feed(sink, array)
    return f"sha256:{sink.hexdigest()}"


_UNHASHED = {"notes", "acquisition"}


def _feed(sink: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        sink.update(f"{little.dtype.str}{little.shape}".encode())
        sink.update(little.data)
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            if item.name not in _UNHASHED:
                sink.update(item.name.encode())
                _feed(sink, getattr(value, item.name))
    elif isinstance(value, Mapping):
        for key in sorted(value):
            sink.update(str(key).encode())
            _feed(sink, value[key])
    elif isinstance(value, (tuple, list)):
        sink.update(f"[{len(value)}".encode())
        for item in value:
            _feed(sink, item)
    else:
        sink.update(f"{type(value).__name__}:{value!r};".encode())
