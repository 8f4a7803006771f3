"""Boxes and single voxels: every overlap, surface distance and shift worked out by hand.

A surface piece lies at each corner of voxels that the mask's border passes: flat on a face, a
chamfer along an edge, a triangle at a corner (`models/physics/surface.py`).

Read next: `doses.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from validation.conformance.known import Known
from validation.metrics import registration, segmentation

BoolArray = NDArray[np.bool_]
STEPS = (3.0, 2.0, 1.0)
CUBE = (2.0, 2.0, 2.0)
SHORT, LONGER = (4, 5, 6), 4
"""Voxels of a box, and by how many columns another one is longer."""


def _box(low: tuple[int, int, int], sizes: tuple[int, int, int]) -> BoolArray:
    mask = np.zeros((16, 16, 16), dtype=bool)
    mask[tuple(slice(a, a + n) for a, n in zip(low, sizes, strict=True))] = True
    return mask


NOTHING = np.zeros((16, 16, 16), dtype=bool)
BOX, MOVED = _box((3, 4, 4), (4, 4, 4)), _box((5, 4, 4), (4, 4, 4))
VOXEL, SHIFTED = _box((8, 8, 3), (1, 1, 1)), _box((8, 8, 7), (1, 1, 1))
NEAR, FAR = _box((2, 3, 2), SHORT), _box((2, 3, 2), (*SHORT[:2], SHORT[2] + LONGER))


def _triangle() -> float:
    """Return the area of the triangle through the middles of three edges of a voxel."""
    z, y, x = (step / 2 for step in STEPS)
    return math.sqrt((z * y) ** 2 + (y * x) ** 2 + (z * x) ** 2) / 2


def _area(voxels: tuple[int, int, int]) -> float:
    """Return the area of a box's pieces."""
    (nz, ny, nx), (z, y, x) = (tuple(n - 1 for n in voxels), STEPS)
    faces = 2 * (nz * ny * z * y + ny * nx * y * x + nz * nx * z * x)
    edges = 2 * (nz * z * math.hypot(y, x) + ny * y * math.hypot(z, x) + nx * x * math.hypot(z, y))
    return faces + edges + 8 * _triangle()


def _longer() -> dict[str, float]:
    """Return the figures of a box against one that is longer.

    Of the shorter one only the pieces inside its far face lie off the other surface, as far as the
    far face of that or its nearest side; of the longer one what was added lies off, as far as the
    face of the shorter.
    """
    (nz, ny), (z, y, x) = (SHORT[0] - 1, SHORT[1] - 1), STEPS
    off = [
        (min(LONGER * x, k * z, (nz + 1 - k) * z, j * y, (ny + 1 - j) * y), z * y)
        for k in range(1, nz + 1)
        for j in range(1, ny + 1)
    ]
    ends = (
        (z * y, nz * ny),
        (z * math.hypot(y, x) / 2, 2 * nz),
        (y * math.hypot(z, x) / 2, 2 * ny),
    )
    off += [(LONGER * x, area) for area, count in ends for _ in range(count)]
    off += [(LONGER * x, _triangle())] * 4
    for step in range(1, LONGER):
        off += [(step * x, z * x)] * (2 * nz) + [(step * x, y * x)] * (2 * ny)
        off += [(step * x, x * math.hypot(z, y) / 2)] * 4
    total = _area(SHORT) + _area((*SHORT[:2], SHORT[2] + LONGER))
    per_frame = 2 * LONGER + SHORT[1] - 2
    return {
        "assd_mm": sum(far * area for far, area in off) / total,
        "nsd_3mm": 1 - sum(area for far, area in off if far > segmentation.TOLERANCE_MM) / total,
        "dsc": 2 * SHORT[2] / (2 * SHORT[2] + LONGER),
        "added_path_length_mm": SHORT[0] * per_frame * (y + x) / 2,
        "centroid_error_column_voxels": -LONGER / 2,
    }


def _register() -> Mapping[str, float]:
    places = np.arange(30, dtype=np.float64).reshape(10, 3)
    grid = np.meshgrid(*(np.arange(6) * step for step in STEPS), indexing="ij")
    stretch = np.stack([0.1 * grid[0], np.zeros_like(grid[1]), -0.5 * grid[2]])
    moved = places + np.array([0.0, 3.0, 4.0])
    return registration.score_registration(
        moved, places, (VOXEL, SHIFTED), STEPS, stretch, places + np.array([1.0, 0.0, 0.0])
    )


CASES = (
    Known(
        "two cubes of 4 voxels of 2 mm, one moved by 2 voxels along the frames",
        {
            "dsc": 0.5, "volume_ml": 0.512, "reference_ml": 0.512, "volume_error_ml": 0.0,
            "absolute_volume_error_percent": 0.0, "centroid_error_frame_voxels": 2.0,
            "centroid_error_row_voxels": 0.0, "centroid_error_column_voxels": 0.0,
            **{f"missed_share_at_{mm}mm": 0.5 * (mm < 2) + 0.25 * (2 <= mm < 4)
               for mm in segmentation.MARGINS_MM},
        },
        lambda: segmentation.score_segmentation(MOVED, BOX, CUBE)
        | segmentation.missed_shares(MOVED, BOX, CUBE),
        "counted: 32 of 64 voxels shared, 32 and 16 farther than 0 and 2 mm",
    ),
    Known(
        "one voxel of 3 x 2 x 1 mm moved by four columns",
        {"dsc": 0.0, "hd95_mm": 4.0, "assd_mm": 3.5, "nsd_3mm": 0.5,
         "centroid_error_column_voxels": 4.0},
        lambda: segmentation.score_segmentation(SHIFTED, VOXEL, STEPS),
        "eight triangles each: half lie 4 mm away, half 3 mm",
    ),
    Known(
        "a box of 4 x 5 x 6 voxels against one that is four columns longer",
        _longer(),
        lambda: segmentation.score_segmentation(NEAR, FAR, STEPS),
        "the distance of every piece by hand, see the docstring",
    ),
    Known(
        "nothing drawn where there is a box",
        {"dsc": 0.0, "nsd_3mm": 0.0, "hd95_mm": math.inf, "assd_mm": math.inf,
         "absolute_volume_error_percent": 100.0, "centroid_error_row_voxels": math.nan,
         "missed_share_at_20mm": 1.0},
        lambda: segmentation.score_segmentation(NOTHING, BOX, CUBE)
        | segmentation.missed_shares(NOTHING, BOX, CUBE),
        "by definition",
    ),
    Known(
        "nothing drawn where there is nothing",
        {"dsc": math.nan, "nsd_3mm": math.nan, "hd95_mm": math.nan, "assd_mm": math.nan,
         "missed_share_at_0mm": 0.0},
        lambda: segmentation.score_segmentation(NOTHING, NOTHING, CUBE)
        | segmentation.missed_shares(NOTHING, NOTHING, CUBE),
        "by definition",
    ),
    Known(
        "landmarks 5 mm off, a stretch by 1.1 and 0.5, a way back 1 mm off",
        {"tre_mm": 5.0, "tre_max_mm": 5.0, "registered_dsc": 0.0, "mda_mm": 3.5,
         "jacobian_min": 1.1 * 0.5, "inverse_consistency_mm": 1.0},
        _register,
        "3-4-5 triangle; determinant of a diagonal gradient",
    ),
)  # fmt: skip
