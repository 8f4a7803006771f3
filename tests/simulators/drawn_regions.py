"""Regions of a structure set as boxes in the patient, for tests of names, sides and targets."""

from __future__ import annotations

import numpy as np

from plugins.host.images import Contour, RegionOfInterest

HEAD = {
    "External": (0.0, 0.0, 0.0, 90.0),
    "SpinalCord": (0.0, 40.0, 0.0, 6.0),
    "Brainstem": (0.0, 30.0, 60.0, 12.0),
    "Parotid_L": (58.0, 10.0, 20.0, 14.0),
    "Parotid_R": (-57.0, 10.0, 20.0, 14.0),
    "Larynx": (0.0, -20.0, -40.0, 14.0),
    "PTV70": (25.0, 0.0, 10.0, 20.0),
}
"""Name -> centre x, y, z (LPS mm) and half width of each structure of a head."""


def box(
    number: int,
    name: str,
    centre: tuple[float, float, float],
    half: float = 12.0,
    kind: str = "ORGAN",
) -> RegionOfInterest:
    """Return a region of seven square contours, 3 mm apart."""
    x, y, z = centre
    square = np.array([(-half, -half), (half, -half), (half, half), (-half, half)])
    contours = tuple(
        Contour(np.column_stack([square + np.array((x, y)), np.full(4, z + 3.0 * step)]))
        for step in range(-3, 4)
    )
    return RegionOfInterest(number, name, kind, contours)


def head(*, shift_mm: float = 0.0, mirrored: bool = False, **names: str) -> list[RegionOfInterest]:
    """Return the regions of a head.

    Parameters
    ----------
    shift_mm : of the whole patient towards the left.
    mirrored : the image is reflected, so that everything lies on the other side.
    names : other names for structures, empty to leave one out.
    """
    found = []
    for number, (name, (x, y, z, half)) in enumerate(HEAD.items(), 1):
        written = names.get(name, name)
        kind = "EXTERNAL" if name == "External" else "PTV" if name == "PTV70" else "ORGAN"
        if written:
            place = ((-x if mirrored else x) + shift_mm, y, z)
            found.append(box(number, written, place, half, kind))
    return found
