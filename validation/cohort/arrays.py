"""Images of a cohort as bytes, and back: `encode_volume` and `decode_volume` are inverses.

A file is a NumPy archive (``.npz``, not compressed, fixed times) of ``array`` and of ``grid``,
canonical JSON with geometry, modality, unit and acquisition.  It names no patient, study or
series; the UIDs of a decoded volume are made from the id of the case (PS3.5 B.2, UUID-derived).
A reference standard is a mask on the grid of an input, its bits packed.

Read next: `cases.py`.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from audit import canonical
from audit.errors import RecordError, SuiteError
from plugins.host.images import Geometry, Volume
from validation.cohort.manifest import CohortError, refused

_LARGEST_VOXELS = 1 << 30
MALFORMED = (
    ValueError,
    KeyError,
    TypeError,
    OSError,
    EOFError,
    AttributeError,
    RecordError,
    BadZipFile,
)
_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
}


def encode_volume(volume: Volume, frame: str = "frame-1") -> bytes:
    """Return the bytes of an image; 16-bit integers where they hold its values exactly.

    Parameters
    ----------
    frame : name of its frame of reference within the case, in place of the UID.
    """
    exact = _fits(volume.array)
    array = volume.array.astype(np.int16) if exact else volume.array.astype(np.float32)
    grid = asdict(volume.geometry) | {
        "modality": volume.modality,
        "units": volume.units,
        "acquisition": dict(volume.acquisition),
        "notes": list(volume.notes),
    }
    grid["frame_of_reference_uid"] = frame
    return archive({"array": array, "grid": packed(grid)})


def decode_volume(raw: bytes, case_id: str, role: str) -> Volume:
    """Return the image of a role of a case.

    Raises
    ------
    CohortError : the bytes are no image of a cohort (COHORT_FILE_MALFORMED).
    """
    try:
        found = opened(raw, {"array", "grid"})
        grid = dict(canonical.decode(found["grid"].tobytes()))
        array = found["array"].astype(np.float32)
        series = uid_of(case_id, role)
        return Volume(
            array=array,
            geometry=geometry_of(grid, uid_of(case_id, grid["frame_of_reference_uid"])),
            modality=str(grid["modality"]),
            units=str(grid["units"]),
            study_instance_uid=uid_of(case_id, "study"),
            series_instance_uid=series,
            sop_class_uid=_CLASSES.get(grid["modality"], "1.2.840.10008.5.1.4.1.1.7"),
            sop_instance_uids=tuple(uid_of(series, str(i)) for i in range(array.shape[0])),
            acquisition=dict(grid["acquisition"]),
            notes=tuple(grid["notes"]),
        )
    except CohortError:
        raise
    except (*MALFORMED, SuiteError) as error:
        raise fault(case_id, error) from error


def encode_mask(mask: NDArray[np.bool_], geometry: Geometry, frame: str = "frame-1") -> bytes:
    """Return the bytes of a reference standard on a grid; ``frame`` as of `encode_volume`."""
    grid = asdict(geometry)
    grid["frame_of_reference_uid"] = frame
    return archive({"bits": np.packbits(mask), "grid": packed(grid)})


def decode_mask(raw: bytes, case_id: str) -> tuple[NDArray[np.bool_], Geometry]:
    """Return the mask (frames, rows, columns) of a reference standard and its grid.

    Raises
    ------
    CohortError : the bytes are no mask of a cohort (COHORT_FILE_MALFORMED).
    """
    try:
        found = opened(raw, {"bits", "grid"})
        grid = dict(canonical.decode(found["grid"].tobytes()))
        geometry = geometry_of(grid, uid_of(case_id, grid["frame_of_reference_uid"]))
        count = int(np.prod(geometry.shape))
        bits = np.unpackbits(found["bits"])
        if not count <= len(bits) < count + 8:
            raise ValueError("bits")
        return bits[:count].reshape(geometry.shape).astype(bool), geometry
    except (*MALFORMED, SuiteError) as error:
        raise fault(case_id, error) from error


def uid_of(*parts: str) -> str:
    """Return a DICOM UID that the same parts always give (PS3.5 B.2)."""
    seed = hashlib.sha256("\x00".join(("osteon.cohort", *parts)).encode()).digest()[:16]
    return f"2.25.{uuid.UUID(bytes=seed, version=4).int}"


def _fits(array: NDArray[Any]) -> bool:
    if not np.isfinite(array).all():
        return False
    low, high = float(array.min()), float(array.max())
    return low >= -32768 and high <= 32767 and bool((array == np.rint(array)).all())


def packed(values: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return JSON values as the bytes of their canonical form (RFC 8785)."""
    plain = {key: list(item) if isinstance(item, tuple) else item for key, item in values.items()}
    return np.frombuffer(canonical.encode(plain), dtype=np.uint8)


def archive(members: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a NumPy archive of members in the order of their names; inverse of `opened`."""
    sink = io.BytesIO()
    np.savez(sink, **dict(sorted(members.items())))  # type: ignore[arg-type]
    return sink.getvalue()


def opened(raw: bytes, names: set[str]) -> dict[str, NDArray[Any]]:
    """Return the members of an archive; ValueError where it has others, or one is too large."""
    with np.load(io.BytesIO(raw), allow_pickle=False) as file:
        if set(file.files) != names:
            raise ValueError("members")
        found = {name: file[name] for name in names}
    if any(item.size > _LARGEST_VOXELS for item in found.values()):
        raise ValueError("size")
    return found


def geometry_of(grid: Mapping[str, Any], frame_uid: str) -> Geometry:
    """Return the geometry that JSON values state, in a frame of reference."""
    return Geometry(
        shape=_three(grid["shape"], int),
        spacing_mm=_three(grid["spacing_mm"], float),
        origin_mm=_three(grid["origin_mm"], float),
        axes=_three(grid["axes"], lambda axis: _three(axis, float)),
        frame_of_reference_uid=frame_uid,
    )


def _three(values: Any, kind: Any) -> tuple[Any, Any, Any]:
    first, second, third = (kind(value) for value in values)
    return first, second, third


def fault(case_id: str, error: Exception) -> CohortError:
    """Return the refusal of a file of a case (COHORT_FILE_MALFORMED), with its cause."""
    found = refused("COHORT_FILE_MALFORMED", "a file of the cohort", case_id)
    found.__cause__ = error
    return found
