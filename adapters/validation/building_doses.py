"""Build a cohort of planned doses from OpenKBP's packs, one ``.npz`` a patient.

The CT and the regions become the case, as a plugin gets them from a CT series and a structure
set; the planned dose is the reference standard.  The packs have axes (row, column, slice from
superior); here they are (frames from inferior, rows, columns), LPS.

Read next: `building.py`, `validation/cohort/structures.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.errors import InputError
from governance.release import digest_of
from models.dose.patient import LEVELS, Patient
from models.training.dose.packs import read_pack
from plugins.host.case import Case
from plugins.host.images import Geometry, Volume
from validation.cohort.arrays import encode_volume
from validation.cohort.cases import FolderFiles, load_case
from validation.cohort.linkage import Linkage
from validation.cohort.manifest import (
    Cohort,
    CohortCase,
    CohortFacts,
    FileEntry,
    Provenance,
    Reference,
)
from validation.cohort.strata import StratumRule, with_mandatory
from validation.cohort.structures import Region, Structures, encode_structures

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
WORDS = (
    "name", "version", "purpose", "reference_standard", "legal_basis", "de_identification",
    "data_governance", "sites", "splits",
)  # fmt: skip
PROVENANCE = {
    "made_by": "automatic planning process of the challenge's authors",
    "made_on": "",
    "method": "inverse planning with nine fields (Babier et al. 2021)",
    "origin": "analytic",
}
"""Of a pack that is read outside a cohort's plan."""
NOBODY = f"p-{0:032x}"
"""Pseudonym of a patient who is in no cohort."""
LARGE_TARGET_ML = 400.0
"""As in the table of subgroups of `validation/benchmarks/dose.py`."""


def build_doses(folder: Path, words: Mapping[str, Any], linkage: Linkage, building: Path) -> Cohort:
    """Write the files of a cohort below ``building`` and return its manifest's values.

    Raises
    ------
    InputError : a pack cannot be read, or the plan lacks a word.
    """
    packs = folder / str(words.get("packs", "."))
    patients = {linkage.pseudonym(path.stem): path for path in sorted(packs.glob("*.npz"))}
    if not patients:
        raise InputError("expected packs of planned doses, found none")
    try:
        cases = tuple(
            _case(f"case-{number:03}", group, patients[group], words, building)
            for number, group in enumerate(sorted(patients), start=1)
        )
        return Cohort(
            **{name: words[name] for name in WORDS},
            linkage_key_id=linkage.key_id,
            strata=with_mandatory([StratumRule(**item) for item in words["strata"]]),
            target={axis: tuple(levels) for axis, levels in words["target"].items()},
            cases=cases,
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(
            f"expected packs and plan of a cohort, found a fault: {type(error).__name__}"
        ) from error


def case_of_pack(path: Path, building: Path) -> Case:
    """Return a pack as the plugin sees it, its files written below ``building`` and read back."""
    words = {
        "site": "openkbp",
        "body_part": "HEADNECK",
        "splits": {"one": "one"},
        "provenance": PROVENANCE,
    }
    return load_case(_case("case-000", NOBODY, path, words, building), FolderFiles(building))


def _case(
    case_id: str, group: str, path: Path, words: Mapping[str, Any], building: Path
) -> CohortCase:
    patient, planned = read_pack(path)
    geometry = _geometry(patient)
    unit = ("", "", "", ("",))
    ct = Volume(_laid(patient.ct_hu).astype(np.float32), geometry, "CT", "[hnsf'U]", *unit)
    dose = Volume(_laid(planned), geometry, "RTDOSE", "Gy", *unit)
    files = {
        "ct": encode_volume(ct),
        "structures": encode_structures(Structures(_regions(patient), geometry)),
        "reference": encode_volume(dose),
    }
    put = {name: _put(building, f"files/{case_id}/{name}.npz", raw) for name, raw in files.items()}
    return CohortCase(
        case_id=case_id,
        patient_group=group,
        site=str(words["site"]),
        facts=CohortFacts(body_part=str(words["body_part"]), flags=_flags(patient)),
        inputs={"ct": put["ct"], "structures": put["structures"]},
        reference=Reference(put["reference"], Provenance(**words["provenance"])),
        split=next(iter(words["splits"])),
    )


def _regions(patient: Patient) -> tuple[Region, ...]:
    """Return targets, organs and the region where dose is told, named as OpenKBP names them."""
    names = {dose: name for name, dose in LEVELS.items()}
    targets = [Region(names[dose], "PTV", _laid(mask), dose) for dose, mask in patient.targets]
    organs = [Region(name, "ORGAN", _laid(mask)) for name, mask in patient.organs.items()]
    return (*targets, *organs, Region("PossibleDose", "CONTROL", _laid(patient.possible_dose)))


def _flags(patient: Patient) -> tuple[str, ...]:
    """Return what strata ask for: levels of prescription, missing organs, size of the targets."""
    millilitres = float(patient.target.sum() * np.prod(patient.voxel_mm) / 1000.0)
    found = {
        f"levels-{len(patient.targets)}",
        "organ-missing" if len(patient.organs) < 7 else "organs-complete",
        "large-targets" if millilitres > LARGE_TARGET_ML else "small-targets",
    }
    return tuple(sorted(found))


def _geometry(patient: Patient) -> Geometry:
    rows, columns, slices = patient.ct_hu.shape
    row_mm, column_mm, slice_mm = patient.voxel_mm
    return Geometry(
        (slices, rows, columns), (slice_mm, row_mm, column_mm), (0.0, 0.0, 0.0), AXES, "frame-1"
    )


def _laid(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array of (row, column, slice from superior) as (frames, rows, columns)."""
    return np.ascontiguousarray(np.transpose(values, (2, 0, 1))[::-1])


def _put(building: Path, path: str, raw: bytes) -> FileEntry:
    place = building / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(raw)
    return FileEntry(path, digest_of(raw), len(raw))
