"""The game by which shares are found: players of a patient, coalitions predicted in time.

Players are the organs and the outer margin of each target; the value of a coalition is the DVH
points of the true structures, predicted anew.  No prediction begins that is not expected to end in
time, judged by the longest so far.

Read `explain.py` next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.dose.patient import Patient
from models.dose.uncertainty import Point, dvh_points, structure_name
from models.physics.distance import distance_mm

FloatArray = NDArray[np.float32]
Values = Mapping[Point, float]
Coalition = frozenset[str]

MARGIN_MM = 3.0
MARGIN = " margin"


@dataclass(frozen=True, slots=True)
class Made:
    """A prediction of the patient that was made already: its dose, and how long it took."""

    dose_gy: FloatArray
    seconds: float


class Game:
    """Values of coalitions of one patient, each predicted once.

    Parameters
    ----------
    expected_s : what a prediction is expected to take, until one took longer.
    """

    def __init__(
        self,
        predict: Callable[..., FloatArray],
        patient: Patient,
        ends_at: float,
        expected_s: float = 0.0,
    ) -> None:
        self._predict, self._patient, self.ends_at = predict, patient, ends_at
        self._known: dict[Coalition, Values] = {}
        self._longest = expected_s
        self.evaluations = 0
        self._cores = {
            structure_name(gray, patient.top_gy): (distance_mm(~mask, patient.voxel_mm) > MARGIN_MM)
            for gray, mask in patient.targets
        }
        margins = [name + MARGIN for name, core in self._cores.items() if core.any()]
        self.players = (*sorted(patient.organs), *margins)

    def value(self, coalition: Coalition) -> Values | None:
        """Return the points of a coalition; None where the time does not suffice."""
        if coalition not in self._known:
            if not self.has_time():
                return None
            self._known[coalition] = self.points(self._variant(coalition))
        return self._known[coalition]

    def know(self, dose_gy: FloatArray) -> None:
        """Take the points of the whole coalition from a dose that was predicted already."""
        self._known[frozenset(self.players)] = dvh_points(dose_gy, self._patient)

    def points(self, patient: Patient, priorities: Mapping[str, float] | None = None) -> Values:
        """Return the points of the true structures, for another patient's or plan's prediction."""
        begun = time.monotonic()
        dose = self._predict(patient) if priorities is None else self._predict(patient, priorities)
        found = dvh_points(dose, self._patient)
        self.evaluations += 1
        self._longest = max(self._longest, time.monotonic() - begun)
        return found

    @property
    def last_start(self) -> float:
        """Return when the last prediction has to begin."""
        return self.ends_at - self._longest

    def has_time(self, count: float = 1.0) -> bool:
        """Return whether one more prediction fits, or several."""
        return time.monotonic() <= self.ends_at - count * self._longest

    def _variant(self, coalition: Coalition) -> Patient:
        patient = self._patient
        targets = []
        for gray, mask in patient.targets:
            name = structure_name(gray, patient.top_gy)
            core = self._cores[name]
            kept = mask if name + MARGIN in coalition or not core.any() else mask & core
            targets.append((gray, kept))
        organs = {name: mask for name, mask in patient.organs.items() if name in coalition}
        return replace(patient, targets=tuple(targets), organs=organs)
