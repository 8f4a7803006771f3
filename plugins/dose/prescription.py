"""Which dose is prescribed to which region of the structure set, and where that is said.

A plan of the study that counts (`plans.py`) brings it with its dose references; every other
source brings it with the case.  Nobody guesses: without a source, with two that differ, or where
the prescription does not fit the targets of the structure set, the run is refused.

Source: PS3.3 C.8.8.10 (RT Prescription). Read next: `targets.py`, `goals.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from audit.errors import RefusalError
from plugins.dose.plans import plans_of, standing
from plugins.dose.structures import StructureMap
from plugins.dose.targets import SAME_GY, TargetDoses, prescribe
from plugins.host.images import Plan, StructureSet
from plugins.host.prescription import PrescribedTarget, Prescription

REQUIRED, CONFLICT = "PRESCRIPTION_REQUIRED", "PRESCRIPTION_CONFLICT"
OTHER_STRUCTURES = "PRESCRIPTION_OF_OTHER_STRUCTURES"
PLAN = "plan"

Levels = tuple[tuple[int, float], ...]


def prescribed(
    structures: StructureSet,
    mapped: StructureMap,
    plans: Mapping[str, Plan],
    stated: Prescription | None,
) -> tuple[Levels, str]:
    """Return ROI Number and dose in Gy of each target, highest first, and the kind of source.

    Parameters
    ----------
    stated : what came with the case.

    Raises
    ------
    RefusalError : one of the codes of this module or of `targets.py`.
    """
    stating = [plan for _, plan in plans_of(structures, plans) if plan.target_doses]
    if not stating and any(plan.target_doses for _, plan in standing(plans)):
        raise _refusal("expected a plan of this structure set", OTHER_STRUCTURES)
    sources = [_of_plan(plan, structures) for plan in stating]
    if stated is not None:
        if stated.structure_set_uid not in ("", structures.sop_instance_uid):
            raise _refusal("expected a prescription of this structure set", OTHER_STRUCTURES)
        sources.append(stated)
    if not sources:
        raise _refusal("expected a prescription, found none", REQUIRED)
    uid = structures.sop_instance_uid
    found = [_levels(prescribe(mapped, source, uid)) for source in sources]
    if any(not _same(found[0], other) for other in found[1:]):
        raise _refusal("expected one prescription, found two that differ", CONFLICT)
    return found[0], sources[0].source


def _of_plan(plan: Plan, structures: StructureSet) -> Prescription:
    uid = structures.sop_instance_uid
    numbers = [number for number, _ in plan.target_doses]
    if len(set(numbers)) < len(numbers):
        raise _refusal("expected one dose for each target of the plan", CONFLICT)
    targets = tuple(PrescribedTarget(dose, roi_number=number) for number, dose in plan.target_doses)
    return Prescription(targets, PLAN, plan.sop_instance_uid, structure_set_uid=uid)


def _levels(found: TargetDoses) -> Levels:
    if found.faults:
        codes = tuple(sorted({fault.code for fault in found.faults}))
        raise RefusalError("expected a prescription that fits the targets", reasons=codes)
    return tuple((item.entry.roi_number, item.dose_gy) for item in found.doses)


def _same(first: Levels, second: Levels) -> bool:
    one, other = dict(first), dict(second)
    if one.keys() != other.keys():
        return False
    return all(abs(dose - other[number]) <= SAME_GY for number, dose in one.items())


def _refusal(words: str, reason: str) -> RefusalError:
    return RefusalError(words, reasons=(reason,))
