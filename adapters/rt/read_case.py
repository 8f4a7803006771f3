"""Put the series of one run together into a case.

Every role of the manifest that the request names is read, one of ``every`` as often as it is
filled; then what must hold between them is checked: the instances are those that the run id was
made from, one study, one patient, one frame of reference where the manifest asks for it.

An *optional* input is left out, with a note, in two cases only: it lies in another frame
of reference, or its values have no known unit (a PET without what SUV needs).  Anything
else that is wrong with it (truncated, a gap, ...) fails the run, because sending it again
would give a better result.

Read next: `adapters/case_source.py`, which brings the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydicom import Dataset

from adapters.rt.read_checks import DEFAULT_LIMIT_BYTES, SOP_CLASSES, read_all
from adapters.rt.read_dose import read_dose
from adapters.rt.read_facts import merge_subject, merge_tags
from adapters.rt.read_flat import body_part_of, flat_header
from adapters.rt.read_part10 import Instance, Source
from adapters.rt.read_plan import read_plan
from adapters.rt.read_radiograph import MODALITIES as PROJECTION_MODALITIES
from adapters.rt.read_radiograph import read_radiographs
from adapters.rt.read_series import read_series
from adapters.rt.read_structures import read_structures
from adapters.rt.sources import SourceSeries
from audit.errors import (
    InputError,
    MixedPatientsError,
    MixedSeriesError,
    SeriesChangedError,
    UnitsError,
)
from plugins.host.case import Case
from plugins.host.images import Plan, Radiograph, StructureSet, Volume
from plugins.host.manifest import Input, Manifest
from plugins.host.ports import RunRequest

IMAGE_MODALITIES = ("CT", "MR", "PT")
LEFT_OUT_FRAME = "LEFT_OUT_OTHER_FRAME_OF_REFERENCE"
LEFT_OUT_UNITS = "LEFT_OUT_WITHOUT_UNITS"

Value = Volume | StructureSet | Plan | tuple[Radiograph, ...]
"""What one role is read into."""


@dataclass(frozen=True, slots=True)
class LoadedCase:
    """A decoded case and the headers that written objects inherit, by role."""

    case: Case
    sources: Mapping[str, SourceSeries]


@dataclass(slots=True)
class _Parts:
    """What was read so far, by role."""

    images: dict[str, Volume] = field(default_factory=dict)
    structure_sets: dict[str, StructureSet] = field(default_factory=dict)
    doses: dict[str, Volume] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    radiographs: dict[str, tuple[Radiograph, ...]] = field(default_factory=dict)
    sources: dict[str, SourceSeries] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_case(
    request: RunRequest,
    manifest: Manifest,
    files: Mapping[str, Sequence[Source]],
    *,
    others: Sequence[Dataset] = (),
    other_tags: Sequence[Mapping[str, str]] = (),
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
) -> LoadedCase:
    """Return the case of a request.

    Parameters
    ----------
    files : Series Instance UID -> the objects of the series.
    others : headers of further series of the study, for the facts of the patient.
    other_tags : the same as search results.

    Raises
    ------
    SeriesChangedError : the instances are not those of the request.
    InputError : a role has no series.
    MixedSeriesError, MixedPatientsError : several studies, patients, frames of reference.
    InputError's kinds : as the readers say.
    """
    parsed = {uid: read_all(items) for uid, items in files.items()}
    everything = [item.dataset for items in parsed.values() for item in items]
    _check_instances(request, everything)
    _check_study(request, [*everything, *others])
    parts = _Parts()
    for item in _reference_first(manifest.inputs):
        found = _filling(item, request, parsed)
        if not found and item.required:
            raise InputError(f"expected a series for role {item.role}, found none")
        for number, instances in enumerate(found, start=1):
            _read_role(replace(item, role=item.numbered(number)), instances, parts, limit_bytes)
    headers = [series.first for series in parts.sources.values()]
    left = [items[0].dataset for items in parsed.values() if items]
    subject = merge_tags(merge_subject([*headers, *left, *others]), other_tags)
    reference = next(iter(parts.sources.values())).first
    case = Case(
        study_instance_uid=request.study_instance_uid,
        subject=subject,
        images=parts.images,
        structure_sets=parts.structure_sets,
        doses=parts.doses,
        plans=parts.plans,
        seed_point_mm=request.seed_point_mm,
        body_part=body_part_of(flat_header(reference)) or None,
        notes=tuple(parts.notes),
        radiographs=parts.radiographs,
        prescription=request.prescription,
    )
    return LoadedCase(case, parts.sources)


def _filling(
    item: Input, request: RunRequest, parsed: Mapping[str, Sequence[Instance]]
) -> list[Sequence[Instance]]:
    """Return what fills a role: a series, or of ``every`` each series and each RT object in it."""
    if not item.every:
        uid = request.series.get(item.role)
        return [] if uid is None else [parsed.get(uid, ())]
    uids = sorted({uid for role, uid in request.series.items() if item.holds(role)})
    series = [parsed.get(uid, ()) for uid in uids]
    if item.modality in (*IMAGE_MODALITIES, *PROJECTION_MODALITIES):
        return series
    return [[one] for items in series for one in sorted(items, key=_sop_instance_uid)]


def _sop_instance_uid(instance: Instance) -> str:
    return str(instance.dataset.get("SOPInstanceUID") or "")


def _read_role(item: Input, instances: Sequence[Instance], parts: _Parts, limit: int) -> None:
    """Read one input into ``parts``, or leave it out where the module docstring allows."""
    try:
        value, series = _read(item.modality, instances, limit)
    except UnitsError:
        if item.required:
            raise
        parts.notes.append(f"{item.role}:{LEFT_OUT_UNITS}")
        return
    if not _shares_frame(item, value, parts):
        if item.required:
            raise MixedSeriesError(
                f"expected {item.role} in the frame of reference of {item.same_frame_as}, found "
                "another"
            )
        parts.notes.append(f"{item.role}:{LEFT_OUT_FRAME}")
        return
    parts.sources[item.role] = series
    noted = value if isinstance(value, tuple) else (value,)
    notes = dict.fromkeys(note for part in noted for note in part.notes)
    parts.notes.extend(f"{item.role}:{note}" for note in notes)
    if isinstance(value, tuple):
        parts.radiographs[item.role] = value
    elif isinstance(value, StructureSet):
        parts.structure_sets[item.role] = value
    elif isinstance(value, Plan):
        parts.plans[item.role] = value
    elif value.modality == "RTDOSE":
        parts.doses[item.role] = value
    else:
        parts.images[item.role] = value


def _read(modality: str, instances: Sequence[Instance], limit: int) -> tuple[Value, SourceSeries]:
    if modality in IMAGE_MODALITIES:
        return read_series(instances, modality, limit_bytes=limit)
    if modality in PROJECTION_MODALITIES:
        return read_radiographs(instances, modality, limit_bytes=limit)
    if len(instances) != 1:
        raise MixedSeriesError(
            f"expected one {modality} object in the series, found {len(instances)}"
        )
    if modality == "RTSTRUCT":
        return read_structures(instances[0])
    if modality == "RTPLAN":
        return read_plan(instances[0])
    if modality == "RTDOSE":
        return read_dose(instances[0], limit_bytes=limit)
    raise InputError(
        f"expected a modality of {sorted(set(SOP_CLASSES.values()))}, found {modality}"
    )


def _shares_frame(item: Input, value: Value, parts: _Parts) -> bool:
    if item.same_frame_as is None or isinstance(value, Plan):
        return True
    if isinstance(value, tuple):
        return False  # a projection has no place that it could share
    reference = parts.sources.get(item.same_frame_as)
    if reference is None:
        return True
    return _frame_uid(value) == str(reference.first.get("FrameOfReferenceUID") or "")


def _frame_uid(value: Volume | StructureSet) -> str:
    if isinstance(value, StructureSet):
        return value.frame_of_reference_uid
    return value.geometry.frame_of_reference_uid


def _reference_first(inputs: Iterable[Input]) -> list[Input]:
    """Return the inputs so that those which others refer to come before them."""
    return sorted(inputs, key=lambda item: item.same_frame_as is not None)


def _check_instances(request: RunRequest, datasets: Sequence[Dataset]) -> None:
    found = {str(item.get("SOPInstanceUID") or "") for item in datasets}
    expected = set(request.sop_instance_uids)
    if found != expected:
        raise SeriesChangedError(
            f"series changed since routing: expected {len(expected)} instances, found "
            f"{len(found)} ({len(expected - found)} missing, {len(found - expected)} new)"
        )


def _check_study(request: RunRequest, datasets: Sequence[Dataset]) -> None:
    studies = {str(item.get("StudyInstanceUID") or "") for item in datasets}
    if studies != {request.study_instance_uid}:
        raise MixedSeriesError(f"expected the study of the request, found {len(studies)} studies")
    patients = {_text(item.get("PatientID")) for item in datasets} - {""}
    if len(patients) > 1:
        raise MixedPatientsError(f"expected one patient in the study, found {len(patients)}")


def _text(value: Any) -> str:
    return str(value or "").strip()
