"""How much of a cohort's error budget a look spends, and when it is used up.

A release passes where every criterion does, so that it passes wrongly with probability at most the
largest error of its criteria, not their sum (intersection-union).  The error of one criterion is

    non-inferiority, superiority    what alpha spending gives this look; none beyond planned looks,
                                    which are "insufficient"
    decided by its interval         (1 - level) / 2, at every look
    decided by the estimate         none is promised; openings alone are counted

and looks of one family add up (Bonferroni): all releases of one plugin on the same patients.

Source: Berger, Technometrics 1982;24:295 (intersection-union); Dwork et al., Science 2015;349:636.

Read next: `validation/cohort/wear.py`, which counts openings.
"""

from __future__ import annotations

from collections.abc import Sequence

from validation.cohort.manifest import CohortError, Seal
from validation.criteria.document import Criteria
from validation.statistics.looks import alpha_of_look

RELATIVE = ("superiority", "non-inferiority")
_ROUNDING = 1e-9


def alpha_of_run(criteria: Criteria, look: int) -> float:
    """Return the error that a look by these criteria spends.

    Parameters
    ----------
    look : number of the look by these very criteria, from 1.
    """
    found = [0.0]
    for item in criteria.criteria:
        if item.kind in RELATIVE:
            if look <= item.looks:
                found.append(alpha_of_look(look, item.looks, item.alpha, item.spending))
        elif item.decide_by == "interval":
            found.append((1 - criteria.level) / 2)
    return max(found)


def alpha_planned(criteria: Criteria) -> float:
    """Return the error that the looks which criteria plan spend together, at least one look."""
    looks = max([item.looks for item in criteria.criteria if item.kind in RELATIVE], default=1)
    return sum(alpha_of_run(criteria, look) for look in range(1, looks + 1))


def require_alpha(seals: Sequence[Seal], before: float, now: float) -> None:
    """Return where a look may be taken within the least budget that a seal ever stated.

    Raises
    ------
    CohortError : it would be exceeded (SEAL_ALPHA_SPENT).
    """
    budgets = [seal.alpha for seal in seals if seal.state == "sealed"]
    if budgets and before + now > min(budgets) + _ROUNDING:
        raise CohortError(
            f"expected an error of at most {min(budgets):g} over all looks at the cohort, found "
            f"{before:g} spent and {now:g} asked for",
            reasons=(f"SEAL_ALPHA_SPENT {min(budgets):g}",),
            advice="Judge on patients that no release of the plugin was judged on, or plan the "
            "looks beforehand: criteria with `looks` share one alpha.",
        )
