"""The scores of OpenKBP, as the recipe needs them to choose, and their smooth form as a loss.

Source: Babier et al. 2021, Med Phys 48:5549: dose score = mean absolute difference over the
possible-dose mask; DVH points D99, D95, D1 of targets, D0.1cc and mean of organs. The judging
numbers come from `validation/benchmarks/dose.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

SMALL_VOLUME_MM3 = 100.0


def dvh_points(
    dose: torch.Tensor, organs: torch.Tensor, targets: torch.Tensor, voxel_mm3: float
) -> Iterator[torch.Tensor]:
    """Yield each DVH point of a dose (R, C, S) in Gy, differentiable; empty masks are left out.

    `organs` and `targets` are boolean (structures, R, C, S). Percentiles are linear between
    order statistics, as in NumPy.
    """
    small = max(1, round(SMALL_VOLUME_MM3 / voxel_mm3))
    for mask in targets:
        values = dose[mask]
        if values.numel():
            ordered = torch.sort(values).values
            for percent in (1.0, 5.0, 99.0):
                yield _percentile(ordered, percent)
    for mask in organs:
        values = dose[mask]
        if values.numel():
            share = max(100 - small / values.numel() * 100, 0.0)
            yield _percentile(torch.sort(values).values, share)
            yield values.mean()


def dvh_difference(
    predicted: torch.Tensor,
    planned: torch.Tensor,
    organs: torch.Tensor,
    targets: torch.Tensor,
    voxel_mm3: float,
) -> torch.Tensor:
    """Return the mean absolute difference over the DVH points (Gy)."""
    pairs = zip(
        dvh_points(predicted, organs, targets, voxel_mm3),
        dvh_points(planned, organs, targets, voxel_mm3),
        strict=True,
    )
    return torch.stack([(a - b).abs() for a, b in pairs]).mean()


def _percentile(ordered: torch.Tensor, percent: float) -> torch.Tensor:
    place = percent / 100 * (ordered.numel() - 1)
    low = min(int(place), ordered.numel() - 1)
    high = min(low + 1, ordered.numel() - 1)
    return torch.lerp(ordered[low], ordered[high], place - low)
