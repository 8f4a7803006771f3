"""Which target gets which dose: a prescription laid on the targets of a structure set.

A target is found by ROI Number where the prescription was written for this very structure
set, else by its name, else by the dose that its name states.  High, Mid and Low are the
levels of the prescription in order, where it has as many.  Whatever does not fit is a fault,
and with one fault the prescription is not used: half of it would be another prescription.

Read next: `plugins/host/prescription.py`, `structures.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plugins.dose.names import MAPPED, recognise
from plugins.dose.structures import Entry, StructureMap
from plugins.host.prescription import PrescribedTarget, Prescription

NOT_FOUND, NO_PTV, SEVERAL = "TARGET_NOT_FOUND", "TARGET_NO_PTV", "TARGET_SEVERAL"
CONTRADICTS, WITHOUT_DOSE = "TARGET_DOSE_CONTRADICTS", "TARGET_WITHOUT_DOSE"
SAME_GY = 0.05
"""Doses as near as this are one: names round to 0.1 Gy (59.4), plans do not round."""
_LEVELS = {1: ("High",), 2: ("High", "Low"), 3: ("High", "Mid", "Low")}


@dataclass(frozen=True, slots=True)
class TargetDose:
    """One PTV and its total dose."""

    entry: Entry
    dose_gy: float


@dataclass(frozen=True, slots=True)
class TargetFault:
    """Why a prescription does not fit: a stable code, and the name that it is about."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class TargetDoses:
    """The doses of all targets, highest first, or the faults for which there are none."""

    doses: tuple[TargetDose, ...]
    faults: tuple[TargetFault, ...] = ()


def prescribe(
    structures: StructureMap, prescription: Prescription, structure_set_uid: str
) -> TargetDoses:
    """Return the dose of each PTV.

    Parameters
    ----------
    structure_set_uid : SOP Instance UID of the set that ``structures`` were read from.
    """
    by_number = prescription.structure_set_uid == structure_set_uid
    found: list[TargetDose] = []
    faults: list[TargetFault] = []
    for target in prescription.targets:
        entry = _find(structures, target, prescription, by_number=by_number)
        if isinstance(entry, TargetFault):
            faults.append(entry)
            continue
        found.append(TargetDose(entry, target.dose_gy))
        if entry.dose_gy is not None and not _same(entry.dose_gy, target.dose_gy):
            faults.append(TargetFault(CONTRADICTS, entry.roi_name))
    numbers = [item.entry.roi_number for item in found]
    for entry in structures.targets:
        count = numbers.count(entry.roi_number)
        if count != 1:
            faults.append(TargetFault(SEVERAL if count else WITHOUT_DOSE, entry.roi_name))
    if faults:
        return TargetDoses((), tuple(faults))
    return TargetDoses(tuple(sorted(found, key=lambda item: -item.dose_gy)))


def _find(
    structures: StructureMap,
    target: PrescribedTarget,
    prescription: Prescription,
    *,
    by_number: bool,
) -> Entry | TargetFault:
    """Return the PTV that a prescribed target means, or why none is."""
    named = target.roi_name or f"ROI {target.roi_number}"
    if by_number and target.roi_number is not None:
        entries = [item for item in structures.entries if item.roi_number == target.roi_number]
        if not entries:
            return TargetFault(NOT_FOUND, named)
        return entries[0] if entries[0].is_target else TargetFault(NO_PTV, entries[0].roi_name)
    for chosen in (
        _of_name(structures.entries, target.roi_name),
        _of_meaning(structures.targets, target.roi_name),
        [e for e in structures.targets if e.dose_gy and _same(e.dose_gy, target.dose_gy)],
        _of_level(structures.targets, target, prescription),
        _only(structures.targets, prescription),
    ):
        if len(chosen) > 1:
            return TargetFault(SEVERAL, named)
        if chosen:
            return chosen[0] if chosen[0].is_target else TargetFault(NO_PTV, chosen[0].roi_name)
    return TargetFault(NOT_FOUND, named)


def _of_name(entries: Iterable[Entry], name: str) -> list[Entry]:
    """Return the regions that are called so, letter by letter."""
    wanted = name.strip().casefold()
    return [item for item in entries if wanted and item.roi_name.strip().casefold() == wanted]


def _of_meaning(targets: Iterable[Entry], name: str) -> list[Entry]:
    """Return the PTVs that mean the same by TG-263."""
    said = recognise(name)
    is_meant = said.status == MAPPED and said.is_target
    return [item for item in targets if is_meant and item.tg263 == said.tg263]


def _of_level(
    targets: Iterable[Entry], target: PrescribedTarget, prescription: Prescription
) -> list[Entry]:
    """Return the PTVs of the level at which the dose stands in the prescription."""
    doses = sorted({item.dose_gy for item in prescription.targets}, reverse=True)
    levels = _LEVELS.get(len(doses), ())
    level = levels[doses.index(target.dose_gy)] if levels else ""
    return [item for item in targets if level and item.level == level]


def _only(targets: Sequence[Entry], prescription: Prescription) -> list[Entry]:
    """Return the one PTV where there is one, of one dose, and its name says no dose."""
    single = len(targets) == 1 == len(prescription.targets)
    return list(targets) if single and targets[0].dose_gy is None else []


def _same(first: float, second: float) -> bool:
    return abs(first - second) <= SAME_GY
