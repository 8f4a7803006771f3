"""The dose-volume histogram of a region, and the figures that are read from it.

`DoseVolumeHistogram` holds volume by dose in narrow bins; D_x, V_x and gEUD are read from it.
`dvh_sampling.py` makes one from contours and a dose grid.

Words after ICRU report 83 and AAPM TG-263 (doi 10.1016/j.ijrobp.2017.12.013): D95% is the
dose that 95 % of the volume receives at least, D0.1cc the one that the hottest 0.1 cm³
receives at least, V20Gy the volume that receives 20 Gy or more.

Read next: `dvh_sampling.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DoseVolumeHistogram:
    """Hold the volume of a region by dose.

    Parameters
    ----------
    volume_mm3 : (N,) volume in each bin; bin n covers n to n + 1 times ``bin_gy``.
    bin_gy : width of a bin.
    least_gy, most_gy, mean_gy : of the samples, not of the bins; NaN for an empty region.
    outside_mm3 : volume outside the dose grid; it counts as receiving no dose.
    """

    volume_mm3: FloatArray
    bin_gy: float
    least_gy: float
    most_gy: float
    mean_gy: float
    outside_mm3: float

    @property
    def total_mm3(self) -> float:
        """Return the volume of the region."""
        return float(self.volume_mm3.sum())

    def cumulative_mm3(self) -> tuple[FloatArray, FloatArray]:
        """Return doses in Gy (bin edges) and the volume that receives at least each."""
        edges = np.arange(len(self.volume_mm3) + 1, dtype=np.float64) * self.bin_gy
        above = np.concatenate([np.cumsum(self.volume_mm3[::-1])[::-1], [0.0]])
        return edges, above

    def dose_at_volume_gy(self, volume_mm3: float) -> float:
        """Return the dose that a volume receives at least; NaN when the region is smaller.

        Raises
        ------
        ValueError : the volume is negative.
        """
        if volume_mm3 < 0:
            raise ValueError(f"expected a volume of 0 or more, found {volume_mm3}")
        edges, above = self.cumulative_mm3()
        if not above[0] > 0 or volume_mm3 > above[0] * (1 + 1e-9):
            return float("nan")
        if volume_mm3 == 0:
            return self.most_gy
        return float(np.clip(_falling(above, edges, volume_mm3), self.least_gy, self.most_gy))

    def dose_at_percent_gy(self, percent: float) -> float:
        """Return D_x%: the dose that a share of the volume receives at least.

        Raises
        ------
        ValueError : the share lies outside 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"expected 0 to 100 percent, found {percent}")
        return self.dose_at_volume_gy(percent / 100.0 * self.total_mm3)

    def volume_at_dose_mm3(self, dose_gy: float) -> float:
        """Return V_x: the volume that receives a dose or more."""
        edges, above = self.cumulative_mm3()
        if dose_gy <= self.least_gy:
            return self.total_mm3
        if dose_gy > self.most_gy:
            return 0.0
        return float(np.interp(dose_gy, edges, above))

    def geud_gy(self, exponent: float) -> float:
        """Return the generalised equivalent uniform dose (Σ v_i D_i^a)^(1/a).

        Source: Niemierko 1999 (Med Phys 26:1100). Negative exponents weigh cold spots.

        Raises
        ------
        ValueError : the exponent is zero.
        """
        if exponent == 0:
            raise ValueError("expected an exponent that is not zero")
        held = self.volume_mm3 > 0
        if not held.any():
            return float("nan")
        share = self.volume_mm3[held] / self.total_mm3
        dose = (np.flatnonzero(held) + 0.5) * self.bin_gy
        dose = np.clip(dose, self.least_gy, self.most_gy)
        if exponent < 0 and dose.min() <= 0:
            return 0.0
        top = dose.max()
        if top == 0:
            return 0.0
        return float(top * np.sum(share * (dose / top) ** exponent) ** (1.0 / exponent))


def _falling(above: FloatArray, edges: FloatArray, volume: float) -> float:
    """Return where the falling curve reaches a volume, straight between its points."""
    index = int(np.searchsorted(-above, -volume, side="left"))
    if index == 0:
        last = int(np.flatnonzero(above >= above[0] * (1 - 1e-12))[-1])
        return float(edges[last])
    high, low = above[index - 1], above[index]
    return float(
        edges[index - 1] + (high - volume) / (high - low) * (edges[index] - edges[index - 1])
    )
