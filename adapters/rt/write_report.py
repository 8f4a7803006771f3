"""Structured report: measurements and evaluations of a run (TID 1500).

One group for each segmentation (TID 1411: volume, diameter, reference to the segment), one
for each structure of a predicted dose (TID 1501: points of its histogram, goals), one for the
case (TID 1501: outcome, mode, approval, uncertainty, other findings) and one for the
explanation.  An abstention or a refusal is a report too: the case group then says so with its
reasons, and there is no segmentation.
A run that replaces another names the earlier report as its predecessor.

Concepts that no standard scheme holds are coded in ``99OSTEON`` (listed in `CONCEPTS`).

Source: PS3.3 A.35.13 (Comprehensive 3D SR IOD); PS3.16 TID 1500, 1411, 1501, 300, 310.
Read next: `write_report_groups.py`, which builds the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from adapters.rt.equipment import MANUFACTURER, PRIVATE_SCHEME, Label, WritingContext, stamp
from adapters.rt.sources import SourceSeries
from adapters.rt.write_report_groups import (
    case_group,
    dose_group,
    explanation_group,
    segment_group,
)
from adapters.rt.write_segmentation import coded
from plugins.host.findings import DoseGrid, Explanation, Prediction, Segmentation
from plugins.host.images import Code
from plugins.host.ports import Document

TITLE = Code("126000", "DCM", "Imaging Measurement Report")
PROCEDURE = Code("363679005", "SCT", "Imaging procedure")


@dataclass(frozen=True, slots=True)
class ReportContent:
    """What a report tells.

    Parameters
    ----------
    outcome : done | abstained | refused | withdrawn (the result that it replaces).
    prediction : None for a refusal.
    segmented : (segmentation, SEG object, segment number) of each written segment.
    doses : (dose, RT Dose object) of each written dose.
    """

    outcome: str
    reasons: tuple[str, ...] = ()
    prediction: Prediction | None = None
    explanation: Explanation | None = None
    segmented: Sequence[tuple[Segmentation, Dataset, int]] = ()
    doses: Sequence[tuple[DoseGrid, Dataset]] = ()


def write_report(
    context: WritingContext, source: SourceSeries, content: ReportContent, number: int = 1
) -> Dataset:
    """Return the Comprehensive 3D SR of a run.

    Parameters
    ----------
    source : the reference series, named as evidence.
    """
    from highdicom.sr import Comprehensive3DSR, MeasurementReport

    label = Label("SR", number, "report")
    groups = [segment_group(context, source, *item) for item in content.segmented]
    groups += [dose_group(context, region) for dose, _ in content.doses for region in dose.regions]
    groups.append(case_group(context, content.outcome, content.reasons, content.prediction))
    if content.explanation is not None:
        groups.append(explanation_group(context, content.explanation))
    report = MeasurementReport(
        observation_context=_observer(context),
        procedure_reported=coded(PROCEDURE),
        imaging_measurements=groups,
        title=coded(TITLE),
    )
    dataset = Comprehensive3DSR(
        evidence=_evidence(context, source, content),
        content=report[0],
        series_instance_uid=context.uid("SR", number, "series"),
        series_number=1,
        sop_instance_uid=context.uid("SR", number, "instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    dataset.CodingSchemeIdentificationSequence = [_scheme()]
    if replaced := context.replaced("SR"):
        dataset.PredecessorDocumentsSequence = [_predecessors(context, replaced)]
    return stamp(dataset, context, label)


def _observer(context: WritingContext) -> object:
    """Return the observer: a device named by plugin and release (TID 1001, 1004)."""
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes

    request = context.request
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=context.release_uid,
                name=f"{request.plugin} {request.plugin_version}",
                manufacturer_name=MANUFACTURER,
                model_name=request.plugin,
                serial_number=context.release_hex,
            ),
        )
    )


def _evidence(
    context: WritingContext, source: SourceSeries, content: ReportContent
) -> list[Dataset]:
    """Return headers of the SEG and RT Dose objects and of every instance of the source series.

    The first one gives patient and study, so it carries the inherited ones.
    """
    written = [dataset for _, dataset, _ in content.segmented]
    written += [dataset for _, dataset in content.doses]
    images = []
    for header in source.datasets:
        image = Dataset()
        image.StudyInstanceUID = context.inherited.text("StudyInstanceUID")
        image.SeriesInstanceUID = source.series_instance_uid
        image.SOPClassUID = str(header.SOPClassUID)
        image.SOPInstanceUID = str(header.SOPInstanceUID)
        images.append(image)
    context.inherited.copy_to(images[0])
    return [*images, *written]


def _predecessors(context: WritingContext, replaced: Sequence[Document]) -> Dataset:
    """Return the reports of the run that this one replaces (PS3.3 C.17.2.1, Table 10-3b)."""
    study = Dataset()
    study.StudyInstanceUID = context.inherited.text("StudyInstanceUID")
    study.ReferencedSeriesSequence = []
    for item in replaced:
        instance = Dataset()
        instance.ReferencedSOPClassUID = item.sop_class_uid
        instance.ReferencedSOPInstanceUID = item.sop_instance_uid
        series = Dataset()
        series.SeriesInstanceUID = item.series_instance_uid
        series.ReferencedSOPSequence = [instance]
        study.ReferencedSeriesSequence.append(series)
    return study


def _scheme() -> Dataset:
    """Return the Coding Scheme Identification item of our private codes (PS3.3 C.12.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeName = "Osteon private concepts"
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    return item
