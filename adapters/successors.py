"""The run that follows from another one: with a seed point, a prescription, or as a revision.

Pure: a request in, a request out.  Whoever queues it marks nothing; the earlier run is
superseded when the later one stands (`journal.closed`).

Read next: `hand.py`, `seeds/finder.py`, `prescriptions/finder.py`, `corrections.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from adapters.prescriptions.statements import with_prescription
from adapters.seeds.points import with_seed
from plugins.host.identity import SHADOW_REVISION, run_id_for
from plugins.host.images import Vector3
from plugins.host.ports import RunRequest
from plugins.host.prescription import Prescription


def seeded(
    before: RunRequest,
    point_mm: Vector3,
    requested_by: str,
    now: datetime,
    *,
    frame_of_reference_uid: str | None = None,
) -> RunRequest:
    """Return the run of the same input with a seed point.

    Parameters
    ----------
    frame_of_reference_uid : in which the point was given; checked against the image that is
        read.  None where a person gave it for this very image.
    """
    parameters = with_seed(before.parameters, point_mm)
    return replace(
        before,
        run_id=run_id_for(
            before.sop_instance_uids, before.release_digest, parameters, before.revision
        ),
        parameters=parameters,
        trigger=_trigger(before, "seed"),
        seed_point_mm=point_mm,
        seed_frame_of_reference_uid=frame_of_reference_uid,
        requested_by=requested_by,
        supersedes=before.run_id,
        opened_at=now,
    )


def prescribed(
    before: RunRequest, prescription: Prescription, requested_by: str, now: datetime
) -> RunRequest:
    """Return the run of the same input with a prescription."""
    parameters = with_prescription(before.parameters, prescription)
    return replace(
        before,
        run_id=run_id_for(
            before.sop_instance_uids, before.release_digest, parameters, before.revision
        ),
        parameters=parameters,
        trigger=_trigger(before, "prescription"),
        prescription=prescription,
        prescription_fault="",
        requested_by=requested_by,
        supersedes=before.run_id,
        opened_at=now,
    )


def revised(before: RunRequest, trigger: str, requested_by: str, now: datetime) -> RunRequest:
    """Return the next revision of a run; those in shadow count down, apart from the live ones."""
    revision = before.revision + (1 if before.revision > SHADOW_REVISION else -1)
    return replace(
        before,
        run_id=run_id_for(
            before.sop_instance_uids, before.release_digest, before.parameters, revision
        ),
        revision=revision,
        trigger=_trigger(before, trigger),
        requested_by=requested_by,
        supersedes=before.run_id,
        opened_at=now,
    )


def _trigger(before: RunRequest, trigger: str) -> str:
    """A run that a person made on files stays one: it asks for no active release."""
    return before.trigger if before.trigger == "manual" else trigger
