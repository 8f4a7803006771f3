"""A neck of water with a target and two parotids as a case: CT, structures, plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from plugins.host.case import Case, Subject
from plugins.host.images import (
    Contour,
    Geometry,
    Plan,
    RegionOfInterest,
    StructureSet,
    Volume,
)

STUDY, CT, STRUCTURES = (f"1.2.826.0.1.3680043.8.498.9.{number}" for number in (1, 2, 3))
FRAME = "1.2.826.0.1.3680043.8.498.9.4"
AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
HALF_MM = (60.0, 80.0)
"""Half the depth and width of the neck."""


def circle(centre_mm: tuple[float, float], radius_mm: float, z_mm: float) -> Contour:
    """Return a circle around (x, y) in an axial plane."""
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x, y = centre_mm[0] + radius_mm * np.cos(turn), centre_mm[1] + radius_mm * np.sin(turn)
    return Contour(np.stack([x, y, np.full_like(x, z_mm)], axis=1))


def region(
    number: int, name: str, kind: str, place: tuple[float, float, float], z: tuple[float, float]
) -> RegionOfInterest:
    """Return a cylinder of (x, y, radius) between two heights, contoured every 3 mm."""
    heights = np.arange(z[0], z[1] + 0.1, 3.0)
    contours = tuple(circle(place[:2], place[2], float(height)) for height in heights)
    return RegionOfInterest(number, name, kind, contours)


def neck_case(
    spacing_mm: tuple[float, float, float] = (3.0, 4.0, 4.0),
    *,
    doses: tuple[tuple[int, float], ...] = ((1, 70.0), (2, 56.0)),
    drop: tuple[str, ...] = (),
    names: tuple[str, str] = ("PTV70", "PTV56"),
) -> Case:
    """Return the case on a CT of 120 x 200 x 240 mm with its first corner at the right top.

    Parameters
    ----------
    doses : what the plan prescribes; empty for no plan.
    drop : names of regions that the structure set has not.
    names : of the two targets.
    """
    size = np.asarray((120.0, 200.0, 240.0))
    shape = tuple(round(s / step) for s, step in zip(size, spacing_mm, strict=True))
    origin = (-118.0, -98.0, 0.0)
    geometry = Geometry(shape, spacing_mm, origin, AXES, FRAME)
    index = np.indices(shape, dtype=np.float64).reshape(3, -1).T
    x, y, _ = geometry.to_patient(index).T.reshape(3, *shape)
    inside = (x / HALF_MM[1]) ** 2 + (y / HALF_MM[0]) ** 2 < 1
    noise = np.random.default_rng(3).normal(0, 8, shape)
    array = np.where(inside, 20.0 + noise, -1000.0).astype(np.float32)
    uids = tuple(f"{CT}.{number}" for number in range(shape[0]))
    volume = Volume(array, geometry, "CT", "[hnsf'U]", STUDY, CT, "1.2.840.10008.5.1.4.1.1.2", uids)
    regions = (
        region(1, names[0], "PTV", (0.0, 5.0, 22.0), (45.0, 75.0)),
        region(2, names[1], "PTV", (0.0, 5.0, 34.0), (36.0, 84.0)),
        region(3, "Parotid L", "ORGAN", (52.0, -5.0, 11.0), (54.0, 84.0)),
        region(4, "Parotid R", "ORGAN", (-52.0, -5.0, 11.0), (54.0, 84.0)),
        region(5, "SpinalCord", "ORGAN", (0.0, 42.0, 6.0), (0.0, 117.0)),
    )
    structures = StructureSet(
        *(STUDY, f"{STRUCTURES}.1", STRUCTURES, FRAME, (CT,), "APPROVED"),
        tuple(item for item in regions if item.name not in drop),
    )
    plan = Plan(
        *(STUDY, f"{STRUCTURES}.2", f"{STRUCTURES}.3", "1.2.840.10008.5.1.4.1.1.481.5"),
        *("UNAPPROVED", 35, tuple(dose for _, dose in doses), STRUCTURES, ()),
        target_doses=doses,
    )
    plans = {"plan": plan} if doses else {}
    return Case(STUDY, Subject(), {"ct": volume}, {"structures": structures}, {}, plans)


def turned(case: Case, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Case:
    """Return the case with its CT stored along other axes, voxels at the same places."""
    volume = case.images["ct"]
    geometry = volume.geometry
    array = np.transpose(volume.array, order)
    axes = [np.asarray(geometry.axes[axis]) for axis in order]
    spacing = [geometry.spacing_mm[axis] for axis in order]
    corner = np.zeros(3)
    for axis, flip in zip(order, flips, strict=True):
        corner[axis] = geometry.shape[axis] - 1 if flip else 0
    array = array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    placed = Geometry(
        array.shape,
        tuple(spacing),
        tuple(float(v) for v in geometry.to_patient(corner)),
        tuple(
            tuple(float(v) for v in (-axis if flip else axis))
            for axis, flip in zip(axes, flips, strict=True)
        ),
        geometry.frame_of_reference_uid,
    )
    uids = tuple(f"{CT}.{number}" for number in range(array.shape[0]))
    held = replace(
        volume, array=np.ascontiguousarray(array), geometry=placed, sop_instance_uids=uids
    )
    return replace(case, images={"ct": held})
