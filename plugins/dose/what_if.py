"""What if a target were smaller, or an organ mattered more: edits, their bounds, the changed case.

    margin:PTV_7000      mm that the target grows (or shrinks) by, on the networks' grid
    priority:Parotid_L   factor on the organ's weight in the quick plan that the networks correct

Points and goals stay those of the structures as they were drawn, so that two answers compare.  On
eight held-back patients a parotid of fourfold priority got 4 to 8 Gy less mean dose, of a quarter 3
to 6 Gy more, in every one of them; the quick plan alone moves about twice as far.  What the
networks answer is a prediction still: no planner planned it.

Read next: `plugin.py`, `models/dose/plan.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from audit.errors import RefusalError
from models.dose.patient import Patient
from models.physics.distance import distance_mm
from plugins.dose.regions import Structure, target_name
from plugins.dose.structures import MODEL_ORGANS

MARGIN, PRIORITY = "margin:", "priority:"
MARGIN_MM = (-6.0, 6.0)
PRIORITY_FACTOR = (0.25, 4.0)
UNKNOWN_EDIT, EDIT_BEYOND_BOUNDS, NOTHING_LEFT = (
    "UNKNOWN_EDIT", "EDIT_BEYOND_BOUNDS", "NOTHING_LEFT",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edited:
    """A changed patient, and factors on the weights of organs by the networks' names."""

    patient: Patient
    priorities: Mapping[str, float]


def edited(patient: Patient, structures: Sequence[Structure], edits: Mapping[str, float]) -> Edited:
    """Return the patient with edits.

    Raises
    ------
    RefusalError : UNKNOWN_EDIT, EDIT_BEYOND_BOUNDS, NOTHING_LEFT (of a target).
    """
    targets = {MARGIN + target_name(gray): gray for gray, _ in patient.targets}
    organs = {
        PRIORITY + item.name: MODEL_ORGANS[item.name]
        for item in structures
        if item.name in MODEL_ORGANS
    }
    margins, priorities = {}, {}
    for name, value in edits.items():
        if name in targets:
            margins[targets[name]] = _within(value, MARGIN_MM)
        elif name in organs:
            priorities[organs[name]] = _within(value, PRIORITY_FACTOR)
        else:
            raise RefusalError("expected an edit of this case", reasons=(UNKNOWN_EDIT,))
    changed = tuple(
        (gray, _moved(mask, margins.get(gray, 0.0), patient)) for gray, mask in patient.targets
    )
    return Edited(replace(patient, targets=changed), priorities)


def _within(value: float, bounds: tuple[float, float]) -> float:
    if not (math.isfinite(value) and bounds[0] <= value <= bounds[1]):
        raise RefusalError("expected an edit within its bounds", reasons=(EDIT_BEYOND_BOUNDS,))
    return value


def _moved(mask: NDArray[np.bool_], margin_mm: float, patient: Patient) -> NDArray[np.bool_]:
    """Return a target whose surface, half a voxel outside its outer centres, moved outwards."""
    if margin_mm == 0:
        return mask
    half = min(patient.voxel_mm[:2]) / 2
    if margin_mm < 0:
        kept = mask & (distance_mm(~mask, patient.voxel_mm) - half > -margin_mm)
    else:
        near = distance_mm(mask, patient.voxel_mm) - half <= margin_mm
        kept = mask | (near & patient.possible_dose)
    if not kept.any():
        raise RefusalError("expected a target that keeps a voxel", reasons=(NOTHING_LEFT,))
    return np.asarray(kept, np.bool_)
