"""A structure set in the terms of TG-263, and the list of what a person has to look at.

    names → one structure each, or a reason → two regions for one structure are none →
    sides against the geometry → what is left may be used

What goes to the review list is not used.  Regions that are understood and no input (helpers,
planning risk volumes, GTV and CTV, empty ones) are left out and need nobody.

Standard: AAPM TG-263; DICOM PS3.3 C.8.8.5, C.8.8.8 (RT ROI Interpreted Type).

Read next: `laterality.py`, `targets.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from plugins.dose.laterality import LATERALITY, UNCHECKED, misplaced
from plugins.dose.names import AMBIGUOUS, EXCLUDED, MAPPED, NOT_RECOGNISED, recognise
from plugins.host.images import RegionOfInterest

MODEL_ORGANS = {
    "Brainstem": "Brainstem",
    "SpinalCord": "SpinalCord",
    "Parotid_R": "RightParotid",
    "Parotid_L": "LeftParotid",
    "Esophagus": "Esophagus",
    "Larynx": "Larynx",
    "Bone_Mandible": "Mandible",
}
"""TG-263 name -> name of the organ in `models.dose.patient.ORGANS`."""

EMPTY, TYPE, DUPLICATE = "EMPTY", "TYPE", "DUPLICATE"
TARGET_TYPES = ("GTV", "CTV", "PTV")
NO_STRUCTURE_TYPES = (
    *("BOLUS", "BRACHY_ACCESSORY", "BRACHY_CHANNEL", "BRACHY_CHNL_SHLD", "BRACHY_SRC_APP"),
    *("CONTRAST_AGENT", "CONTROL", "DOSE_MEASUREMENT", "DOSE_REGION", "FIXATION", "IRRAD_VOLUME"),
    *("ISOCENTER", "MARKER", "REGISTRATION", "SUPPORT", "TREATED_VOLUME"),
)
"""RT ROI Interpreted Types (PS3.3 C.8.8.8.1) of regions that are neither organ nor target."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one region is.

    Parameters
    ----------
    roi_number, roi_name : as the structure set has them.
    status, tg263, code, candidates, dose_gy, level : as in `names.Recognition`; the code of a
        mapped entry says what could not be checked.
    """

    roi_number: int
    roi_name: str
    status: str
    tg263: str = ""
    code: str = ""
    candidates: tuple[str, ...] = ()
    dose_gy: float | None = None
    level: str = ""

    @property
    def is_target(self) -> bool:
        """Whether it is a PTV that may be used."""
        return self.status == MAPPED and self.tg263.startswith("PTV")


@dataclass(frozen=True, slots=True)
class StructureMap:
    """Every region of a structure set, in its order, and the regions by ROI Number."""

    entries: tuple[Entry, ...]
    regions: Mapping[int, RegionOfInterest]

    @property
    def review(self) -> tuple[Entry, ...]:
        """Return what a person has to look at: not used, or used without a check."""
        return tuple(
            item
            for item in self.entries
            if item.status in (AMBIGUOUS, NOT_RECOGNISED) or (item.status == MAPPED and item.code)
        )

    @property
    def mapped(self) -> Mapping[str, RegionOfInterest]:
        """Return TG-263 name -> region of everything that may be used."""
        return {
            item.tg263: self.regions[item.roi_number]
            for item in self.entries
            if item.status == MAPPED
        }

    @property
    def organs(self) -> Mapping[str, RegionOfInterest]:
        """Return the regions by the names of the model's organs; missing ones are left out."""
        return {
            MODEL_ORGANS[name]: roi for name, roi in self.mapped.items() if name in MODEL_ORGANS
        }

    @property
    def targets(self) -> tuple[Entry, ...]:
        """Return the PTVs, in the order of the structure set."""
        return tuple(item for item in self.entries if item.is_target)

    @property
    def unclear_targets(self) -> tuple[Entry, ...]:
        """Return the regions that may be a PTV and are not used: a dose without them is another."""
        return tuple(
            item
            for item in self.review
            if item.status != MAPPED and any(name[:3] == "PTV" for name in item.candidates)
        )


def map_structures(rois: Sequence[RegionOfInterest]) -> StructureMap:
    """Return what each region of a structure set is.

    Parameters
    ----------
    rois : with contours in LPS millimetres; ROI Numbers are unique (PS3.3 C.8.8.5).
    """
    entries = _without_doubles([_entry(roi) for roi in rois])
    regions = {roi.number: roi for roi in rois}
    placed = {item.tg263: regions[item.roi_number] for item in entries if item.status == MAPPED}
    faults = misplaced(placed, external=_external(rois, entries))
    judged = tuple(_judged(item, faults.get(item.tg263, "")) for item in entries)
    return StructureMap(judged, regions)


def _entry(roi: RegionOfInterest) -> Entry:
    """Return what a region is by its name, its type, and whether it has a closed contour."""
    said = recognise(roi.name)
    entry = Entry(
        roi.number, roi.name, said.status, said.tg263, said.code, said.candidates,
        said.dose_gy, said.level,
    )  # fmt: skip
    kind = roi.interpreted_type.strip().upper()
    if said.status == EXCLUDED:
        return entry
    if not has_outline(roi):
        return _set_aside(entry, EXCLUDED, EMPTY)
    if kind in NO_STRUCTURE_TYPES:
        return _set_aside(entry, AMBIGUOUS if said.status == MAPPED else EXCLUDED, TYPE)
    is_other_target = kind in TARGET_TYPES and not (said.is_target and kind == "PTV")
    if said.status == MAPPED and is_other_target:
        return _set_aside(entry, AMBIGUOUS, TYPE)
    if said.status != MAPPED and kind == "PTV" and "PTV" not in said.candidates:
        return replace(entry, candidates=(*said.candidates, "PTV"))
    return entry


def has_outline(roi: RegionOfInterest) -> bool:
    """Return whether a region has a contour that encloses something."""
    return any(
        item.geometric_type.startswith("CLOSED") and len(item.points_mm) >= 3
        for item in roi.contours
    )


def _without_doubles(entries: list[Entry]) -> tuple[Entry, ...]:
    """Return the entries; two regions that claim one name are both a question."""
    counted = Counter(item.tg263 for item in entries if item.status == MAPPED)
    return tuple(
        _set_aside(item, AMBIGUOUS, DUPLICATE)
        if item.status == MAPPED and counted[item.tg263] > 1
        else item
        for item in entries
    )


def _judged(entry: Entry, fault: str) -> Entry:
    if entry.status != MAPPED or not fault:
        return entry
    return (
        replace(entry, code=fault)
        if fault == UNCHECKED
        else _set_aside(entry, AMBIGUOUS, LATERALITY)
    )


def _set_aside(entry: Entry, status: str, code: str) -> Entry:
    candidates = (entry.tg263,) if entry.tg263 else entry.candidates
    return replace(
        entry, status=status, tg263="", code=code, candidates=candidates, dose_gy=None, level=""
    )


def _external(
    rois: Iterable[RegionOfInterest], entries: Sequence[Entry]
) -> RegionOfInterest | None:
    """Return the body outline: the one region of type EXTERNAL, else the one of that name."""
    usable = [roi for roi in rois if has_outline(roi)]
    typed = [roi for roi in usable if roi.interpreted_type.strip().upper() == "EXTERNAL"]
    if len(typed) == 1:
        return typed[0]
    numbers = {
        item.roi_number for item in entries if item.tg263 == "External" and item.status == MAPPED
    }
    named = [roi for roi in usable if roi.number in numbers]
    return named[0] if len(named) == 1 else None
