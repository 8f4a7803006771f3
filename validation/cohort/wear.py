"""The wear of a sealed cohort: every look at held-out patients uses some of them up.

An opening is one run of the harness; the same run again (resumed, or repeated for its digest)
is the same look.  They are counted by the content of the cohort, so that sealing it anew sets
nothing back, and the smallest budget that any of its seals stated holds.

Source: Dwork et al., Science 2015; 349: 636 (a hold-out wears out by adaptive looks);
REGULATORY.md VAL-1 (used beyond its budget: refused).

Read next: `manifest.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from validation.cohort.manifest import CohortError, Seal


@dataclass(frozen=True, slots=True)
class Opening:
    """One look at a cohort: which run, for which release, by which criteria."""

    run_id: str
    release_digest: str
    criteria_digest: str
    cohort_digest: str
    opened_by: str


def look_of(openings: Sequence[Opening], run_id: str) -> int:
    """Return the number of a run's look, from 1; the next one where it has not looked yet."""
    runs = list(dict.fromkeys(item.run_id for item in openings))
    return runs.index(run_id) + 1 if run_id in runs else len(runs) + 1


def require_unworn(seals: Sequence[Seal], openings: Sequence[Opening], run_id: str) -> int:
    """Return the number of the look that a run may take.

    Parameters
    ----------
    seals : every seal that the content of the cohort ever had here.

    Raises
    ------
    CohortError : its budget is used up (SEAL_WORN).
    """
    look = look_of(openings, run_id)
    budgets = [seal.openings for seal in seals if seal.state == "sealed"]
    if budgets and look > min(budgets):
        raise CohortError(
            f"expected at most {min(budgets)} openings of the cohort, found another asked for",
            reasons=(f"SEAL_WORN {min(budgets)}",),
            advice="Build a cohort of patients that no release was judged on.",
        )
    return look
