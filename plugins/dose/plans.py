"""Which plans of the case count for its structure set: for prescription and for beams.

    rejected, or of an intent that treats nobody (verification, QA, service)    does not count
    named by another as its predecessor                                        does not count
    of another structure set or frame of reference (an earlier course)          does not count

Approved or draft makes no difference.  A plan that names no structure set counts where no plan
names this one.

Source: PS3.3 C.8.8.9 (Plan Intent, RT Plan Relationship), C.8.8.16 (Approval Status).
Read next: `prescription.py`, `beams.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from plugins.host.images import Plan, StructureSet

TREATS_NOBODY = ("VERIFICATION", "MACHINE_QA", "SERVICE")
REJECTED = "REJECTED"

Plans = tuple[tuple[str, Plan], ...]


def standing(plans: Mapping[str, Plan]) -> Plans:
    """Return role and plan of those that would treat and that no other replaces, by role."""
    treating = [
        (role, plan)
        for role, plan in sorted(plans.items())
        if plan.approval_status.upper() != REJECTED and plan.intent.upper() not in TREATS_NOBODY
    ]
    replaced = {uid for _, plan in treating for uid in plan.replaces}
    return tuple(pair for pair in treating if pair[1].sop_instance_uid not in replaced)


def plans_of(structures: StructureSet, plans: Mapping[str, Plan]) -> Plans:
    """Return those of the standing plans that were made on this structure set."""
    frames = ("", structures.frame_of_reference_uid)
    here = [pair for pair in standing(plans) if pair[1].frame_of_reference_uid in frames]
    uid = structures.sop_instance_uid
    named = tuple(pair for pair in here if pair[1].referenced_structure_set_uid == uid)
    return named or tuple(pair for pair in here if pair[1].referenced_structure_set_uid is None)
