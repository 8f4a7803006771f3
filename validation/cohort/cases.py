"""Read a case of a cohort as the pipeline reads one: every byte is checked against the manifest.

`CohortFiles` says where bytes come from: a folder, or a sealed cohort that was opened
(`seal.py`).  What differs from the manifest is refused (COHORT_TAMPERED), so that nothing is
judged that the cohort's digest does not name.

Read next: `leakage.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from governance.release import digest_of
from plugins.host.case import Case, Subject
from plugins.host.images import Geometry, Volume
from validation.cohort import structures
from validation.cohort.arrays import decode_mask, decode_volume, uid_of
from validation.cohort.manifest import CohortCase, FileEntry, refused
from validation.cohort.structures import Structures


class CohortFiles(Protocol):
    """Gives the bytes of a file of a cohort; exactly one answers."""

    def read(self, entry: FileEntry) -> bytes:
        """Return the bytes that the entry's digest names; CohortError where they are others."""
        ...


class FolderFiles:
    """The files of a cohort that is not sealed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, entry: FileEntry) -> bytes:
        """Return the bytes of a file.

        Raises
        ------
        CohortError : it is not there, or differs (COHORT_FILE_MISSING, COHORT_TAMPERED).
        """
        try:
            raw = (self._folder / entry.path).read_bytes()
        except OSError as error:
            raise refused("COHORT_FILE_MISSING", "a file of the cohort", entry.path) from error
        return verified(raw, entry)


def verified(raw: bytes, entry: FileEntry) -> bytes:
    """Return the bytes if they are those of the entry.

    Raises
    ------
    CohortError : they are others (COHORT_TAMPERED).
    """
    if len(raw) != entry.size or digest_of(raw) != entry.digest:
        raise refused("COHORT_TAMPERED", "the bytes that the manifest names", entry.path)
    return raw


def load_case(case: CohortCase, files: CohortFiles, given: Sequence[str] = ()) -> Case:
    """Return a case as a plugin sees it, with the roles that it is given.

    Parameters
    ----------
    given : roles to read; all where it is empty.  One that the case lacks is left out.
    """
    roles = [role for role in sorted(case.inputs) if not given or role in given]
    facts = case.facts
    drawn = load_structures(case, files) if structures.ROLE in roles else None
    return Case(
        study_instance_uid=uid_of(case.case_id, "study"),
        subject=Subject(age_years=facts.age_years, sex=facts.sex),
        images={
            role: decode_volume(files.read(case.inputs[role]), case.case_id, role)
            for role in roles
            if role != structures.ROLE
        },
        structure_sets=(
            {}
            if drawn is None
            else {structures.ROLE: structures.structure_set(drawn, case.case_id)}
        ),
        seed_point_mm=case.seed_point_mm,
        body_part=facts.body_part or None,
        notes=facts.flags,
        prescription=None if drawn is None else structures.prescription(drawn, case.case_id),
    )


def load_structures(case: CohortCase, files: CohortFiles) -> Structures:
    """Return the regions of a case as masks; KeyError where it has none."""
    return structures.decode_structures(files.read(case.inputs[structures.ROLE]), case.case_id)


def load_reference_dose(case: CohortCase, files: CohortFiles) -> Volume | None:
    """Return the planned dose in Gy that is a case's reference standard; None where it is none.

    A case with structures has a dose for its reference standard, every other a mask.
    """
    if case.reference is None or structures.ROLE not in case.inputs:
        return None
    return decode_volume(files.read(case.reference.file), case.case_id, "reference")


def load_reference(
    case: CohortCase, files: CohortFiles
) -> tuple[NDArray[np.bool_], Geometry] | None:
    """Return the mask that is a case's reference standard and its grid; None where it is none."""
    if case.reference is None or structures.ROLE in case.inputs:
        return None
    return decode_mask(files.read(case.reference.file), case.case_id)
