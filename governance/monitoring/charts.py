"""Control charts, to be drawn: Shewhart, EWMA, CUSUM, with limits from the first cases.

They show people where the values lie.  They raise no alarm: the run length of a chart rests on
normal, independent values, and a Shewhart chart at three sigma alarms falsely every 370 cases;
alarms come from the detectors beside them.

    Shewhart   centre +- 2 and 3 sigma, sigma = mean moving range / 1.128
    EWMA       z_i = 0.2 x_i + 0.8 z_(i-1), limits +- 2.86 sigma sqrt(0.2/1.8 (1 - 0.8^(2i)))
    CUSUM      c+_i = max(0, c+_(i-1) + (x_i - centre)/sigma - 0.5), c- likewise, limit 5

Source: Montgomery, Statistical Quality Control, 6.4 (individuals), 9.1 (CUSUM, k 0.5, h 5: run
length 465), 9.2 (EWMA, lambda 0.2, L 2.86: about 370); Shewhart 1931; Page 1954; Roberts 1959.

Read next: `plan.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit.errors import SuiteError

FIRST_CASES = 20
_D2 = 1.128
_LAMBDA, _L = 0.2, 2.86
_K, CUSUM_LIMIT = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class Chart:
    """Values of one number in order, with what is drawn around them.

    Parameters
    ----------
    first : how many cases the limits come from.
    ewma_limits : half-width of the band around the centre at each case.
    cusum_high, cusum_low : sums of standardised deviations; drawn against `CUSUM_LIMIT`.
    """

    values: tuple[float, ...]
    first: int
    centre: float
    sigma: float
    ewma: tuple[float, ...]
    ewma_limits: tuple[float, ...]
    cusum_high: tuple[float, ...]
    cusum_low: tuple[float, ...]

    @property
    def beyond(self) -> tuple[int, ...]:
        """Return the indices of values beyond three sigma: cases to look at."""
        away = [abs(value - self.centre) > 3 * self.sigma for value in self.values]
        return tuple(index for index, far in enumerate(away) if far)


def chart(values: Sequence[float], first: int = FIRST_CASES) -> Chart:
    """Return the charts of a number.

    Raises
    ------
    SuiteError : fewer values than the limits need, or one that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) < first or first < 2 or not np.all(np.isfinite(x)):
        raise SuiteError(f"expected at least {first} finite values, found {len(x)}")
    centre = float(x[:first].mean())
    sigma = float(np.abs(np.diff(x[:first])).mean()) / _D2
    scaled = (x - centre) / sigma if sigma > 0 else np.sign(x - centre) * 0.0
    smooth, high, low = [], [], []
    z, up, down = centre, 0.0, 0.0
    for value, standard in zip(x, scaled, strict=True):
        z = _LAMBDA * float(value) + (1 - _LAMBDA) * z
        up = max(0.0, up + float(standard) - _K)
        down = max(0.0, down - float(standard) - _K)
        smooth.append(z)
        high.append(up)
        low.append(down)
    steps = np.arange(1, len(x) + 1)
    width = _L * sigma * np.sqrt(_LAMBDA / (2 - _LAMBDA) * (1 - (1 - _LAMBDA) ** (2 * steps)))
    return Chart(
        tuple(map(float, x)), first, centre, sigma, tuple(smooth), tuple(map(float, width)),
        tuple(high), tuple(low),
    )  # fmt: skip
