"""The margin in millimetres around a contour that misses little of the reference: risk control.

The loss of a patient at margin R is the share of the reference farther than R from the contour; it
never grows with R. The margin is the least R of a ladder with

    (n mean loss(R) + 1) / (n + 1) <= alpha,

which bounds the expected loss of a new, exchangeable patient by alpha. How it holds is shown by
leaving each patient out: a margin from the others, the loss of the one.

Source: Angelopoulos et al. 2024, Conformal Risk Control, arXiv:2208.02814, theorem 1.

Read next: `validation/metrics/segmentation.py` (the losses).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Margin:
    """Hold a margin and how the ones from the other patients did.

    Parameters
    ----------
    margin_mm : None where no radius of the ladder keeps the risk, or patients are too few.
    left_out_mm : the margin of each patient from the others; NaN where there was none.
    missed : what it missed of that patient; without a margin nothing is promised: NaN.
    """

    alpha: float
    margin_mm: float | None
    left_out_mm: tuple[float, ...]
    missed: tuple[float, ...]


def risk_controlled(losses: FloatArray, radii_mm: Sequence[float], alpha: float) -> Margin:
    """Return the margin that bounds the expected loss by alpha, and leave-one-out checks.

    Parameters
    ----------
    losses : (patients, radii), each row falling or equal along the radii, from 0 to 1.

    Raises
    ------
    ValueError : a loss lies outside 0 to 1, grows with the radius, or alpha is not between.
    """
    values = np.asarray(losses, np.float64)
    good = values.ndim == 2 and values.shape[1] == len(radii_mm) and bool(np.isfinite(values).all())
    if not good or not 0.0 < alpha < 1.0:
        raise ValueError(f"expected losses (patients, {len(radii_mm)}), found {values.shape}")
    if values.size and (values.min() < 0 or values.max() > 1 or (np.diff(values) > 1e-12).any()):
        raise ValueError("expected losses from 0 to 1 that fall with the radius, found others")
    left_out, missed = [], []
    for patient in range(len(values)):
        place = _least(np.delete(values, patient, axis=0), alpha)
        left_out.append(float("nan") if place is None else float(radii_mm[place]))
        missed.append(float("nan") if place is None else float(values[patient, place]))
    place = _least(values, alpha)
    margin = None if place is None else float(radii_mm[place])
    return Margin(alpha, margin, tuple(left_out), tuple(missed))


def _least(losses: FloatArray, alpha: float) -> int | None:
    """Return the place of the least radius that keeps the bound; None where none does."""
    count = len(losses)
    bound = (losses.sum(axis=0) + 1.0) / (count + 1)
    kept = np.flatnonzero(bound <= alpha)
    return int(kept[0]) if len(kept) else None
