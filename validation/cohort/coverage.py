"""The coverage table: which kinds of patient a cohort holds, and explicitly which it does not.

Axes are tumour type, tumour site, age band, sex, scanner, metal and pre- or post-operative.
A *cell* is one level on every axis.  Because nearly all of the full cross are empty, the table
states every occupied cell, and as "not covered" each level of the target population without a
patient and each pair of such levels without one.  Patients are counted, not cases.  A target that
names ``unknown`` on an axis asks nothing of it: that nobody's sex is unknown is no gap.

Source: REGULATORY.md AIA-10.3 ("not covered" cells are explicit; a case in one is not processed
silently); Regulation (EU) 2024/1689 Art. 10(3).

Read next: `linkage.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from validation.cohort.manifest import AXES, Cohort, CohortFacts

UNKNOWN = "unknown"
"""The level of a patient of whom an axis is not known; nobody can be missing from it."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many patients a cohort holds of each kind.

    Parameters
    ----------
    levels : axis -> level -> patients; every level of the target, and what else was found.
    cells : occupied cells, in the order of `AXES`, with their patients.
    not_covered : (axis, level) of the target without a patient.
    pairs_not_covered : ((axis, level), (axis, level)) without a patient, where each of the two
        levels alone has one.
    beyond_target : (axis, level) of patients whom the target does not name.
    """

    levels: Mapping[str, Mapping[str, int]]
    cells: Mapping[tuple[str, ...], int]
    not_covered: tuple[tuple[str, str], ...]
    pairs_not_covered: tuple[tuple[tuple[str, str], tuple[str, str]], ...]
    beyond_target: tuple[tuple[str, str], ...]

    def document(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        return {
            "schema": "osteon.coverage/1",
            "axes": list(AXES),
            "levels": {axis: dict(found) for axis, found in self.levels.items()},
            "cells": [{"cell": list(cell), "n": n} for cell, n in sorted(self.cells.items())],
            "not_covered": [list(item) for item in self.not_covered],
            "pairs_not_covered": [[list(a), list(b)] for a, b in self.pairs_not_covered],
            "beyond_target": [list(item) for item in self.beyond_target],
        }


def coverage(cohort: Cohort) -> Coverage:
    """Return the coverage table of a cohort."""
    groups: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for case in cohort.cases:
        groups[cell_of(case.facts)].add(case.patient_group)
    cells = {cell: len(members) for cell, members in groups.items()}
    levels: dict[str, dict[str, int]] = {}
    for index, axis in enumerate(AXES):
        known: dict[str, set[str]] = {level: set() for level in cohort.target[axis]}
        for cell, members in groups.items():
            known.setdefault(cell[index], set()).update(members)
        levels[axis] = {level: len(members) for level, members in known.items()}
    return Coverage(
        levels=levels,
        cells=cells,
        not_covered=tuple(
            (axis, level)
            for axis in AXES
            for level in cohort.target[axis]
            if level != UNKNOWN and not levels[axis][level]
        ),
        pairs_not_covered=_empty_pairs(cohort.target, levels, cells),
        beyond_target=tuple(
            (axis, level)
            for axis in AXES
            for level in levels[axis]
            if level not in cohort.target[axis]
        ),
    )


def cell_of(facts: CohortFacts) -> tuple[str, ...]:
    """Return the cell of a patient: a level on every axis."""
    return tuple(facts.on(axis) for axis in AXES)


def uncovered_levels(table: Coverage, facts: CohortFacts) -> tuple[str, ...]:
    """Return why a patient lies in no covered cell; none where the cell, level by level and
    pair by pair, has a patient.

    A reason is a code with the levels: ``NOT_COVERED scanner=...``.
    """
    cell = dict(zip(AXES, cell_of(facts), strict=True))
    reasons = [
        f"NOT_COVERED {axis}={level}"
        for axis, level in cell.items()
        if not table.levels[axis].get(level)
    ]
    for (axis, level), (other, second) in table.pairs_not_covered:
        if cell[axis] == level and cell[other] == second:
            reasons.append(f"NOT_COVERED {axis}={level} {other}={second}")
    return tuple(reasons)


def _empty_pairs(
    target: Mapping[str, tuple[str, ...]],
    levels: Mapping[str, Mapping[str, int]],
    cells: Mapping[tuple[str, ...], int],
) -> tuple[tuple[tuple[str, str], tuple[str, str]], ...]:
    """Return pairs of target levels that no patient combines, though each level has one."""
    found = []
    for (i, first), (j, second) in combinations(enumerate(AXES), 2):
        together = {(cell[i], cell[j]) for cell in cells}
        for a in target[first]:
            for b in target[second]:
                if UNKNOWN in (a, b):
                    continue
                if levels[first][a] and levels[second][b] and (a, b) not in together:
                    found.append(((first, a), (second, b)))
    return tuple(found)
