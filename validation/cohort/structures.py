"""Structures of a cohort as bytes, and back: masks with names, types and prescribed doses.

A file is a NumPy archive of ``bits`` (the masks one after another, packed) and of ``grid``,
canonical JSON with the geometry and a row for each region.  A plugin is given contours, as from a
structure set: the edges of the voxels, which every rasteriser by centres fills to the same mask.

Read next: `arrays.py`, `cases.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit import canonical
from audit.errors import SuiteError
from models.physics.outlines import outlines, turns
from plugins.host.images import Contour, Geometry, RegionOfInterest, StructureSet
from plugins.host.prescription import PrescribedTarget, Prescription
from validation.cohort.arrays import MALFORMED, archive, fault, geometry_of, opened, packed, uid_of

ROLE = "structures"
"""Role of the structure set among the inputs of a case."""


@dataclass(frozen=True, slots=True)
class Region:
    """One region: its name and type, its mask, and what is prescribed to it in Gy."""

    name: str
    interpreted_type: str
    mask: NDArray[np.bool_]
    prescribed_gy: float | None = None


@dataclass(frozen=True, slots=True)
class Structures:
    """The regions of a case on one grid; the n-th has ROI Number n + 1."""

    regions: tuple[Region, ...]
    geometry: Geometry


def encode_structures(structures: Structures, frame: str = "frame-1") -> bytes:
    """Return the bytes of the regions; inverse of `decode_structures`."""
    grid = asdict(structures.geometry)
    grid["frame_of_reference_uid"] = frame
    grid["regions"] = [
        {
            "name": item.name,
            "type": item.interpreted_type,
            "prescribed_gy": item.prescribed_gy,
        }
        for item in structures.regions
    ]
    masks = np.stack([item.mask for item in structures.regions])
    return archive({"bits": np.packbits(masks), "grid": packed(grid)})


def decode_structures(raw: bytes, case_id: str) -> Structures:
    """Return the regions of a case.

    Raises
    ------
    CohortError : the bytes are no structures of a cohort (COHORT_FILE_MALFORMED).
    """
    try:
        found = opened(raw, {"bits", "grid"})
        grid = dict(canonical.decode(found["grid"].tobytes()))
        geometry = geometry_of(grid, uid_of(case_id, grid["frame_of_reference_uid"]))
        rows = [dict(row) for row in grid["regions"]]
        count = len(rows) * int(np.prod(geometry.shape))
        bits = np.unpackbits(found["bits"])
        if not count <= len(bits) < count + 8:
            raise ValueError("bits")
        masks = bits[:count].reshape(len(rows), *geometry.shape).astype(bool)
        regions = tuple(
            Region(str(row["name"]), str(row["type"]), mask, _dose(row["prescribed_gy"]))
            for row, mask in zip(rows, masks, strict=True)
        )
        return Structures(regions, geometry)
    except (*MALFORMED, SuiteError) as error:
        raise fault(case_id, error) from error


def structure_set(structures: Structures, case_id: str) -> StructureSet:
    """Return the regions as a plugin sees them."""
    rois = tuple(
        RegionOfInterest(
            number,
            item.name,
            item.interpreted_type,
            tuple(_contours(item.mask, structures.geometry)),
        )
        for number, item in enumerate(structures.regions, start=1)
    )
    return StructureSet(
        uid_of(case_id, "study"),
        uid_of(case_id, ROLE, "series"),
        uid_of(case_id, ROLE),
        structures.geometry.frame_of_reference_uid,
        (uid_of(case_id, "ct"),),
        "APPROVED",
        rois,
    )


def prescription(structures: Structures, case_id: str) -> Prescription | None:
    """Return what is prescribed, as a protocol states it; None where nothing is."""
    targets = tuple(
        PrescribedTarget(item.prescribed_gy, item.name, number)
        for number, item in enumerate(structures.regions, start=1)
        if item.prescribed_gy is not None
    )
    if not targets:
        return None
    return Prescription(targets, "protocol", case_id, structure_set_uid=uid_of(case_id, ROLE))


def _contours(mask: NDArray[np.bool_], geometry: Geometry) -> Sequence[Contour]:
    found = []
    for frame in np.flatnonzero(mask.any(axis=(1, 2))):
        for _, loop in outlines(mask[frame]):
            corners = turns(loop).astype(np.float64) - 0.5
            index = np.column_stack([np.full(len(corners), float(frame)), corners])
            found.append(Contour(geometry.to_patient(index)))
    return found


def _dose(value: Any) -> float | None:
    return None if value is None else float(value)
