"""Values of one run as the hall makes them: request, case, answer, documents.

`PATIENT` are words that must never reach a record; where the hall can carry text or UIDs
from outside, these values carry them.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from plugins.host.case import Case, Subject
from plugins.host.findings import (
    CaseStatistics,
    Explanation,
    Measurement,
    Prediction,
    Segmentation,
    Uncertainty,
)
from plugins.host.images import Code, Geometry, Volume
from plugins.host.ports import Answer, Document, RunRequest

STUDY = "1.2.276.0.7230010.3.1.2.8323329.41.1700000001.111"
SERIES = "1.2.276.0.7230010.3.1.3.8323329.41.1700000002.222"
FRAME = "1.2.276.0.7230010.3.1.4.8323329.41.1700000003.333"
INSTANCES = tuple(f"{SERIES}.{number}" for number in range(1, 5))
PATIENT = ("Zzyzx", "Quillfeather", "PID-47110815", "19610203", STUDY, SERIES, FRAME, *INSTANCES)
NAME = "Quillfeather^Zzyzx"
RELEASE = "sha256:" + "ab" * 32


def request_for(number: int = 1, **changes: Any) -> RunRequest:
    """Return the request of a run; ``number`` makes another run id."""
    run_id = hashlib.sha256(f"run {number}".encode()).hexdigest()[:32]
    request = RunRequest(
        run_id=run_id,
        study_instance_uid=STUDY,
        plugin="contouring",
        plugin_version="0.1.0",
        release_digest=RELEASE,
        mode="research",
        series={"ct": SERIES},
        sop_instance_uids=INSTANCES,
        opened_at=datetime(2026, 11, 24, 9, 0, tzinfo=UTC),
        parameters={"threshold": 0.5, "seed_point": "1.0,2.0,3.0"},
        seed_point_mm=(1.0, 2.0, 3.0),
    )
    return replace(request, **changes)


def case_for(value: float = 0.0, **changes: Any) -> Case:
    """Return a case of four small CT slices."""
    geometry = Geometry((4, 6, 5), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), _axes(), FRAME)
    volume = Volume(
        array=np.full(geometry.shape, value, np.float32),
        geometry=geometry,
        modality="CT",
        units="[hnsf'U]",
        study_instance_uid=STUDY,
        series_instance_uid=SERIES,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uids=INSTANCES,
        acquisition={"manufacturer": "ACME MEDICAL", "kvp": 120.0, "protocol": NAME},
        notes=("STUDY_ID_CUT",),
    )
    case = Case(STUDY, Subject(15.5, "F", 50.0), {"ct": volume}, body_part="LEG", notes=(NAME,))
    return replace(case, **changes)


def answer_for(case: Case | None = None, *, abstain: bool = False) -> Answer:
    """Return an answer with one region, its explanation and free text where a plugin has some."""
    geometry = (case or case_for()).images["ct"].geometry
    mask = np.zeros(geometry.shape, np.bool_)
    mask[1:3, 2:4, 1:3] = True
    volume = Measurement(Code("118565006", "SCT", "Volume"), 0.024, "ml", (0.02, 0.03))
    diameter = Measurement(Code("L0JK", "IBSIMCID", "Maximum 3D Diameter"), 3.7, "mm")
    region = Segmentation(
        name="GTVp",
        mask=mask,
        geometry=geometry,
        reference_role="ct",
        property_category=Code("91723000", "SCT", "Anatomical structure"),
        property_type=Code("86049000", "SCT", "Neoplasm, Primary"),
        interpreted_type="GTV",
        measurements=(volume, diameter),
        description=NAME,
    )
    reasons = (f"LOW_SCORE {NAME}",) if abstain else ()
    uncertainty = Uncertainty("predicted-dsc", 0.81, (0.7, 0.9), abstain=abstain, reasons=reasons)
    statistics = CaseStatistics(intensity={"mean": 1.0}, embedding=(0.1, 0.2))
    explanation = Explanation(
        method="exact-shapley",
        target=f"volume of {NAME} in ml",
        contributions=(("ct", 0.6), ("pet", 0.4)),
        attribution=None,
        geometry=None,
        faithfulness={"deletion_auc": 0.2, "deletion_auc_random": 0.6},
        seconds=1.25,
    )
    runtime = {"python": "3.11.7", "cpu": "Some CPU(R) 3.0GHz; avx2", "deterministic": "true"}
    findings = () if abstain else (region,)
    return Answer(Prediction(findings, uncertainty, statistics), explanation, runtime, 2.5)


def documents_for(request: RunRequest) -> tuple[Document, ...]:
    """Return an RTSTRUCT, a parametric map and a FHIR bundle of a run."""
    made = []
    for kind, sop_class in (
        ("RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3"),
        ("PMAP", "1.2.840.10008.5.1.4.1.1.30"),
        ("FHIR", ""),
    ):
        seed = int(hashlib.sha256(f"{request.run_id}{kind}".encode()).hexdigest()[:30], 16)
        uid = f"2.25.{seed}" if sop_class else ""
        made.append(
            Document(
                kind=kind,
                path=Path("outbox") / request.run_id / kind,
                content_digest=f"sha256:{hashlib.sha256(uid.encode()).hexdigest()}",
                sop_class_uid=sop_class,
                sop_instance_uid=uid,
                series_instance_uid=f"{uid}1" if uid else "",
                study_instance_uid=STUDY if uid else "",
            )
        )
    return tuple(made)


def _axes() -> tuple[tuple[float, float, float], ...]:
    return ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
