"""Real plans that come back: their dose beside the one that was predicted, once.

An RT Dose of somebody else counts that is the whole dose of an approved plan (Dose Summation Type
PLAN, Dose Type PHYSICAL) and was not here before the prediction.  Both doses are read in the
structure set that the prediction names; where that set is no longer in the archive, only voxels
are compared.

Source: PS3.3 C.8.8.3 (RT Dose), C.7.6 Approval Module (300E,0002).

Read next: `governance/oversight/plans.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from pydicom import Dataset
from scipy.ndimage import map_coordinates

from adapters.database import Transaction
from adapters.database.oversight import Look
from adapters.database.runs import RunRow
from adapters.oversight.results import foreign, know_patient, results_before
from adapters.pacs import InstanceReference, Pacs
from adapters.rt.dosimetry import region_histograms
from adapters.rt.read_dose import read_dose
from adapters.rt.read_part10 import as_instance
from adapters.rt.read_plan import read_plan
from adapters.rt.read_structures import read_structures
from adapters.run_record import inference_record
from audit.errors import GeometryError, InputError, SuiteError
from audit.pseudonym import short
from audit.record import Record, new_event_id
from governance.oversight.comparison import APPROVED
from governance.oversight.plans import (
    LEAST_COVERED,
    PlanComparison,
    PlannedPoint,
    same_prescription,
)
from models.physics.dvh import DoseVolumeHistogram
from plugins.host.images import Plan, RegionOfInterest, Volume

if TYPE_CHECKING:
    from adapters.compose import Site

D_AT_1CC_MM3 = 1000.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Planned:
    """An approved plan, its dose in Gy, and when the dose came here first."""

    plan: Plan
    dose: Volume
    first_at: datetime


@dataclass(frozen=True, slots=True)
class Predicted:
    """A predicted dose, the structure set that it names, and its regions if they are here."""

    dose: Volume
    structure_set_uid: str
    rois: tuple[RegionOfInterest, ...]


def compare_plans(site: Site, archive: Pacs, look: Look) -> int:
    """Hold the planned doses of a study against predicted ones; return how many were compared."""
    found = 0
    for planned in _planned(site, archive, look):
        for row in results_before(site, look.study_instance_uid, planned.first_at):
            found += _keep(site, planned, row)
    return found


def _planned(site: Site, archive: Pacs, look: Look) -> Iterator[Planned]:
    """Yield each whole dose of an approved plan of others that can be read."""
    study = look.study_instance_uid
    references: dict[str, list[InstanceReference]] = {"RTPLAN": [], "RTDOSE": []}
    for series in archive.search_series(study):
        if series.modality in references:
            references[series.modality] += archive.search_instances(
                study, series.series_instance_uid
            )
    with site.database.reading() as transaction:
        every = [item.sop_instance_uid for items in references.values() for item in items]
        ours = transaction.own_sop_uids(every)
    doses = [item for item in references["RTDOSE"] if foreign(item, ours)]
    if not doses:
        return
    plans = _approved(archive, [item for item in references["RTPLAN"] if foreign(item, ours)])
    for reference in doses:
        try:
            instance = as_instance(archive.retrieve_instance(reference))
            plan = plans.get(_plan_of(instance.dataset))
            if plan is None:
                continue
            dose, _ = read_dose(instance)
        except InputError as error:
            _log.warning("planned dose not readable", study=short(study), code=error.code)
            continue
        know_patient(site, study, instance)
        uid, arrived = dose.sop_instance_uids[0], look.arrived_at
        first = site.database.run(
            partial(Transaction.note_set_seen, sop_instance_uid=uid, arrived=arrived)
        )
        yield Planned(plan, dose, first)


def _approved(archive: Pacs, references: list[InstanceReference]) -> dict[str, Plan]:
    found = {}
    for reference in references:
        try:
            plan, _ = read_plan(archive.retrieve_instance(reference))
        except InputError:
            continue
        if plan.approval_status.upper() == APPROVED:
            found[plan.sop_instance_uid] = plan
    return found


def _plan_of(dose: Dataset) -> str:
    """Return the plan whose whole physical dose an object is; empty where it is no such dose."""
    if dose.get("DoseSummationType") != "PLAN" or dose.get("DoseType") != "PHYSICAL":
        return ""
    plans: Any = dose.get("ReferencedRTPlanSequence") or ()
    return str(plans[0].get("ReferencedSOPInstanceUID") or "") if len(plans) == 1 else ""


def _keep(site: Site, planned: Planned, row: RunRow) -> int:
    """Keep and record what a planned dose says of one run, once; 0 where it says nothing."""
    with site.database.reading() as transaction:
        record = inference_record(transaction, row.run_id)
    predicted = _predicted(site, row)
    frame = planned.dose.geometry.frame_of_reference_uid
    if record is None or predicted is None:
        return 0
    if not predicted.dose.geometry.frame_of_reference_uid == frame != "":
        return 0
    compared = _compared(site, planned, predicted, row, record)
    if compared is None:
        _log.warning("planned dose holds too little of the prediction", run_id=row.run_id)
        return 0

    def write(transaction: Transaction) -> int:
        uid = planned.dose.sop_instance_uids[0]
        if not transaction.note_reviewed_object(uid, row.run_id, site.now()):
            return 0
        transaction.put_plan_comparison(compared, row.release_digest)
        site.journal.plan_compared(transaction, row.request, compared)
        return 1

    return site.database.run(write)


def _predicted(site: Site, row: RunRow) -> Predicted | None:
    """Return the dose that a run predicted, with the regions of the set that it names."""
    with site.database.reading() as transaction:
        documents = transaction.documents(row.run_id)
    for document in documents:
        if document.kind == "RTDOSE" and document.path.is_file():
            content = document.path.read_bytes()
            named = as_instance(content).dataset.get("ReferencedStructureSetSequence") or ()
            uid = str(named[0].ReferencedSOPInstanceUID) if named else ""
            return Predicted(read_dose(content)[0], uid, _regions(site, row, uid))
    return None


def _regions(site: Site, row: RunRow, structure_set_uid: str) -> tuple[RegionOfInterest, ...]:
    archive, study = site.archives.get(row.pacs), row.study_instance_uid
    if archive is None or not structure_set_uid:
        return ()
    try:
        for series in archive.search_series(study):
            if series.modality != "RTSTRUCT":
                continue
            for reference in archive.search_instances(study, series.series_instance_uid):
                if reference.sop_instance_uid == structure_set_uid:
                    return read_structures(archive.retrieve_instance(reference))[0].rois
    except SuiteError as error:
        _log.warning("structures of the prediction not read", run_id=row.run_id, code=error.code)
    return ()


def _compared(
    site: Site, planned: Planned, predicted: Predicted, row: RunRow, record: Record
) -> PlanComparison | None:
    """Return the comparison; None where the plan's grid holds too little of the prediction."""
    covered, error_gy = voxel_difference(predicted.dose, planned.dose)
    if covered < LEAST_COVERED:
        return None
    now, study = site.now(), row.study_instance_uid
    ours = None if row.prescription is None else row.prescription.highest_gy
    return PlanComparison(
        new_event_id(now),
        row.run_id,
        now,
        same_prescription(ours, max(planned.plan.prescriptions_gy, default=None)),
        planned.plan.referenced_structure_set_uid == predicted.structure_set_uid,
        round(covered, 4),
        round(error_gy, 4),
        tuple(_points(record, predicted, planned.dose)),
        site.pseudonyms.uid(study, planned.plan.sop_instance_uid),
        site.pseudonyms.uid(study, planned.dose.sop_instance_uids[0]),
        record.event_id,
    )


def voxel_difference(predicted: Volume, planned: Volume) -> tuple[float, float]:
    """Return the share of predicted voxels in the planned grid, and the mean |difference| in Gy.

    Predicted voxels are those above 0 Gy; the planned dose is read linearly at their centres.
    """
    places = np.argwhere(predicted.array > 0)
    if not len(places):
        return 0.0, float("nan")
    there = np.linalg.inv(planned.geometry.affine()) @ predicted.geometry.affine()
    index = places @ there[:3, :3].T + there[:3, 3]
    inside = np.all((index >= 0) & (index <= np.asarray(planned.array.shape) - 1), axis=1)
    if not inside.any():
        return 0.0, float("nan")
    read = map_coordinates(planned.array, index[inside].T, order=1, mode="nearest")
    own = predicted.array[tuple(places[inside].T)]
    return float(inside.mean()), float(np.abs(read - own).mean(dtype=np.float64))


def _points(record: Record, predicted: Predicted, planned: Volume) -> Iterator[PlannedPoint]:
    """Yield the points that the run told, each of both doses by the same numerics."""
    regions = {roi.number: roi for roi in predicted.rois}
    held: dict[int, tuple[DoseVolumeHistogram, DoseVolumeHistogram]] = {}
    for dose in record.body.get("output", {}).get("doses", ()):
        for point in dose["points"]:
            number = int(point["roi_number"])
            if point["unit"] != "Gy" or number not in regions:
                continue
            if number not in held:
                try:
                    both = [_histogram(regions[number], d) for d in (predicted.dose, planned)]
                except (GeometryError, StopIteration):
                    del regions[number]
                    continue
                held[number] = (both[0], both[1])
            ours, theirs = (point_gy(item, point["point"]) for item in held[number])
            if np.isnan(ours) or np.isnan(theirs):
                continue
            within = None
            if "low" in point:
                shifted = point["value"] + theirs - ours
                within = bool(point["low"] <= shifted <= point["high"])
            yield PlannedPoint(
                str(point["region"]), number, str(point["point"]),
                round(ours, 4), round(theirs, 4), within,
            )  # fmt: skip


def _histogram(roi: RegionOfInterest, dose: Volume) -> DoseVolumeHistogram:
    return next(iter(region_histograms([roi], dose).values()))


def point_gy(held: DoseVolumeHistogram, point: str) -> float:
    """Return a point of a histogram in Gy by its code; NaN where the code is no such point.

    Codes are those of `plugins/dose/goals.py`: Mean, Max, Min, D95 (per cent), D0.1cc (volume).
    """
    words = {"Mean": held.mean_gy, "Max": held.most_gy, "Min": held.least_gy}
    if point in words:
        return words[point]
    number = point.removeprefix("D").removesuffix("cc")
    try:
        value = float(number)
    except ValueError:
        return float("nan")
    if not point.startswith("D"):
        return float("nan")
    if point.endswith("cc"):
        return held.dose_at_volume_gy(value * D_AT_1CC_MM3)
    return held.dose_at_percent_gy(value) if value <= 100 else float("nan")
