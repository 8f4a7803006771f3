"""Check a decoded case against the intended purpose that its release states.

`check` gives reasons to refuse, `quality_flags` what is worth knowing without refusing;
both are pure.  A reason is a stable code followed by numbers of the image; it never
carries a fact of the patient, so it may be recorded and shown.  Voxel tests use
Hounsfield units (PS3.3 C.11.1.1.2) and run on a coarse sample of a large volume.

Read next: `pipeline.py`, step 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from governance.strata import CaseFacts
from plugins.host.case import Case
from plugins.host.images import Geometry, Radiograph, Volume
from plugins.host.manifest import Envelope, Input, Manifest

METAL_HU = 3000.0
"""Above dense cortical bone (about 2,000 HU) and below the 12-bit ceiling of 3,071 HU."""
METAL_ML = 0.5
"""Less than this is a clip or a fiducial marker, which leaves the tumour readable."""
TISSUE_HU = (-300.0, 300.0)
TISSUE_SHARE = 0.01
"""A CT with less soft tissue than this is no patient, or was not rescaled to HU."""
STORED_OFFSET_HU = 1024.0
"""Rescale intercept that scanners write; without it water lies here and air at 0."""
LOWEST_WITHOUT_AIR_HU = -200.0
AIR_SHARE = 0.01
SPONGY_HU = (200.0, 724.0)
DENSE_HU = (SPONGY_HU[1], STORED_OFFSET_HU + TISSUE_HU[1])
"""Where bone is; dense bone is rarer than spongy, and unscaled soft tissue lies at its place."""
STRUCTURE = 0.5
"""Least correlation of neighbours in a frame; 59 real CTs have 0.91 to 0.99, noise has 0."""
TRUNCATION_SHARE = 0.05
SAMPLE_VOXELS = 4_000_000
PRESCRIPTION_REQUIRED = "PRESCRIPTION_REQUIRED"
"""Neither a plan of the case nor another source says which dose the targets get."""
SIDES = frozenset({"L", "R", "LT", "RT", "LEFT", "RIGHT", "BOTH", "BILATERAL"})
"""Words of Body Part Examined that belong into Laterality (0020,0060)."""


def check(case: Case, manifest: Manifest) -> tuple[str, ...]:
    """Return the reasons why the case lies outside the envelope; none when it lies inside."""
    envelope = manifest.envelope
    reasons = [reason for wanted in manifest.inputs for reason in _input(case, wanted)]
    reference = reference_image(case, manifest)
    if reference is not None:
        reasons += _grid(reference, envelope)
        reasons += _kernel(reference, envelope)
        reasons += _content(reference)
        reasons += _field(case, reference.geometry, envelope)
    for role, views in case.radiographs.items():
        reasons += _radiographs(role, views, envelope)
    reasons += _subject(case, envelope)
    reasons += _structures(case, envelope)
    reasons += _prescription(case, envelope)
    refused = [flag for flag in quality_flags(case) if flag in envelope.quality_flags_refused]
    reasons += [f"QUALITY {flag}" for flag in refused]
    return tuple(reasons)


def check_seed(
    case: Case, manifest: Manifest, frame_of_reference_uid: str | None
) -> tuple[str, ...]:
    """Return a reason where the seed point was given in another frame of reference."""
    reference = reference_image(case, manifest)
    if frame_of_reference_uid is None or reference is None:
        return ()
    same = reference.geometry.frame_of_reference_uid == frame_of_reference_uid
    return () if same else ("SEED_FRAME_OF_REFERENCE differs from that of the image",)


def with_fault(reasons: tuple[str, ...], prescription_fault: str) -> tuple[str, ...]:
    """Return the reasons with why no prescription was taken, in place of that one is missing."""
    if not prescription_fault:
        return reasons
    return (*(item for item in reasons if item != PRESCRIPTION_REQUIRED), prescription_fault)


def reference_image(case: Case, manifest: Manifest) -> Volume | None:
    """Return the first image that the manifest requires: its grid is the one that is judged."""
    for wanted in manifest.inputs:
        if wanted.required and wanted.role in case.images:
            return case.images[wanted.role]
    return None


def quality_flags(case: Case) -> tuple[str, ...]:
    """Return what is remarkable about a case, as sorted stable words.

    ``metal`` (at least 0.5 ml above 3,000 HU), ``truncated`` (tissue at more than 5 % of the
    in-plane border), ``age_unknown``, ``body_part_unknown``, ``conflict_<fact>``.
    """
    flags = {f"conflict_{name}" for name in case.subject.conflicts}
    if case.subject.age_years is None:
        flags.add("age_unknown")
    if not case.body_part:
        flags.add("body_part_unknown")
    for volume in case.images.values():
        if volume.modality == "CT":
            flags |= _ct_flags(volume)
    return tuple(sorted(flags))


def stratum_facts(case: Case, manifest: Manifest) -> CaseFacts:
    """Return what decides for whom of a certificate's strata the case counts.

    The scanner is that of the image on whose grid the case is judged.
    """
    image = reference_image(case, manifest)
    made = image.acquisition if image is not None else {}
    return CaseFacts(
        age_years=case.subject.age_years,
        sex=case.subject.sex,
        body_part=case.body_part or "",
        flags=quality_flags(case),
        inputs=_roles(case, manifest),
        manufacturer=str(made.get("manufacturer", "")),
        model=str(made.get("model", "")),
        station=str(made.get("station", "")),
    )


def _roles(case: Case, manifest: Manifest) -> tuple[str, ...]:
    """Return the roles that were read, each once, however many objects fill it."""
    read = {*case.images, *case.doses, *case.structure_sets, *case.plans}
    further = {r for item in manifest.inputs for r in read if r != item.role and item.holds(r)}
    return tuple(sorted(read - further))


def extent_mm(geometry: Geometry) -> tuple[float, float, float]:
    """Return the edge to edge size along the patient's (z, y, x), whatever the axis order."""
    sizes = np.asarray(geometry.shape) * np.asarray(geometry.spacing_mm)
    x, y, z = (float(value) for value in np.abs(np.asarray(geometry.axes)).T @ sizes)
    return z, y, x


def oblique_deg(geometry: Geometry) -> float:
    """Return the largest angle between a grid axis and the patient axis nearest to it."""
    cosines = np.clip(np.abs(np.asarray(geometry.axes)).max(axis=1), 0.0, 1.0)
    return float(np.degrees(np.arccos(cosines)).max())


def _input(case: Case, wanted: Input) -> Iterator[str]:
    groups: dict[str, Mapping[str, object]] = {
        "RTSTRUCT": case.structure_sets,
        "RTDOSE": case.doses,
        "RTPLAN": case.plans,
        "CR": case.radiographs,
        "DX": case.radiographs,
    }
    group = groups.get(wanted.modality, case.images)
    if wanted.role not in group:
        if wanted.required:
            yield f"MISSING_INPUT {wanted.role}"
        return
    volume = group[wanted.role]
    if not isinstance(volume, Volume):
        return
    if volume.modality != wanted.modality:
        yield f"MODALITY {wanted.role} is {volume.modality}, expected {wanted.modality}"
    if not np.isfinite(volume.array.sum(dtype=np.float64)):
        yield f"NOT_FINITE {wanted.role}"
    other = case.images.get(wanted.same_frame_as or "")
    if other is not None and wanted.required:
        frames = {item.geometry.frame_of_reference_uid for item in (volume, other)}
        if len(frames) > 1:
            yield f"FRAME_OF_REFERENCE {wanted.role} differs from {wanted.same_frame_as}"


def _radiographs(role: str, views: Sequence[Radiograph], envelope: Envelope) -> Iterator[str]:
    """Judge projection images: a spacing is asked for only where the envelope limits it."""
    for view in views:
        if not np.isfinite(view.array.sum(dtype=np.float64)):
            yield f"NOT_FINITE {role}"
        elif view.array.min() == view.array.max():
            yield f"FLAT_IMAGE {role} has one value"
        if envelope.in_plane_mm is None:
            continue
        if view.spacing_mm is None:
            yield f"SPACING_UNKNOWN {role} states none"
        else:
            for spacing in sorted(set(view.spacing_mm)):
                yield from _range("IN_PLANE_SPACING", spacing, envelope.in_plane_mm, "mm")


def _grid(reference: Volume, envelope: Envelope) -> Iterator[str]:
    geometry = reference.geometry
    frames, rows, columns = geometry.spacing_mm
    yield from _range("SLICE_SPACING", frames, envelope.slice_spacing_mm, "mm")
    for spacing in sorted({rows, columns}):
        yield from _range("IN_PLANE_SPACING", spacing, envelope.in_plane_mm, "mm")
    yield from _range("FRAMES", geometry.shape[0], envelope.frames, "frames")
    tilt, limit = oblique_deg(geometry), envelope.oblique_deg
    if limit is not None and tilt > limit:
        yield f"ORIENTATION {tilt:.1f} deg oblique, allowed {limit:g} deg"


def _range(code: str, value: float, limits: tuple[float, float] | None, unit: str) -> Iterator[str]:
    if limits is not None and not limits[0] - 1e-6 <= value <= limits[1] + 1e-6:
        yield f"{code} {value:g} {unit}, allowed {limits[0]:g} to {limits[1]:g} {unit}"


def _kernel(reference: Volume, envelope: Envelope) -> Iterator[str]:
    kernel = str(reference.acquisition.get("convolution_kernel", "")).strip().upper()
    if kernel and kernel in (item.upper() for item in envelope.kernels_refused):
        yield f"KERNEL {kernel} is refused"


def _content(reference: Volume) -> Iterator[str]:
    if reference.modality != "CT":
        return
    sample = _sample(reference.array)
    share = float(np.mean((sample > TISSUE_HU[0]) & (sample < TISSUE_HU[1])))
    if share < TISSUE_SHARE:
        yield f"SOFT_TISSUE {share:.2%} of voxels, expected at least {TISSUE_SHARE:.0%}"
        return
    spongy, dense = (
        float(np.mean((sample > low) & (sample < high))) for low, high in (SPONGY_HU, DENSE_HU)
    )
    air = float(np.mean(sample < LOWEST_WITHOUT_AIR_HU))
    if air < AIR_SHARE and dense > max(spongy, TISSUE_SHARE):
        yield f"NOT_RESCALED {dense:.0%} of voxels like dense bone and no air: HU expected"
    correlation = _correlation(sample)
    if correlation < STRUCTURE:
        yield f"NO_STRUCTURE neighbours correlate by {correlation:.2f}, at least {STRUCTURE:g}"


def _correlation(frames: NDArray[np.float32]) -> float:
    """Return how much a voxel tells of the next in its row or column, the lesser of both."""
    with np.errstate(invalid="ignore"):
        variance = float(frames.var(dtype=np.float64))
    if not 0.0 < variance < np.inf or min(frames.shape[1:]) < 2:
        return 1.0
    changes = (float(np.diff(frames, axis=axis).var(dtype=np.float64)) for axis in (1, 2))
    return 1.0 - max(changes) / (2.0 * variance)


def _field(case: Case, geometry: Geometry, envelope: Envelope) -> Iterator[str]:
    if case.seed_point_mm is not None:
        index = geometry.to_index(np.asarray(case.seed_point_mm, dtype=np.float64))
        inside = (index >= -0.5) & (index <= np.asarray(geometry.shape) - 0.5)
        if not inside.all():
            yield "SEED_OUTSIDE the reference image"
    elif envelope.trained_field_mm is not None:
        extent, trained = extent_mm(geometry), envelope.trained_field_mm
        if any(size > limit for size, limit in zip(extent, trained, strict=True)):
            yield f"SEED_REQUIRED {_triple(extent)} mm, trained {_triple(trained)} mm"


def _subject(case: Case, envelope: Envelope) -> Iterator[str]:
    age, limits = case.subject.age_years, envelope.age_years
    if age is not None and limits is not None and not limits[0] <= age <= limits[1]:
        yield f"AGE outside {limits[0]:g} to {limits[1]:g} years"
    part = _part(case.body_part or "")
    if part and envelope.body_parts and part not in map(_part, envelope.body_parts):
        yield f"BODY_PART {part[:16]} is outside the intended purpose"


def _structures(case: Case, envelope: Envelope) -> Iterator[str]:
    there = {
        roi.name.strip().upper()
        for structure_set in case.structure_sets.values()
        for roi in structure_set.rois
        if roi.contours
    }
    for name in envelope.required_structures:
        if name.upper() not in there:
            yield f"MISSING_STRUCTURE {name}"


def _prescription(case: Case, envelope: Envelope) -> Iterator[str]:
    stated = case.prescription is not None or any(p.target_doses for p in case.plans.values())
    if envelope.prescription_required and not stated:
        yield PRESCRIPTION_REQUIRED


def _ct_flags(volume: Volume) -> set[str]:
    flags = set()
    metal_ml = np.count_nonzero(volume.array > METAL_HU) * volume.geometry.voxel_volume_ml()
    if metal_ml >= METAL_ML:
        flags.add("metal")
    array = volume.array
    border = np.concatenate(
        [
            array[:, :1].ravel(),
            array[:, -1:].ravel(),
            array[:, :, :1].ravel(),
            array[:, :, -1:].ravel(),
        ]
    )
    if np.mean(border > TISSUE_HU[0]) > TRUNCATION_SHARE:
        flags.add("truncated")
    return flags


def _sample(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return every n-th frame, so that a volume of any size costs the same to judge."""
    return array[:: max(1, array.size // SAMPLE_VOXELS)]


def _part(text: str) -> str:
    """Return a body part without its side, which many scanners write in the same place.

    Examples
    --------
    >>> _part("LT. Lower_Leg")
    'LOWERLEG'
    """
    words = re.split(r"[^0-9A-Za-z]+", text.upper())
    return "".join(word for word in words if word not in SIDES) or _letters(text)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.upper() if letter.isalnum())


def _triple(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.0f}" for value in values)
