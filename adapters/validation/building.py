"""Build a cohort from arrays: one ``.npz`` a patient and ``clinical.csv``, under a plan in words.

    PATIENT.npz    ct (HU) with ct_spacing (z, y, x), ct_origin (x, y, z), ct_mask (packed bits);
                   pet (SUV x 1000) likewise, where there is one; LPS, direction identity
    clinical.csv   patient_id, age, sex, mskcc_type, site, grade
    the plan       everything of the manifest that no array says (`validation/first`)

Patient ids are replaced by pseudonyms and never written; cases are numbered in the order of
the pseudonyms, so that their order says nothing either.  Flags such as ``metal`` are measured as
the pipeline measures them.

Read next: `cohorts.py`.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.governance.persons import Person
from adapters.validation.building_doses import build_doses
from adapters.validation.cohorts import Kept, keep, linkage_of
from audit.errors import InputError
from governance.release import digest_of
from plugins.host.envelope import quality_flags
from plugins.host.images import Geometry, Volume
from validation.cohort.arrays import encode_mask, encode_volume
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

if TYPE_CHECKING:
    from adapters.compose import Site

PLANS = Path(__file__).resolve().parents[2] / "validation" / "first"
CLINICAL, PLAN = "clinical.csv", "cohort-plan.json"
_AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
_UNITS = {"ct": ("CT", "[hnsf'U]", 1.0), "pet": ("PT", "g/ml", 1000.0)}
_FLAGS = ("metal",)
_WORDS = (
    "name", "version", "purpose", "reference_standard", "legal_basis", "de_identification",
    "data_governance", "sites", "splits",
)  # fmt: skip


def build(site: Site, folder: Path, person: Person, plan: Path | None = None) -> Kept:
    """Build a cohort of a folder of arrays into the home, on record.

    Raises
    ------
    InputError : an array, the table or the plan cannot be read.
    CohortError : what they say makes no cohort.
    """
    words = _read(plan or folder / PLAN)
    linkage = linkage_of(site.home, str(words.get("linkage", "")))
    with tempfile.TemporaryDirectory(dir=site.home.staging) as place:
        building = Path(place) / "cohort"
        cohort = build_files(folder, words, linkage, building)
        return keep(site, cohort, building, person)


def build_files(folder: Path, words: Mapping[str, Any], linkage: Linkage, building: Path) -> Cohort:
    """Write the files of a cohort below ``building`` and return its manifest's values.

    A plan that says ``"reference": "dose"`` is of OpenKBP's packs (`building_doses.py`).
    """
    if words.get("reference") == "dose":
        return build_doses(folder, words, linkage, building)
    rows = {row["patient_id"]: row for row in _table(folder / CLINICAL)}
    patients = {linkage.pseudonym(path.stem): path for path in sorted(folder.glob("*.npz"))}
    try:
        cases = tuple(
            _case(f"case-{number:03}", group, patients[group], rows, words, building)
            for number, group in enumerate(sorted(patients), start=1)
        )
        return Cohort(
            **{name: words[name] for name in _WORDS},
            linkage_key_id=linkage.key_id,
            strata=with_mandatory([StratumRule(**item) for item in words["strata"]]),
            target={axis: tuple(levels) for axis, levels in words["target"].items()},
            cases=cases,
        )
    except (KeyError, TypeError, OSError) as error:
        raise InputError(
            f"expected arrays, table and plan of a cohort, found a fault: {type(error).__name__}"
        ) from error


def _case(
    case_id: str,
    group: str,
    path: Path,
    rows: Mapping[str, Mapping[str, str]],
    words: Mapping[str, Any],
    building: Path,
) -> CohortCase:
    with np.load(path, allow_pickle=False) as file:
        found = {name: file[name] for name in file.files}
    inputs = {}
    for role in ("ct", "pet"):
        if role in found:
            raw = encode_volume(_volume(found, role))
            inputs[role] = _put(building, f"files/{case_id}/{role}.npz", raw)
    ct = found["ct"]
    mask = np.unpackbits(found["ct_mask"])[: ct.size].reshape(ct.shape).astype(bool)
    raw = encode_mask(mask, _grid(found, "ct"))
    case = CohortCase(
        case_id=case_id,
        patient_group=group,
        site=str(words["site"]),
        facts=_facts(rows[path.stem], words),
        inputs=inputs,
        reference=Reference(
            _put(building, f"files/{case_id}/reference.npz", raw), Provenance(**words["provenance"])
        ),
        split=next(iter(words["splits"])),
    )
    return replace(case, facts=replace(case.facts, flags=_flags(case, building)))


def _facts(row: Mapping[str, str], words: Mapping[str, Any]) -> CohortFacts:
    """Return what the clinical table says of a patient, in the terms of the manifest."""
    place = row["site"].removeprefix("left ").removeprefix("right ").strip()
    part = str(words["body_parts"].get(place, ""))
    return CohortFacts(
        age_years=float(row["age"]) if row["age"] else None,
        sex={"Male": "M", "Female": "F"}.get(row["sex"]),
        body_part=part,
        tumour_type=row["mskcc_type"],
        tumour_site=part,
        grade=row["grade"],
        operation=str(words["operation"]),
    )


def _flags(case: CohortCase, building: Path) -> tuple[str, ...]:
    """Return the flags that the pipeline finds in the images and that a stratum can ask for."""
    found = quality_flags(load_case(case, FolderFiles(building), ("ct",)))
    return tuple(flag for flag in found if flag in _FLAGS)


def _volume(found: Mapping[str, NDArray[Any]], role: str) -> Volume:
    modality, units, divisor = _UNITS[role]
    array = (found[role].astype(np.float32) / np.float32(divisor)).astype(np.float32)
    grid = _grid(found, role)
    return Volume(array, grid, modality, units, "", "", "", ("",))


def _grid(found: Mapping[str, NDArray[Any]], role: str) -> Geometry:
    frames, rows, columns = (int(size) for size in found[role].shape)
    z, y, x = (float(step) for step in found[f"{role}_spacing"])
    first, second, third = (float(value) for value in found[f"{role}_origin"])
    return Geometry((frames, rows, columns), (z, y, x), (first, second, third), _AXES, "frame-1")


def _put(building: Path, path: str, raw: bytes) -> FileEntry:
    place = building / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(raw)
    return FileEntry(path, digest_of(raw), len(raw))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"expected a plan of a cohort as {path.name}, found none") from error
    if not isinstance(found, dict):
        raise InputError(f"expected a plan of a cohort as {path.name}, found another document")
    return found


def _table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"expected {CLINICAL} beside the arrays, found none") from error
