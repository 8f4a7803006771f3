"""A study that was read as a case of a cohort: files, facts, and the reference standard checked.

A fact that no header states is unknown, and counted; nothing is guessed.  Texts of the scanner
are kept as far as the manifest's letters go.

Read next: `building_dicom.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.rt.raster import CLOSED_TYPES, mask_from_contours
from adapters.validation.dicom_plan import Plan, folded
from adapters.validation.dicom_studies import REFERENCE, ReadStudy
from adapters.validation.patient_facts import OLDEST_TOLD, with_facts
from governance.release import digest_of
from governance.strata import EQUIPMENT
from plugins.host.case import Case
from plugins.host.envelope import quality_flags
from plugins.host.images import Contour, Geometry, RegionOfInterest, StructureSet, Vector3, Volume
from validation.cohort.arrays import encode_mask, encode_volume
from validation.cohort.manifest import CohortCase, CohortFacts, FileEntry, Reference, refused
from validation.cohort.strata import age_band
from validation.cohort.structures import ROLE, Region, Structures, encode_structures
from validation.harness.dose_scoring import on_grid

_ELSE = re.compile(r"[^\w .,+()/-]")
KEPT_FLAGS = ("metal", "truncated")
"""Flags of the images that say something of the patient and not of what is unknown."""


@dataclass(frozen=True, slots=True)
class Written:
    """Where the files of cases go, and the site's plan."""

    building: Path
    plan: Plan

    def put(self, path: str, raw: bytes) -> FileEntry:
        """Write one file of a case and return its entry."""
        place = self.building / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(raw)
        return FileEntry(path, digest_of(raw), len(raw))


def case_of(read: ReadStudy, case_id: str, group: str, written: Written) -> CohortCase:
    """Write the files of a study below the cohort and return its case.

    Raises
    ------
    CohortError : the reference standard is empty, cut by the image, or skips frames
        (COHORT_REFERENCE_EMPTY, COHORT_REFERENCE_CUT, COHORT_REFERENCE_GAPS); the table of
        facts says otherwise (COHORT_FACT_DIFFERS).
    """
    plan, case = written.plan, read.case
    image = case.images[read.anchor]
    inputs = {
        role: written.put(f"files/{case_id}/{role}.npz", encode_volume(volume))
        for role, volume in case.images.items()
    }
    seed = None
    if read.region is not None:
        mask = mask_of(read.region, image.geometry, read.study, plan)
        raw = encode_mask(mask, image.geometry)
        seed = middle_of(mask, image.geometry) if plan.seeded else None
    else:
        raw = encode_volume(_dose_on(image, case.doses[REFERENCE]))
        drawn = structures_of(case.structure_sets[ROLE], image.geometry, read, plan)
        inputs[ROLE] = written.put(f"files/{case_id}/{ROLE}.npz", encode_structures(drawn))
    reference = Reference(written.put(f"files/{case_id}/reference.npz", raw), plan.provenance)
    return CohortCase(
        case_id=case_id,
        patient_group=group,
        site=plan.site,
        facts=with_facts(facts_of(case, read.anchor, plan), plan.table, group, read.study),
        inputs=inputs,
        reference=reference,
        seed_point_mm=seed,
    )


def facts_of(case: Case, anchor: str, plan: Plan) -> CohortFacts:
    """Return what headers and plan say of a patient and the scanner; the rest is unknown.

    Of a patient of 90 or more only the band is kept: so old is nearly a name.

    Source: 45 CFR 164.514(b)(2)(i)(C).
    """
    made = case.images[anchor].acquisition
    machine = {name: _letters(made.get(name, "")) for name in EQUIPMENT}
    years = case.subject.age_years
    return CohortFacts(
        age_years=years if years is not None and years < OLDEST_TOLD else None,
        age_band="unknown" if years is None else age_band(years),
        sex=case.subject.sex,
        body_part=_letters(case.body_part or ""),
        scanner=_letters(" ".join(filter(None, (machine["manufacturer"], machine["model"])))),
        flags=tuple(flag for flag in quality_flags(case) if flag in KEPT_FLAGS),
        **{**plan.facts, **machine},
    )


def mask_of(region: RegionOfInterest, grid: Geometry, study: str, plan: Plan) -> NDArray[np.bool_]:
    """Return the region on the grid of the image, where all of it lies inside.

    Raises
    ------
    CohortError : see `case_of`.
    """
    mask = mask_from_contours(region.contours, grid)
    if not mask.any():
        raise refused("COHORT_REFERENCE_EMPTY", "a region with voxels on the image", study)
    if not _inside(region.contours, grid):
        raise refused("COHORT_REFERENCE_CUT", "a region that lies on the image wholly", study)
    frames = np.flatnonzero(mask.any(axis=(1, 2)))
    if not plan.gaps and len(frames) != frames[-1] - frames[0] + 1:
        raise refused("COHORT_REFERENCE_GAPS", "contours on every frame of the region", study)
    return mask


def structures_of(
    structures: StructureSet, grid: Geometry, read: ReadStudy, plan: Plan
) -> Structures:
    """Return the regions that the plan names, by its names, with what is prescribed to them.

    What the plan does not name is left out: the name of a region is free text.
    """
    stated = read.prescription.targets if read.prescription else ()
    by_number = {item.roi_number: item.dose_gy for item in stated if item.roi_number is not None}
    by_name = {folded(item.roi_name): item.dose_gy for item in stated if item.roi_name.strip()}
    regions = []
    for roi in structures.rois:
        finding = plan.structures.get(folded(roi.name))
        if finding is None or not roi.contours:
            continue
        dose = by_number.get(roi.number, by_name.get(folded(roi.name)))
        regions.append(
            Region(
                finding, roi.interpreted_type, mask_from_contours(roi.contours, grid),
                plan.prescription.get(finding, dose),
            )
        )  # fmt: skip
    names = [item.name for item in regions]
    if len(set(names)) != len(names):
        raise refused("COHORT_STRUCTURE_TWICE", "one region of each name", read.study)
    if not any(item.prescribed_gy for item in regions):
        raise refused("COHORT_PRESCRIPTION_MISSING", "a target with a prescribed dose", read.study)
    return Structures(tuple(regions), grid)


def middle_of(mask: NDArray[np.bool_], grid: Geometry) -> Vector3:
    """Return the voxel of the region that is nearest to its centroid, in LPS mm."""
    voxels = np.argwhere(mask)
    places = grid.to_patient(voxels.astype(np.float64))
    distance = np.linalg.norm(places - places.mean(axis=0), axis=1)
    x, y, z = (round(float(value), 3) for value in places[int(distance.argmin())])
    return x, y, z


def _dose_on(image: Volume, dose: Volume) -> Volume:
    """Return the planned dose read linearly at the voxels of the image; zero outside its grid."""
    grid, planes = image.geometry, []
    for number in range(grid.shape[0]):
        start = grid.to_patient(np.array([float(number), 0.0, 0.0]))
        plane = replace(
            grid,
            shape=(1, *grid.shape[1:]),
            origin_mm=(float(start[0]), float(start[1]), float(start[2])),
        )
        planes.append(on_grid(dose.array, dose.geometry, plane)[0])
    return replace(dose, array=np.stack(planes), geometry=grid)


def _inside(contours: tuple[Contour, ...], grid: Geometry) -> bool:
    """Return whether every closed contour lies on the grid, to a voxel."""
    points = [item.points_mm for item in contours if item.geometric_type in CLOSED_TYPES]
    index = grid.to_index(np.concatenate(points))
    return bool((index >= -1.0).all() and (index <= np.asarray(grid.shape)).all())


def _letters(value: object) -> str:
    """Return a text in the letters that a manifest has."""
    return " ".join(_ELSE.sub(" ", str(value)).split())[:80]


def unknown_counts(cases: Mapping[str, CohortFacts]) -> dict[str, int]:
    """Return fact -> number of cases in which it is unknown; facts known of all are left out."""
    names = ("age_band", "sex", "body_part", "tumour_type", "tumour_site", "grade", "operation")
    counts = {
        name: sum(getattr(facts, name) in ("", None, "unknown") for facts in cases.values())
        for name in (*names, *EQUIPMENT)
    }
    return {name: count for name, count in counts.items() if count}
