"""MONAI: surface Dice at 3 mm, HD95 and average distance of two masks."""

import sys
from pathlib import Path

import numpy as np
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from serve import serve

folder = Path(sys.argv[1])
given = np.load(folder / "masks.npz")
spacing = tuple(float(step) for step in given["spacing"])
first, second = (torch.tensor(given[name])[None, None].float() for name in ("first", "second"))


def _work() -> object:
    common = {"include_background": True, "spacing": spacing}
    return (
        float(compute_surface_dice(first, second, [3.0], **common)),
        float(compute_hausdorff_distance(first, second, percentile=95, **common)),
        float(compute_average_surface_distance(first, second, symmetric=True, **common)),
    )


serve(_work, lambda found: np.save(folder / "surface-monai.npy", np.array(found)))
