"""Contour one case, from arrays to arrays: the one path that plugin and evaluation share.

1. Lay the network grid over the CT.  2. Build the channels.  3. Let the members vote.  4. Bring
the mean probability to the CT grid and threshold it there.  5. Keep one solid component.
6. Measure the spread of the votes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contouring.ensemble import Ensemble
from models.contouring.field import exceeds_trained_field
from models.contouring.inputs import FloatArray, Grid, build_channels, network_grid, resample
from models.contouring.postprocess import BoolArray, contour_mask
from models.contouring.uncertainty import Spread, measure_spread, neighbourhood, uncertainty_map


@dataclass(frozen=True, slots=True)
class Contour:
    """Hold a contour with what it came from.

    `mask`, `probability` and `uncertainty` (bits) are [z, y, x] on the CT grid; `channels`
    (C, D, H, W) is the network's input on `network`.
    """

    mask: BoolArray
    probability: FloatArray
    uncertainty: FloatArray
    spread: Spread
    channels: FloatArray
    network: Grid


def contour_case(
    ensemble: Ensemble,
    ct_hu: npt.NDArray[np.generic],
    ct_grid: Grid,
    pet_suv: npt.NDArray[np.generic] | None = None,
    pet_grid: Grid | None = None,
    seed_point_zyx_mm: Sequence[float] | None = None,
    *,
    mirrored: bool = True,
) -> Contour:
    """Return the contour of the tumour in a crop; an empty mask says that none was found.

    Raises
    ------
    ValueError
        The CT is larger than the trained field of view (cut it with `field.crop_around`), or
        the seed point lies outside it.
    """
    if exceeds_trained_field(ct_grid.shape, ct_grid.spacing_mm):
        raise ValueError(f"expected a CT within the trained field, found {ct_grid.extent_mm} mm")
    network = network_grid(ct_grid.shape, ct_grid.spacing_mm, ct_grid.origin_mm)
    channels = build_channels(ct_hu, ct_grid, pet_suv, pet_grid, seed_point_zyx_mm, network)
    passes = ensemble.passes(channels, mirrored=mirrored)
    members = np.asarray(passes.mean(axis=1), dtype=np.float32)
    probability = resample(members.mean(axis=0), network, ct_grid)
    seed_index = None
    if seed_point_zyx_mm is not None:
        offset = np.asarray(seed_point_zyx_mm, dtype=np.float64) - ct_grid.origin_mm
        seed_index = np.rint(offset / ct_grid.spacing_mm).astype(np.int64).tolist()
    mask = contour_mask(probability, seed_index=seed_index, spacing_mm=ct_grid.spacing_mm)
    return Contour(
        mask,
        probability,
        resample(uncertainty_map(members), network, ct_grid),
        measure_spread(passes, neighbourhood(mask, ct_grid, network)),
        channels,
        network,
    )
