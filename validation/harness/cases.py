"""Cases as the harness judges them: what the plugin sees, and the reference standard beside it.

`CohortCases` fulfils the port `CaseSource`, so that a case of a cohort enters the pipeline where
a study from a PACS does.  The condition travels in the request's id, never in the case: a plugin
cannot tell a sweep from a patient.

Read next: `conditions.py`, `evaluate.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.errors import GeometryError
from plugins.host.case import Case
from plugins.host.images import Geometry, Volume
from plugins.host.manifest import Manifest
from plugins.host.ports import RunRequest
from validation.cohort.cases import (
    CohortFiles,
    load_case,
    load_reference,
    load_reference_dose,
    load_structures,
)
from validation.cohort.manifest import CohortCase
from validation.cohort.structures import Structures

REFERENCE_ROLE = "ct"
"""Role of the image that a reference standard lies on, where a case has it."""


@dataclass(frozen=True, slots=True)
class PlannedDose:
    """The dose of the plan that a prediction is judged by, and the regions it is read in."""

    dose: Volume
    structures: Structures


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One case to be judged.

    Parameters
    ----------
    reference : bool (frames, rows, columns) on the grid of ``reference_role``; None for a case
        that has no right answer and is to be refused, or that is judged by a dose.
    planned : the dose that is the reference standard, where it is one.
    """

    case: Case
    reference: NDArray[np.bool_] | None
    reference_role: str = REFERENCE_ROLE
    planned: PlannedDose | None = None

    def __post_init__(self) -> None:
        if self.reference is None:
            return
        shape = self.case.images[self.reference_role].geometry.shape
        if self.reference.shape != shape:
            raise GeometryError(f"expected a reference of {shape}, found {self.reference.shape}")

    @property
    def grid(self) -> Geometry:
        """The grid that the reference standard lies on."""
        return self.case.images[self.reference_role].geometry


class CohortCases:
    """The decoded evaluation of each run in progress; fulfils `CaseSource`.

    Parameters
    ----------
    prepared : gives the evaluation of a run by its id.
    """

    def __init__(self, prepared: Callable[[str], Evaluation]) -> None:
        self._prepared = prepared
        self._kept: dict[str, Evaluation] = {}

    def evaluation(self, run_id: str) -> Evaluation:
        """Return the evaluation of a run; made once, until `forget`."""
        if run_id not in self._kept:
            self._kept[run_id] = self._prepared(run_id)
        return self._kept[run_id]

    def fetch(self, request: RunRequest, manifest: Manifest) -> Case:
        """Return what the plugin sees."""
        del manifest  # routing is settled: the cohort states the role of each input
        return self.evaluation(request.run_id).case

    def forget(self, run_id: str) -> None:
        """Let the evaluation of a run go."""
        self._kept.pop(run_id, None)


def read_evaluation(item: CohortCase, files: CohortFiles, given: Sequence[str] = ()) -> Evaluation:
    """Return a case of a cohort with the roles that it is given.

    Raises
    ------
    CohortError : a file differs from what the manifest names.
    GeometryError : the reference standard lies on another grid than the image it belongs to.
    """
    case = load_case(item, files, given)
    dose = load_reference_dose(item, files)
    if dose is not None:
        return Evaluation(case, None, planned=PlannedDose(dose, load_structures(item, files)))
    found = load_reference(item, files)
    if found is None:
        return Evaluation(case, None)
    mask, grid = found
    roles = sorted(case.images, key=lambda role: (role != REFERENCE_ROLE, role))
    there = [role for role in roles if _is_on(grid, case.images[role].geometry)]
    if not there:
        raise GeometryError(f"expected the reference of {item.case_id} on the grid of an image")
    return Evaluation(case, mask, there[0])


def _is_on(grid: Geometry, image: Geometry) -> bool:
    """Return whether a grid is that of an image, to a micrometre."""
    return grid.shape == image.shape and np.allclose(grid.affine(), image.affine(), atol=1e-3)


def series_of(case: Case) -> Mapping[str, str]:
    """Return role -> Series Instance UID of a case, as routing would have chosen it."""
    found = {role: volume.series_instance_uid for role, volume in case.images.items()}
    found |= {role: item.series_instance_uid for role, item in case.structure_sets.items()}
    return dict(sorted(found.items()))
