"""One finished run as values, for the tests of FHIR bundles and of delivery.

`made_run` is a limb-sarcoma run with one segmentation; its patient and UIDs are invented.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.fhir.bundle import build_bundle, build_refusal_bundle
from adapters.fhir.identity import FhirIdentity
from plugins.host.case import Case, Subject
from plugins.host.findings import Measurement, Prediction, Segmentation, Uncertainty
from plugins.host.identity import run_id_for, uid_for
from plugins.host.images import Code, Geometry, Volume
from plugins.host.manifest import Input, Manifest, Output
from plugins.host.ports import Answer, Document, RunRequest

STUDY, SERIES, FRAME = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2", "1.2.3.9"
VOLUME = Code("118565006", "SCT", "Volume")
DIAMETER = Code("L0JK", "IBSI", "Maximum 3D diameter")


@dataclass(frozen=True)
class MadeRun:
    """Everything that a bundle is built from."""

    request: RunRequest
    case: Case
    answer: Answer
    manifest: Manifest
    documents: tuple[Document, ...]
    identity: FhirIdentity

    def bundle(self) -> dict[str, Any]:
        """Return the bundle of the run."""
        return build_bundle(
            self.request, self.case, self.answer, self.manifest, self.documents, self.identity
        )

    def refusal(self, *reasons: str) -> dict[str, Any]:
        """Return the bundle of the run as if it had been refused."""
        return build_refusal_bundle(self.request, self.manifest, reasons, (), self.identity)

    def numbered(self, number: int) -> MadeRun:
        """Return another run on the same study by the same release."""
        run_id = run_id_for((f"{SERIES}.{number}",), self.request.release_digest, {})
        return replace(self, request=replace(self.request, run_id=run_id))

    def in_mode(self, mode: str) -> MadeRun:
        """Return the run in another mode."""
        return replace(self, request=replace(self.request, mode=mode))

    def abstaining(self, *reasons: str) -> MadeRun:
        """Return the run as if the plugin had withheld its findings."""
        uncertainty = replace(self.answer.prediction.uncertainty, abstain=True, reasons=reasons)
        prediction = replace(self.answer.prediction, uncertainty=uncertainty)
        return replace(self, answer=replace(self.answer, prediction=prediction))


@pytest.fixture
def made_run() -> MadeRun:
    """A finished run in research mode."""
    digest = "sha256:" + "ab" * 32
    instances = tuple(f"{SERIES}.{number}" for number in range(4))
    request = RunRequest(
        run_id=run_id_for(instances, digest, {}),
        study_instance_uid=STUDY,
        plugin="contouring",
        plugin_version="1.2.0",
        release_digest=digest,
        mode="research",
        series={"ct": SERIES},
        sop_instance_uids=instances,
        opened_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    )
    geometry = Geometry(
        (4, 6, 5), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), ((0, 0, 1), (0, 1, 0), (1, 0, 0)), FRAME
    )
    volume = Volume(
        np.zeros((4, 6, 5), np.float32),
        geometry,
        "CT",
        "[hnsf'U]",
        STUDY,
        SERIES,
        "1.2.840.10008.5.1.4.1.1.2",
        instances,
    )
    answer = Answer(_prediction(geometry), None, {"python": "3.11"}, 1.5)
    manifest = Manifest(
        plugin="contouring",
        version="1.2.0",
        title="Sarcoma contouring",
        intended_purpose="Proposes the gross tumour volume of soft-tissue and bone sarcoma.",
        evidence="real",
        inputs=(Input("ct", "CT"),),
        outputs=(Output("Segmentation", "GTVp", "86049000", "SCT", "Neoplasm, primary"),),
    )
    identity = FhirIdentity("PAT-4711", "1.2.840.99999.1", "ACC-815", STUDY)
    documents = _documents(request)
    return MadeRun(
        request, Case(STUDY, Subject(), {"ct": volume}), answer, manifest, documents, identity
    )


def _prediction(geometry: Geometry) -> Prediction:
    mask = np.zeros(geometry.shape, np.bool_)
    mask[1:3, 2:4, 2:4] = True
    region = Segmentation(
        "GTVp",
        mask,
        geometry,
        "ct",
        Code("49755003", "SCT", "Morphologically abnormal structure"),
        Code("86049000", "SCT", "Neoplasm, primary"),
        "GTV",
        (
            Measurement(VOLUME, 123.456789, "ml", (110.5, 140.25)),
            Measurement(DIAMETER, 87.654321, "mm"),
        ),
        Code("30021000", "SCT", "Lower leg"),
    )
    return Prediction((region,), Uncertainty("predicted-dsc", 0.87, (0.79, 0.93)))


def _documents(request: RunRequest) -> tuple[Document, ...]:
    classes = {
        "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
        "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
        "SR": "1.2.840.10008.5.1.4.1.1.88.33",
    }
    return tuple(
        Document(
            kind,
            Path(f"{kind}.dcm"),
            f"sha256:{number:064x}",
            sop_class,
            uid_for(request.run_id, kind, "instance"),
            uid_for(request.run_id, kind, "series"),
            STUDY,
        )
        for number, (kind, sop_class) in enumerate(classes.items())
    )
