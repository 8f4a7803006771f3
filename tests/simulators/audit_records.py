"""One valid record of every kind, built from the schema: whatever a kind must say, it says.

Read next: `audit/kinds.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from audit.kinds import KINDS, NOT_EVALUATED
from audit.record import Actor, Record, Source, Subject, make_record

AT = datetime(2026, 11, 26, 9, 14, 41, 950000, tzinfo=UTC)
SOURCE = Source("site-a", "node-a", "research", Actor("service:node-a", "service"))
PATIENT = "hmac:v1:7f3c0000000000000000000000000000"
RELEASE = "sha256:" + "ab" * 32
_CT = "1.2.840.10008.5.1.4.1.1.2"
_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_DIGEST = "sha256:" + "cd" * 32
_KNOWN: Mapping[str, Any] = {
    "study_uid_p": "2.25.111",
    "series_uid_p": ["2.25.112", "2.25.113"],
    "frame_of_ref_uid_p": ["2.25.114"],
    "sop_uid_p": "2.25.211",
    "sop_class": [_CT],
    "n_instances": 148,
    "content_sha256": _DIGEST,
    "quality_flags": ["metal"],
    "started_at": "2026-11-26T09:14:02.118000+00:00",
    "ended_at": "2026-11-26T09:14:41.902000+00:00",
    "requested_by": "account:anna",
    "request_id": "0" * 32,
    "documents": [
        {"kind": "RTSTRUCT", "sop_uid_p": "2.25.211", "sop_class": _RTSTRUCT,
         "content_sha256": _DIGEST, "notes": []},
        {"kind": "FHIR", "sop_uid_p": NOT_EVALUATED, "sop_class": "", "content_sha256": _DIGEST,
         "notes": []},
    ],
    "deliveries": [
        {"target": "pacs-a", "kind": "RTSTRUCT", "sop_uid_p": "2.25.211", "state": "verified",
         "reason": ""},
    ],
    "rois": [{"name": "GTVp", "volume_ml": 84.2}],
    "status": "UNAPPROVED",
    "purpose_of_use": "HRESCH",
    "acquisition": {"ct": {"modality": "CT", "spacing_mm": [1.0, 1.0, 3.0]}},
    "seconds": 1.25,
    "what": "audit-log",
    "deterministic": True,
}  # fmt: skip


def body_of(kind: str) -> dict[str, Any]:
    """Return a body that states whatever the kind must."""
    schema = KINDS[kind]
    body = {key: _stated(key) for key in schema.required}
    for group, keys in schema.groups.items():
        body[group] = {key: _KNOWN.get(key, NOT_EVALUATED) for key in keys}
    return body


def _stated(key: str) -> Any:
    return _KNOWN.get(key, "2.25.999" if key.endswith("_uid_p") else f"{key}-value")


def record_of(kind: str, **fields: Any) -> Record:
    """Return a record of a kind; a run and its patient where the kind belongs to one."""
    about_run = KINDS[kind].of_run
    values: dict[str, Any] = {
        "run_id": hashlib.sha256(kind.encode()).hexdigest()[:32] if about_run else None,
        "release_digest": RELEASE if about_run else None,
        "subject": Subject(PATIENT, "10-17", "F", "SCT:421235005") if about_run else None,
    }
    source, now = fields.pop("source", SOURCE), fields.pop("now", AT)
    return make_record(kind, source, now, fields.pop("body", body_of(kind)), **(values | fields))
