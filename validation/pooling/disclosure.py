"""Which groups may be told without telling of a few patients.

A group of fewer than `SMALLEST` patients is not told.  Nor is a group from which, with the
others that are told, the sum over fewer than `SMALLEST` patients follows by adding and
subtracting: of 20 patients 17 are men, so men and all together tell the mean of 3 women.

Whoever knows the sums over groups knows the sums over every set whose membership vector lies in
the span of theirs.  Patients that no told group separates form an atom; a set in the span is a
union of atoms, so the unions of fewer than `SMALLEST` patients are tried, each by projection.

Source: Statistics Netherlands, Handbook on Statistical Disclosure Control (Hundepool et al.
2012), 4.2 (threshold rule) and 4.3 (secondary suppression by linear relations).

Read next: `aggregate.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

SMALLEST = 5
"""Fewest patients that a number which leaves a site may rest on."""
_EXACT = 1e-9
_AT_ONCE = 4096


def tellable(groups: Mapping[str, frozenset[str]], smallest: int = SMALLEST) -> frozenset[str]:
    """Return the names of the groups that may be told together.

    The larger of two groups is kept where one has to go; the same groups give the same answer.

    Parameters
    ----------
    groups : patients by name of the group.

    Examples
    --------
    >>> everybody = frozenset("abcdefghij")
    >>> sorted(tellable({"all": everybody, "men": everybody - {"a", "b"}}))
    ['all']
    """
    told: dict[str, frozenset[str]] = {}
    for name, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        if len(members) >= smallest and not tells_of_few({**told, name: members}, smallest):
            told[name] = members
    return frozenset(told)


def tells_of_few(told: Mapping[str, frozenset[str]], smallest: int = SMALLEST) -> bool:
    """Return whether sums over the groups tell the sum over fewer patients than ``smallest``."""
    patients = sorted(frozenset().union(*told.values()))
    signatures = [tuple(patient in members for members in told.values()) for patient in patients]
    atoms = {item: signatures.count(item) for item in dict.fromkeys(signatures)}
    counts = list(atoms.values())
    # One column an atom: every vector of the span is constant on it.
    basis = _orthonormal(np.array(list(atoms), dtype=np.float64).T)
    outside = np.eye(len(counts)) - basis @ basis.T
    return any(
        bool((np.abs(outside[unions].sum(axis=1)).max(axis=1) < _EXACT).any())
        for unions in _unions(counts, smallest)
    )


def _orthonormal(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an orthonormal basis (as columns) of the space that rows span."""
    _, sizes, right = np.linalg.svd(rows, full_matrices=False)
    rank = int((sizes > _EXACT * max(1.0, float(sizes.max(initial=0.0)))).sum())
    return np.asarray(right[:rank].T)


def _unions(counts: list[int], smallest: int) -> Iterator[NDArray[np.intp]]:
    """Yield the sets of atoms with fewer patients than ``smallest`` together, size by size."""
    few = [index for index, count in enumerate(counts) if count < smallest]
    number = np.array(counts)
    for size in range(1, smallest):
        sets = np.array(list(combinations(few, size)), dtype=np.intp).reshape(-1, size)
        kept = sets[number[sets].sum(axis=1) < smallest]
        for start in range(0, len(kept), _AT_ONCE):
            yield kept[start : start + _AT_ONCE]
