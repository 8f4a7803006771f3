"""surface-distance: surface Dice at 3 mm, HD95 and average distance of two masks."""

import sys
from pathlib import Path

import numpy as np
import surface_distance
from serve import serve

folder = Path(sys.argv[1])
given = np.load(folder / "masks.npz")
first, second, spacing = given["first"], given["second"], tuple(given["spacing"])


def _work() -> object:
    found = surface_distance.compute_surface_distances(first, second, spacing)
    return (
        surface_distance.compute_surface_dice_at_tolerance(found, 3.0),
        surface_distance.compute_robust_hausdorff(found, 95),
        *surface_distance.compute_average_surface_distance(found),
    )


serve(_work, lambda found: np.save(folder / "surface.npy", np.array(found)))
