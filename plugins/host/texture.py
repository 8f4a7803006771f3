"""Noise, sharpness and dense bone of an image: what percentiles of all voxels do not show.

Computed by the host beside every plugin, on frames spread over the volume, along rows:

    noise      1.4826 median |I(i-1) - 2 I(i) + I(i+1)| / sqrt(6), CT in soft tissue
    edge       99th percentile of |I(i+1) - I(i-1)| / 2, everywhere
    bone_p95   95th percentile of the CT above 250 HU
    noise_bone noise times dense bone, in thousands of HU

Noise is the standard deviation of white noise on a locally linear image; a smooth kernel lowers
noise and edge, a sharp one raises both.  Dense bone rises as the tube voltage falls, and so
does noise at the same exposure: their product moves more than either beside what patients differ.

Source: Immerkaer 1996, "Fast noise variance estimation", CVIU 64:300 (second differences); median
absolute deviation: Hampel 1974; bone against voltage: Cropp et al. 2013, J Clin Imaging Sci 3:45.

Read next: `findings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from plugins.host.case import Case
from plugins.host.findings import CaseStatistics
from plugins.host.images import Volume

FRAMES = 12
SOFT_TISSUE_HU = (-20.0, 120.0)
BONE_HU = 250.0
_LEAST_VOXELS = 100
_MAD = 1.4826


def texture(role: str, volume: Volume) -> Mapping[str, float]:
    """Return the numbers of a volume in its own units; absent where it is too small for one."""
    frames, _, columns = volume.array.shape
    if columns < 3:
        return {}
    step = max(1, frames // FRAMES)
    image = np.asarray(volume.array[step // 2 :: step], dtype=np.float32)
    middle = image[..., 1:-1]
    second = np.abs(image[..., :-2] - 2 * middle + image[..., 2:])
    is_ct = volume.modality == "CT"
    low, high = SOFT_TISSUE_HU if is_ct else (0.0, np.inf)
    found = {f"{role}_edge": float(np.percentile(np.abs(image[..., 2:] - image[..., :-2]) / 2, 99))}
    counted = second[(middle > low) & (middle < high)]
    if counted.size >= _LEAST_VOXELS:
        found[f"{role}_noise"] = _MAD * float(np.median(counted)) / float(np.sqrt(6))
    bone = image[image > BONE_HU] if is_ct else image[:0]
    if bone.size >= _LEAST_VOXELS:
        dense = found[f"{role}_bone_p95"] = float(np.percentile(bone, 95))
        if f"{role}_noise" in found:
            found[f"{role}_noise_bone"] = found[f"{role}_noise"] * dense / 1000
    return found


def with_texture(case: Case, statistics: CaseStatistics) -> CaseStatistics:
    """Return statistics with the texture of every image added; a plugin's own names win."""
    found: dict[str, float] = {}
    for role, volume in sorted(case.images.items()):
        found |= texture(role, volume)
    return replace(statistics, intensity={**found, **statistics.intensity})
