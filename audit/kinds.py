"""The kinds of record, with the keys that the body of each must have.

``art12`` names the letters of Art. 12(2) of Regulation (EU) 2024/1689 that a kind
serves: a (risk, substantial modification), b (post-market monitoring), c (monitoring by
the deployer).  The body of ``inference`` is rows 2, 3, 7 to 12 and 14 to 28 of
REGULATORY.md section 3, and acquisition; row 13 and the rest of 14 are the record's own
``subject``.  Schemas only grow: a new key is added, none changes its meaning.

Read next: `record.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

NOT_EVALUATED = "not-evaluated"
"""Stands where nothing evaluates a field; never invented, never left out."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of record is for and must say; ``groups`` lists keys of nested objects."""

    art12: tuple[str, ...]
    required: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_run: bool = False


_A, _B, _C = "12.2.a", "12.2.b", "12.2.c"

_INPUT = (
    "study_uid_p",
    "series_uid_p",
    "frame_of_ref_uid_p",
    "sop_class",
    "n_instances",
    "content_sha256",
    "quality_flags",
)
_INFERENCE_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "plugin": (  # rows 7, 8
            "id",
            "version",
            "udi_di",
            "udi_pi",
            "manifest_sha256",
            "certificate_id",
            "doc_id",
            "ifu_version",
        ),
        "launcher": ("id", "requested_by"),  # row 9
        "model": (  # rows 10, 11
            "weights_sha256",
            "baseline_version",
            "change_seq",
            "pre_sha256",
            "post_sha256",
            "operating_point",
            "thresholds",
        ),
        "runtime": (  # rows 12
            "image_digest",
            "sbom_sha256",
            "device",
            "deterministic",
            "seed",
        ),
        "input": (*_INPUT, "spec_check"),  # rows 15 to 17
        "guards": ("ood_score", "ood_limit", "verdict", "tripped"),  # row 18
        "output": ("documents", "rois", "status"),  # row 19 to 21
        "explanation": ("kind", "sop_uid_p", "sha256"),  # row 22
        "workflow": ("ups_uid_p", "accession_p", "request_id"),  # row 23, 24
        "consent": ("decision", "consent_ref_p", "basis"),  # row 25
        "oversight": ("required_role", "assessment_due"),  # row 26
    }
)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "study_event": Kind((_B, _C), ("change", "study_uid_p")),
        "route_decision": Kind(
            (_A, _C), ("study_uid_p", "plugin", "applies", "series", "reasons", "readiness")
        ),
        "run_opened": Kind(
            (_C,),
            ("trigger", "plugin", "study_uid_p", "revision", "priority", "requested_by"),
            of_run=True,
        ),
        "input_read": Kind(
            (_B, _C),
            ("input", "acquisition", "notes"),
            MappingProxyType({"input": _INPUT}),
            of_run=True,
        ),
        "inference": Kind(
            (_A, _B, _C),
            (
                "trigger",
                "started_at",
                "ended_at",
                *_INFERENCE_GROUPS,
                "tumour_code",
                "uncertainty",
                "purpose_of_use",
                "supersedes",
                "prev_assessment",
                "acquisition",
            ),
            _INFERENCE_GROUPS,
            of_run=True,
        ),
        "explanation": Kind(
            (_B, _C), ("method", "contributions", "faithfulness", "seconds"), of_run=True
        ),
        "assessment": Kind(
            (_A, _B, _C),
            (
                "assessment",
                "structure",
                "fraction",
                "action",
                "airai",
                "reason",
                "severity",
                "source",
                "reviewer_p",
                "viewing",
                "figures",
                "edited_sop_uid_p",
                "inference_event_id",
                "version",
            ),
            of_run=True,
        ),
        "what_if": Kind((_C,), ("edits", "doses", "seconds"), of_run=True),
        "plan_comparison": Kind(
            (_B, _C),
            (
                "comparison",
                "plan_sop_uid_p",
                "dose_sop_uid_p",
                "same_prescription",
                "same_structures",
                "covered_share",
                "numbers",
                "points",
                "inference_event_id",
            ),
            of_run=True,
        ),
        "comparison": Kind(
            (_B,), ("against_run_id", "against_release", "outcome", "agreement"), of_run=True
        ),
        "replay": Kind((_B, _C), ("verdict",), of_run=True),
        "by_hand": Kind((_C,), ("action", "requested_by"), of_run=True),
        "seed": Kind((_C,), ("action", "source", "given_by"), of_run=True),
        "prescription": Kind((_C,), ("action", "source", "given_by"), of_run=True),
        "delivery": Kind((_B, _C), ("deliveries",), of_run=True),
        "refusal": Kind((_A, _B), ("reasons",), of_run=True),
        "run_closed": Kind((_C,), ("status",), of_run=True),
        "guard": Kind((_A,), ("guard", "verdict")),
        "fault": Kind((_A,), ("code", "where")),
        "release": Kind((_A,), ("action", "plugin", "version")),
        "lifecycle": Kind(
            (_A,), ("plugin", "action", "from_state", "to_state", "decided_by", "evidence")
        ),
        "governed": Kind((_A,), ("document", "name", "revision", "sha256")),
        "configuration_change": Kind((_A,), ("setting", "before_sha256", "after_sha256")),
        "consent": Kind((_C,), ("decision", "consent_ref_p", "basis")),
        "access": Kind((_C,), ("what", "purpose")),
        "key": Kind((_A,), ("action", "key_id", "purpose")),
        "account": Kind((_C,), ("action", "account", "role")),
        "incident": Kind((_A, _B), ("incident", "action", "state", "severity", "plugin")),
        "legal_hold": Kind((_A,), ("incident", "action", "plugin")),
        "cohort": Kind(
            (_B,), ("action", "cohort_sha256", "content_sha256", "criteria_sha256", "run", "look")
        ),
        "evidence": Kind((_A,), ("incident", "manifest_sha256", "complete")),
        "export": Kind((_C,), ("what", "format", "purpose", "count", "sha256", "filters")),
        "purge": Kind(
            (_C,),
            (
                "leaves",
                "count",
                "before",
                "policy_sha256",
                "decided_by",
                "approved_by",
                "signature",
            ),
        ),
        "erasure": Kind((_C,), ("subjects", "rows", "files", "decided_by", "approved_by")),
        "restore": Kind((_A,), ("backup_sha256", "made_at", "tree_size", "root_sha256")),
        "stop": Kind((_A, _C), ("scope", "decided_by")),
        "clock": Kind((_C,), ("event",)),
    }
)
