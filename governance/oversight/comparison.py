"""What an approved structure set says of ours: which region is whose, and what was done.

An approved set that comes back to the archive is a review that nobody had to type: its
regions are paired with ours by name (AAPM TG-263, spelling aside) and overlap, and the
difference says accepted, edited or rejected.

    same contour (surface Dice at the tolerance and DSC both at least `Limits.same`)   accept
    a pair that differs                                                                  edit
        beyond `Limits.major_hd95_mm` or below `Limits.major_surface_dice`              major
    the region of our name has no voxel in common with ours                            reject
    no region of our name, and none of our kind that overlaps         no statement about ours

The limits are chosen, not derived; a site justifies its own (`oversight` in osteon.toml).
Nothing that the suite wrote itself is ever read as a review.

Read next: `rates.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from governance.oversight.assessment import Figures

APPROVED = "APPROVED"


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a difference counts; distances in millimetres.

    Parameters
    ----------
    tolerance_mm : within it two surfaces are one (surface Dice).
    same : surface Dice and DSC of a contour that nobody changed; rounding of coordinates.
    overlap : least DSC with which regions of another name are the same structure.
    """

    tolerance_mm: float = 2.0
    same: float = 0.995
    overlap: float = 0.3
    major_hd95_mm: float = 5.0
    major_surface_dice: float = 0.8


@dataclass(frozen=True, slots=True)
class Region:
    """One region: its name, its kind (GTV, ORGAN ...), and what the port compares."""

    name: str
    kind: str
    shape: Any


class ContourComparison(Protocol):
    """The numbers; adapters fulfil it with `models.physics.agreement`."""

    def overlap(self, ours: Region, theirs: Region) -> float:
        """Return the DSC of two regions."""
        ...

    def figures(self, ours: Region, theirs: Region) -> Figures:
        """Return every figure of two regions."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What was done with one of our structures."""

    structure: str
    theirs: str
    action: str
    severity: str
    figures: Figures


def judge(
    ours: Sequence[Region],
    theirs: Sequence[Region],
    numbers: ContourComparison,
    limits: Limits | None = None,
) -> tuple[Finding, ...]:
    """Return what an approved set says of each of our structures that it speaks of.

    A region of theirs answers for one of ours at most.
    """
    limits = limits or Limits()
    taken: set[int] = set()
    found = []
    for region in sorted(ours, key=lambda item: item.name):
        number = _partner(region, theirs, taken, numbers, limits)
        if number is None:
            continue
        taken.add(number)
        figures = numbers.figures(region, theirs[number])
        action, severity = _verdict(figures, limits)
        found.append(Finding(region.name, theirs[number].name, action, severity, figures))
    return tuple(found)


def same_name(first: str, second: str) -> bool:
    """Return whether two names are one structure: case, blanks and signs do not count.

    Examples
    --------
    >>> same_name("GTVp", "gtv p"), same_name("Femur_L", "FEMUR-L"), same_name("GTVp", "GTVn")
    (True, True, False)
    """
    return _plain(first) == _plain(second) != ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+!^~]", "", name.lower())


def _partner(
    region: Region,
    theirs: Sequence[Region],
    taken: set[int],
    numbers: ContourComparison,
    limits: Limits,
) -> int | None:
    """Return the number of the region that answers for ours, None where none does."""
    free = [number for number in range(len(theirs)) if number not in taken]
    named = [number for number in free if same_name(region.name, theirs[number].name)]
    alike = named or [n for n in free if region.kind and theirs[n].kind == region.kind]
    if not alike:
        return None
    overlaps = {number: numbers.overlap(region, theirs[number]) for number in alike}
    best = max(alike, key=lambda number: overlaps[number])
    return best if named or overlaps[best] >= limits.overlap else None


def _verdict(figures: Figures, limits: Limits) -> tuple[str, str]:
    """Return action and severity of a pair."""
    if figures.dsc == 0.0 or figures.surface_dice is None or figures.hd95_mm is None:
        return "reject", "major"
    if min(figures.dsc, figures.surface_dice) >= limits.same:
        return "accept", "none"
    beyond = figures.hd95_mm > limits.major_hd95_mm
    if beyond or figures.surface_dice < limits.major_surface_dice:
        return "edit", "major"
    return "edit", "minor"
