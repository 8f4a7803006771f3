"""A limb phantom as a run: case, answer, request and source headers for the writers.

The phantom is small, so that a test takes milliseconds; `oblique` gives a grid that no
axis of the patient is parallel to.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from adapters.documents.agreement import maximum_diameter_mm, volume_ml
from adapters.documents.composer import DocumentComposer
from adapters.rt.equipment import WritingContext
from adapters.rt.identity import inherit
from adapters.rt.sources import SourceSeries
from adapters.rt.write_phantom import PhantomStudy, encode_limb
from plugins.host.case import Case, Subject
from plugins.host.findings import Explanation, Measurement, Prediction, Segmentation, Uncertainty
from plugins.host.images import Code, Geometry, Volume
from plugins.host.manifest import Input, Manifest
from plugins.host.ports import Answer, RunRequest
from validation.phantoms.limb import Grid, LimbParameters, LimbPhantom, limb

SMALL = LimbParameters(
    semi_axes_mm=(16.0, 12.0, 22.0),
    margin_mm=(12.0, 20.0, 20.0),
    ct_spacing_mm=(4.0, 2.0, 2.0),
    pet_spacing_mm=(4.5, 5.0, 5.0),
)
AXIAL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
CATEGORY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
PROPERTY = Code("86049000", "SCT", "Neoplasm, Primary")
VOLUME = Code("118565006", "SCT", "Volume")
DIAMETER = Code("L0JK", "IBSI", "Maximum 3D Diameter")
MANIFEST = Manifest(
    plugin="contouring",
    version="0.1.0",
    title="Sarcoma GTV",
    intended_purpose="research",
    evidence="real",
    inputs=(Input("ct", "CT"), Input("pet", "PT", required=False, same_frame_as="ct")),
    outputs=(),
)


@dataclass(frozen=True)
class LimbRun:
    """One run on the phantom; ``files`` are the DICOM files of the study by name."""

    phantom: LimbPhantom
    files: dict[str, bytes]
    case: Case
    answer: Answer
    request: RunRequest
    sources: dict[str, SourceSeries]

    def composer(self, outbox: Path) -> DocumentComposer:
        """Return a composer that knows this run's sources."""
        return DocumentComposer(outbox, lambda _: self.sources, lambda _: MANIFEST, "SITE-1")

    @property
    def segmentation(self) -> Segmentation:
        """Return the first finding."""
        finding = self.answer.prediction.findings[0]
        assert isinstance(finding, Segmentation)
        return finding

    def context(self) -> WritingContext:
        """Return the context that writers take."""
        source = self.sources["ct"]
        return WritingContext(self.request, MANIFEST, inherit(source.first), "SITE-1")


def limb_run(
    parameters: LimbParameters = SMALL,
    *,
    edit: Callable[[Dataset], None] | None = None,
    mode: str = "research",
) -> LimbRun:
    """Return a run on the phantom; ``edit`` makes each source header untidy."""
    phantom = limb(parameters)
    files = encode_limb(phantom, PhantomStudy())
    sources, images = {}, {}
    for role, modality, grid, values in (
        ("ct", "CT", phantom.ct_grid, phantom.ct_hu),
        ("pet", "PT", phantom.pet_grid, phantom.pet_suv),
    ):
        if grid is None or values is None:
            continue
        headers = [
            pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
            for name, content in files.items()
            if name.startswith(modality)
        ]
        for header in headers:
            if edit is not None:
                edit(header)
        images[role] = _volume(grid, values, modality, headers)
        sources[role] = SourceSeries(str(headers[0].SeriesInstanceUID), tuple(headers))
    case = Case(images["ct"].study_instance_uid, Subject(), images)
    request = RunRequest(
        run_id="0f" * 16,
        study_instance_uid=case.study_instance_uid,
        plugin="contouring",
        plugin_version="0.1.0",
        release_digest="sha256:" + "ab" * 32,
        mode=mode,
        series={role: volume.series_instance_uid for role, volume in images.items()},
        sop_instance_uids=case.sop_instance_uids(),
        opened_at=datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC),
    )
    answer = answer_for(segmentation_of(phantom.tumour, images["ct"].geometry))
    return LimbRun(phantom, files, case, answer, request, sources)


def _volume(
    grid: Grid, values: NDArray[np.float32], modality: str, headers: list[Dataset]
) -> Volume:
    first = headers[0]
    geometry = Geometry(
        grid.shape, grid.spacing_mm, grid.origin_mm, AXIAL, str(first.FrameOfReferenceUID)
    )
    return Volume(
        array=values,
        geometry=geometry,
        modality=modality,
        units={"CT": "[hnsf'U]", "PT": "g/ml"}[modality],
        study_instance_uid=str(first.StudyInstanceUID),
        series_instance_uid=str(first.SeriesInstanceUID),
        sop_class_uid=str(first.SOPClassUID),
        sop_instance_uids=tuple(str(header.SOPInstanceUID) for header in headers),
    )


def segmentation_of(
    mask: NDArray[np.bool_], geometry: Geometry, name: str = "GTVp", role: str = "ct"
) -> Segmentation:
    """Return a segmentation with its measurements."""
    bare = Segmentation(name, mask, geometry, role, CATEGORY, PROPERTY, "GTV")
    volume = volume_ml(bare)
    return replace(
        bare,
        measurements=(
            Measurement(VOLUME, volume, "mL", (volume * 0.9, volume * 1.1)),
            Measurement(DIAMETER, maximum_diameter_mm(bare), "mm"),
        ),
        anatomy=Code("61685007", "SCT", "Lower limb"),
    )


def answer_for(*segmentations: Segmentation) -> Answer:
    """Return an answer with maps of uncertainty and attribution on the first grid."""
    mask, geometry = segmentations[0].mask, segmentations[0].geometry
    soft = mask.astype(np.float32) * np.float32(0.75)
    signs = np.where(np.arange(mask.shape[2]) % 2, 1.0, -0.5).astype(np.float32)
    uncertainty = Uncertainty("predicted-dsc", 0.87, (0.8, 0.92), soft, geometry)
    explanation = Explanation(
        method="exact-shapley+integrated-gradients",
        target="volume of GTVp in ml",
        contributions=(("ct", 0.4), ("pet", 0.6)),
        attribution=soft * signs,
        geometry=geometry,
        faithfulness={"deletion_auc": 0.31, "deletion_auc_random": 0.62},
    )
    return Answer(Prediction(tuple(segmentations), uncertainty), explanation, {}, 1.0)


def oblique(shape: tuple[int, int, int], tilt_deg: float = 20.0) -> Geometry:
    """Return a grid turned about two axes, with unequal spacings."""
    tilt = np.deg2rad(tilt_deg)
    about_x = np.asarray(
        [[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]]
    )
    about_z = np.asarray(
        [[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]]
    )
    turned = (np.asarray(AXIAL) @ about_x.T @ about_z.T).tolist()
    axes = tuple(tuple(row) for row in turned)
    return Geometry(shape, (2.5, 1.1, 0.9), (-31.25, 140.5, -812.75), axes, "1.2.3.4")  # type: ignore[arg-type]


def headers_for(geometry: Geometry, series: str = "1.2.3.5") -> SourceSeries:
    """Return minimal CT headers for a grid."""
    headers = []
    for index in range(geometry.shape[0]):
        header = Dataset()
        header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        header.SOPInstanceUID = f"{series}.{index + 1}"
        header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3", series
        header.FrameOfReferenceUID, header.Modality = geometry.frame_of_reference_uid, "CT"
        header.PatientName, header.PatientID = "SYNTHETIC^GRID", "SYN-GRID"
        headers.append(header)
    return SourceSeries(series, tuple(headers))


def context_for(source: SourceSeries) -> WritingContext:
    """Return a context for headers of `headers_for`."""
    request = RunRequest(
        run_id="1e" * 16,
        study_instance_uid="1.2.3",
        plugin="contouring",
        plugin_version="0.1.0",
        release_digest="sha256:" + "cd" * 32,
        mode="research",
        series={"ct": source.series_instance_uid},
        sop_instance_uids=(),
        opened_at=datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC),
    )
    return WritingContext(request, MANIFEST, inherit(source.first), "SITE-1")
