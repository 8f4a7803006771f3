"""Which DICOM objects an answer becomes, in a fixed order.

For each reference series with segmentations: RTSTRUCT, SEG, and a secondary capture for
each segmentation; then the maps of uncertainty and attribution, RT Dose and capture of each
dose; last the report, which refers to SEG and RT Dose.

Read next: `composer.py`, and `adapters/rt/write_*.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count

from pydicom import Dataset

from adapters.documents.agreement import check_agreement, volume_ml
from adapters.documents.canvas import Rgb
from adapters.documents.dose_objects import draw_dose, rt_dose
from adapters.documents.pictures import Overview, caption, draw_overview
from adapters.rt.equipment import PRIVATE_SCHEME, WritingContext
from adapters.rt.sources import SourceSeries
from adapters.rt.write_capture import write_capture
from adapters.rt.write_frames import ReferenceGrid, reference_grid
from adapters.rt.write_parametric_map import VoxelMap, write_parametric_map
from adapters.rt.write_report import ReportContent, write_report
from adapters.rt.write_segmentation import write_segmentation
from adapters.rt.write_structure_set import write_structure_set
from audit.errors import PluginOutputError
from plugins.host.case import Case
from plugins.host.findings import DoseGrid, Segmentation
from plugins.host.identity import RECALL
from plugins.host.images import Code, Geometry
from plugins.host.ports import Answer, RunRequest


@dataclass(frozen=True, slots=True)
class Written:
    """One object of a run, and the picture that was drawn for it."""

    kind: str
    number: int
    dataset: Dataset
    picture: Rgb | None = None

    @property
    def name(self) -> str:
        """Return the file's name in the outbox."""
        return f"{self.kind}-{self.number}.dcm"

    @property
    def picture_name(self) -> str:
        """Return the name of the picture's file."""
        return f"overview-{self.number}.png"


def objects_of(
    context: WritingContext,
    sources: Mapping[str, SourceSeries],
    role: str,
    case: Case,
    answer: Answer,
) -> Iterator[Written]:
    """Yield all objects of an answer, each as soon as it is made.

    Parameters
    ----------
    role : the reference series, to which report and maps belong.

    Raises
    ------
    PluginOutputError : a finding or a map cannot be written as it is.
    """
    prediction = answer.prediction
    if prediction.uncertainty.abstain:
        reasons = prediction.uncertainty.reasons
        content = ReportContent("abstained", reasons, prediction)
        yield Written("SR", 1, write_report(context, sources[role], content))
        return
    maps = _maps(answer, case.images[role].geometry) if role in case.images else []
    segmented: list[tuple[Segmentation, Dataset, int]] = []
    captures = count(1)

    @cache
    def grid(name: str) -> ReferenceGrid:
        return reference_grid(context, sources[name], case.images[name].geometry)

    for number, (name, group) in enumerate(_by_role(answer, case, sources).items(), start=1):
        structures = write_structure_set(context, sources[name], group, number)
        yield Written("RTSTRUCT", number, structures)
        segments = write_segmentation(context, grid(name), group, number)
        yield Written("SEG", number, segments)
        for place, item in enumerate(group, start=1):
            segmented.append((item, segments, place))
            yield _capture(context, case, answer, item, next(captures))
    for number, voxel_map in enumerate(maps, start=1):
        dataset = write_parametric_map(context, grid(role), voxel_map, number)
        yield Written("PMAP", number, dataset)
    doses: list[tuple[DoseGrid, Dataset]] = []
    for number, dose in enumerate(_doses(answer), start=1):
        dataset = rt_dose(context, case, dose, number)
        doses.append((dose, dataset))
        yield Written("RTDOSE", number, dataset)
        yield _dose_capture(context, case, dose, next(captures))
    marks = prediction.uncertainty.reasons
    content = ReportContent("done", marks, prediction, answer.explanation, segmented, doses)
    yield Written("SR", 1, write_report(context, sources[role], content))


def refusal_objects(
    context: WritingContext, source: SourceSeries, reasons: tuple[str, ...]
) -> tuple[Written, ...]:
    """Return the report of a refusal, or of a result that is withdrawn."""
    report = write_report(context, source, ReportContent(_outcome(context.request), reasons))
    return (Written("SR", 1, report),)


def _outcome(request: RunRequest) -> str:
    """Return what a run without an answer tells: refused, or withdrawn (an earlier result)."""
    return "withdrawn" if request.trigger == RECALL else "refused"


def texts_of(answer: Answer) -> tuple[str, ...]:
    """Return the texts of an answer that objects will carry; their character set must fit."""
    texts: list[str] = list(answer.prediction.uncertainty.reasons)
    texts.append(answer.prediction.uncertainty.measure)
    for finding in answer.prediction.findings:
        if isinstance(finding, Segmentation):
            texts += [finding.name, finding.description]
            texts += [item.code.meaning for item in finding.measurements]
    if answer.explanation is not None:
        texts += [
            answer.explanation.method,
            *(name for name, _ in answer.explanation.contributions),
        ]
    return tuple(texts)


def _by_role(
    answer: Answer, case: Case, sources: Mapping[str, SourceSeries]
) -> dict[str, list[Segmentation]]:
    """Return the segmentations by the role of their reference image.

    Raises
    ------
    PluginOutputError : a segmentation names a role that was not read, lies on another
        grid than its image, or contradicts its measurements.
    """
    groups: dict[str, list[Segmentation]] = {}
    for finding in answer.prediction.findings:
        if not isinstance(finding, Segmentation):
            continue
        role = finding.reference_role
        if role not in case.images or role not in sources:
            raise PluginOutputError(f"expected a role of the case for {finding.name}, found {role}")
        if finding.geometry != case.images[role].geometry:
            raise PluginOutputError(f"expected {finding.name} on the grid of {role}, found another")
        check_agreement(finding)
        groups.setdefault(role, []).append(finding)
    return groups


def _maps(answer: Answer, grid: Geometry) -> list[VoxelMap]:
    """Return the maps of an answer: uncertainty, then attribution."""
    maps = [_expected_error(dose) for dose in _doses(answer) if dose.error_gy is not None]
    uncertainty, explanation = answer.prediction.uncertainty, answer.explanation
    if uncertainty.voxels is not None:
        meaning = Code("uncertainty-map", PRIVATE_SCHEME, "Voxel uncertainty")
        maps.append(
            VoxelMap(
                "uncertainty",
                "Uncertainty of each voxel, 0 to 1",
                uncertainty.voxels,
                uncertainty.geometry or grid,
                meaning,
            )
        )
    if explanation is not None and explanation.attribution is not None:
        meaning = Code("attribution-map", PRIVATE_SCHEME, "Attribution to a voxel")
        maps.append(
            VoxelMap(
                "attribution",
                f"Attribution, {explanation.method}",
                explanation.attribution,
                explanation.geometry or grid,
                meaning,
            )
        )
    return maps


def _expected_error(dose: DoseGrid) -> VoxelMap:
    """Return the error to be expected of each voxel of a dose, in Gy."""
    if dose.error_gy is None:
        raise PluginOutputError("expected a dose with its error, found none")
    meaning = Code("expected-dose-error", PRIVATE_SCHEME, "Expected absolute error of the dose")
    gray = Code("Gy", "UCUM", "gray")
    text = "Absolute error to be expected of each voxel of the predicted dose"
    return VoxelMap("expected_error", text, dose.error_gy, dose.geometry, meaning, gray)


def _capture(
    context: WritingContext, case: Case, answer: Answer, item: Segmentation, number: int
) -> Written:
    """Return the secondary capture of a segmentation, with its picture."""
    request = context.request
    overview = Overview(
        reference=case.images[item.reference_role],
        segmentation=item,
        uncertainty=answer.prediction.uncertainty,
        explanation=answer.explanation,
        mark=_mark(context),
        caption=caption(
            (
                f"{request.plugin} {request.plugin_version}",
                f"run {request.run_id[:12]}",
                f"{item.name} {volume_ml(item):.1f} ml",
            )
        ),
        others={
            name: volume for name, volume in case.images.items() if name != item.reference_role
        },
    )
    picture = draw_overview(overview)
    dataset = write_capture(context, picture, f"{item.name} overview", number)
    return Written("SC", number, dataset, picture)


def _doses(answer: Answer) -> list[DoseGrid]:
    return [item for item in answer.prediction.findings if isinstance(item, DoseGrid)]


def _dose_capture(context: WritingContext, case: Case, dose: DoseGrid, number: int) -> Written:
    """Return the secondary capture of a dose, with its picture."""
    request = context.request
    text = caption((f"{request.plugin} {request.plugin_version}", f"run {request.run_id[:12]}"))
    picture = draw_dose(case, dose, _mark(context), text)
    dataset = write_capture(context, picture, f"{dose.name} overview", number)
    return Written("SC", number, dataset, picture)


def _mark(context: WritingContext) -> str:
    """Return the words across the picture."""
    mode = context.request.mode
    words = {"clinical": "NOT APPROVED - TO BE REVIEWED", "research": "RESEARCH USE"}
    return words.get(mode, mode.upper()) + ("" if mode == "clinical" else " - NOT APPROVED")
