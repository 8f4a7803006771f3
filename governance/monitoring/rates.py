"""Rates: abstentions, refusals, overrides, failures, against the rate that was stated.

"No change" is every rate up to the limit p0, not only p0 itself.  The alternative is odds that
are a given multiple of those of p0; a grid of multiples with weights is a beta-binomial mixture
in steps (a continuous Beta weight would need the history).

    factor = (q / p0)^y * ((1 - q) / (1 - p0))^(1 - y)

At a true rate p <= p0 its expectation is 1 + (p - p0)(q - p0) / (p0 (1 - p0)) <= 1.

Source: Wald 1947 (sequential ratio); Robbins 1970 (mixtures); Clopper and Pearson 1934 for a limit
from a reference window; sums.py.

Read next: `categories.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from audit.errors import SuiteError
from governance.monitoring.sums import FloatArray

MULTIPLES = (1.5, 2.0, 4.0, 10.0, 50.0)
"""Odds of the alternatives over the odds of the limit."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Detector of a rate above its limit; cases are 1 (it happened) or 0.

    Examples
    --------
    >>> Rate(0.1).factors(np.array(0.0)).max() < 1
    np.True_
    """

    limit: float
    multiples: tuple[float, ...] = MULTIPLES

    def __post_init__(self) -> None:
        if not 0 < self.limit < 1 or not self.multiples or min(self.multiples) <= 1:
            raise SuiteError("expected a limit between 0 and 1 and multiples above 1")

    @property
    def weights(self) -> FloatArray:
        """Return equal weights of every multiple."""
        return np.full(len(self.multiples), 1.0 / len(self.multiples))

    def factors(self, value: FloatArray) -> FloatArray:
        """Return the likelihood ratios of cases 1 or 0, of any shape."""
        odds = self.limit / (1 - self.limit) * np.asarray(self.multiples)
        q = odds / (1 + odds)
        happened = np.asarray(value)[..., np.newaxis] > 0.5
        return np.asarray(np.where(happened, q / self.limit, (1 - q) / (1 - self.limit)))


def rate_limit(events: int, n: int, miss: float) -> float:
    """Return the upper Clopper-Pearson limit of a rate, one-sided at level 1 - miss.

    Examples
    --------
    >>> round(rate_limit(0, 59, 0.05), 3)
    0.05
    """
    if not 0 <= events <= n or n < 1 or not 0 < miss < 1:
        raise SuiteError(f"expected 0 to n events and a miss in (0, 1), found {events} of {n}")
    return 1.0 if events == n else float(betaincinv(events + 1, n - events, 1 - miss))
