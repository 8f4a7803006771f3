"""Error budgets over several looks at the same patients, and how many patients a question needs.

Alpha spending: Lan and DeMets, Biometrika 1983;70:659.

Read next: `resampling.py`.
"""

from __future__ import annotations

import math

from scipy import stats


def spent(fraction: float, alpha: float, rule: str) -> float:
    """Return the one-sided type I error spent when a fraction of the information is in.

    O'Brien-Fleming type: 2 - 2 Phi(z(1 - alpha/2) / sqrt(t)); Pocock type:
    alpha ln(1 + (e - 1) t).
    """
    if rule == "pocock":
        return alpha * math.log(1 + (math.e - 1) * fraction)
    return float(2 - 2 * stats.norm.cdf(stats.norm.ppf(1 - alpha / 2) / math.sqrt(fraction)))


def alpha_of_look(look: int, looks: int, alpha: float, rule: str) -> float:
    """Return the type I error that the look may use: what was not spent at the one before.

    The increments sum to alpha, so that by Bonferroni's inequality the looks together err with
    probability at most alpha, whatever their correlation.
    """
    before = spent((look - 1) / looks, alpha, rule) if look > 1 else 0.0
    return spent(look / looks, alpha, rule) - before


def cases_for_margin(margin: float, deviation: float, alpha: float, power: float) -> int:
    """Return how many paired patients show non-inferiority at no true difference.

    n = ((z(1 - alpha) + z(power)) sd / margin)^2, rounded up (Julious, Stat Med 2004, 4.2), for
    superiority with the true difference in place of the margin.

    Raises
    ------
    ValueError : an argument is not positive and finite, alpha lies outside 0 to 0.5, or power
        outside 0.5 to 1.

    Examples
    --------
    >>> cases_for_margin(0.02, 0.05, 0.025, 0.9)
    66
    """
    if not (0 < margin < math.inf and 0 < deviation < math.inf):
        raise ValueError(f"expected a margin and a deviation above 0, found {margin}, {deviation}")
    if not (0 < alpha < 0.5 and 0.5 <= power < 1):
        raise ValueError(f"expected alpha below 0.5 and power below 1, found {alpha}, {power}")
    z = stats.norm.ppf(1 - alpha) + stats.norm.ppf(power)
    return max(2, math.ceil((float(z) * deviation / margin) ** 2))


def cases_for_share(at_least: float, level: float) -> int:
    """Return the fewest patients of whom all have to be met to show a share at that level.

    n = ln((1 - level) / 2) / ln(at_least), rounded up: the exact interval of n of n begins there.

    Raises
    ------
    ValueError : share or level lies outside 0 to 1.
    """
    if not (0 < at_least < 1 and 0 < level < 1):
        raise ValueError(f"expected a share and a level in 0 to 1, found {at_least}, {level}")
    return math.ceil(math.log((1 - level) / 2) / math.log(at_least))
