"""The mean of a bounded number against a stated limit: Dice, surface Dice, a share.

"No change" is every process whose conditional mean stays at or above the limit m, whatever its
distribution.  A bet of fraction f on "lower" pays

    factor = 1 + f (m - x) / (top - m),   0 < f < 1,   x <= top

which is never negative and has expectation at most 1.  Use it for a limit that was claimed (a
mean Dice of 0.80); `tails.py` finds a shift against a reference window sooner.

Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting",
JRSS B 86:1, section 3; sums.py.

Read next: `charts.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audit.errors import SuiteError
from governance.monitoring.sums import FloatArray

FRACTIONS = (0.05, 0.15, 0.35, 0.7, 0.95)


@dataclass(frozen=True, slots=True)
class BoundedMean:
    """Detector of a mean below its limit; values above ``top`` count as ``top``.

    Examples
    --------
    >>> BoundedMean(0.8).factors(np.array(1.0)).min() >= 0.04
    np.True_
    """

    limit: float
    top: float = 1.0
    fractions: tuple[float, ...] = FRACTIONS

    def __post_init__(self) -> None:
        if not self.limit < self.top or not all(0 < f < 1 for f in self.fractions):
            raise SuiteError("expected a limit below the top and fractions between 0 and 1")

    @property
    def weights(self) -> FloatArray:
        """Return equal weights of every fraction."""
        return np.full(len(self.fractions), 1.0 / len(self.fractions))

    def factors(self, value: FloatArray) -> FloatArray:
        """Return what each bet pays for values of any shape."""
        x = np.minimum(np.asarray(value), self.top)[..., np.newaxis]
        return np.asarray(
            1 + np.asarray(self.fractions) * (self.limit - x) / (self.top - self.limit)
        )
