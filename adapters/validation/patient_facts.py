"""Facts of each patient that no header holds, from a table beside the plan of a cohort.

    patient,tumour_site,metal,age_years       "p-3f…" = {tumour_site = "thigh", metal = false}
    p-3f…,thigh,no,17

A CSV with a first row of names, or TOML with a table of each patient.  A patient is named by the
cohort's own pseudonym (`osteon cohort pseudonyms`); an empty cell is unknown.  Every level of a
fact becomes a stratum, whose reason says where the table comes from and what its digest is: they
stand in the manifest and are sealed with it.  What a header or an image says otherwise is a fault.

Tumour site, type, grade and operation are told by flags (``tumour-site-thigh``): a run does not
know them, so such a stratum has a verdict of its own and never bars a run.

Read next: `dicom_plan.py`.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from audit.errors import InputError
from governance.release import digest_of
from validation.cohort.manifest import OPERATIONS, CohortCase, CohortError, CohortFacts, refused
from validation.cohort.strata import BANDS, StratumRule, age_band

KEY = "patient"
TOLD = ("tumour_type", "tumour_site", "grade", "operation")
"""Facts that are words; their levels become flags."""
FLAGS = ("metal", "pregnant")
COLUMNS = (*TOLD, *FLAGS, "sex", "age_years", "age_band")
OLDEST_TOLD = 90.0
_PSEUDONYM = re.compile(r"p-[0-9a-f]{32}")
_WORD = re.compile(r"[\w .,+/()-]{1,40}")
_YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_ADVICE = "See docs/site-cohort.md, What no header says."


@dataclass(frozen=True, slots=True)
class FactTable:
    """What the table says.

    Parameters
    ----------
    rows : pseudonym -> fact -> value as written; unknown ones are left out.
    source : who took the facts from where, in words.
    digest : of the table's bytes.
    """

    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    source: str = ""
    digest: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the facts that the table states of somebody, in order."""
        return tuple(name for name in COLUMNS if any(name in row for row in self.rows.values()))

    @property
    def words(self) -> str:
        """Return the provenance as the manifest keeps it."""
        return f"by a table of the site: {self.source} ({self.digest})"


def read_table(path: Path, source: str) -> FactTable:
    """Return the table in a CSV or TOML file.

    Raises
    ------
    InputError : it cannot be read; a patient, fact or value is not one; a patient stands twice.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
        found = _of_toml(text) if path.suffix == ".toml" else _of_csv(text)
    except (OSError, ValueError, csv.Error, AttributeError) as error:
        raise _fault("a table of facts in CSV or TOML", path.name) from error
    rows: dict[str, dict[str, str]] = {}
    for number, (patient, values) in enumerate(found, start=1):
        if not _PSEUDONYM.fullmatch(patient):
            raise _fault("a pseudonym as osteon cohort pseudonyms gives it", f"row {number}")
        if patient in rows:
            raise _fault("each patient once", f"row {number} again")
        rows[patient] = {name: _value(name, value, number) for name, value in values if value}
        if {"age_years", "age_band"} <= set(rows[patient]):
            raise _fault("age_years or age_band", f"both in row {number}")
    return FactTable(rows, source, digest_of(raw))


def with_facts(facts: CohortFacts, table: FactTable, patient: str, study: str) -> CohortFacts:
    """Return the facts of a case with those of the table.

    Raises
    ------
    CohortError : headers or image say otherwise (COHORT_FACT_DIFFERS, the study and the fact).
    """
    row = table.rows.get(patient, {})
    flags: set[str] = set(facts.flags)
    changes: dict[str, Any] = {}
    for name, value in row.items():
        if name in FLAGS:
            if not _YES_NO[value] and name in flags:
                raise _differs(study, name)
            flags |= {name} if _YES_NO[value] else set()
        elif name in TOLD:
            changes[name] = value
            flags.add(flag_of(name, value))
        elif name == "sex":
            if facts.sex not in (None, value):
                raise _differs(study, name)
            changes[name] = value
    known = replace(facts, flags=tuple(sorted(flags)), **changes)
    return _with_age(known, row, study)


def _with_age(facts: CohortFacts, row: Mapping[str, str], study: str) -> CohortFacts:
    """Return the facts with the age of the table; of a patient of 90 or more only the band."""
    if not {"age_years", "age_band"} & set(row):
        return facts
    years = float(row["age_years"]) if "age_years" in row else None
    band = age_band(years) if years is not None else row["age_band"]
    if facts.age_band not in ("unknown", band):
        raise _differs(study, "age")
    if facts.age_years is not None or years is None or years >= OLDEST_TOLD:
        return replace(facts, age_band=band)
    return replace(facts, age_years=years)


def strata_of_table(table: FactTable, cases: Sequence[CohortCase]) -> tuple[StratumRule, ...]:
    """Return a stratum for each level of each fact of the table that the cases have."""
    rules: dict[str, StratumRule] = {}
    there = {case.patient_group for case in cases}
    for patient, row in table.rows.items():
        if patient not in there:
            continue
        for name, value in row.items():
            if name in TOLD:
                flag = flag_of(name, value)
                rules[flag] = StratumRule(flag, {"flag": flag}, reason=table.words)
            elif name == "metal" and _YES_NO[value]:
                rules[name] = StratumRule(name, {"flag": name}, reason=table.words)
            elif name == "sex":
                rules[f"sex-{value}"] = StratumRule(
                    f"sex-{value}", {"sex": value}, reason=table.words
                )
    return tuple(rules[name] for name in sorted(rules))


def require_patients(table: FactTable, cases: Sequence[CohortCase]) -> None:
    """Return unless the table has a patient whom the cohort has not (COHORT_FACTS_PATIENT)."""
    known = {case.patient_group for case in cases}
    strange = sorted(set(table.rows) - known)
    if strange:
        raise CohortError(
            f"expected patients of the cohort in the table of facts, found {len(strange)} others",
            reasons=tuple(f"COHORT_FACTS_PATIENT {patient}" for patient in strange),
            advice="Make the pseudonyms with this site's key: `osteon cohort pseudonyms`.",
        )


def flag_of(name: str, value: str) -> str:
    """Return the flag of a level.

    Examples
    --------
    >>> flag_of("tumour_site", "Upper thigh")
    'tumour-site-upper-thigh'
    """
    return re.sub(r"[^a-z0-9]+", "-", f"{name} {value}".lower()).strip("-")


def _of_csv(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    names = [name.strip() for name in reader.fieldnames or ()]
    if KEY not in names or len(set(names)) != len(names):
        raise _fault(f"a column {KEY} and each column once", "others")
    rows = []
    for number, row in enumerate(reader, start=1):
        if None in row or None in row.values():
            raise _fault("as many cells as names", f"row {number} with others")
        cells = {str(k).strip(): str(v).strip() for k, v in row.items()}
        rows.append((cells.pop(KEY), list(cells.items())))
    return rows


def _of_toml(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    found = tomllib.loads(text)
    return [
        (patient, [(name, _written(value)) for name, value in row.items()])
        for patient, row in found.items()
    ]


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _value(name: str, value: str, number: int) -> str:
    """Return a value as the manifest writes it; InputError where it is none of the fact."""
    if name not in COLUMNS:
        raise _fault(f"a fact of {', '.join(COLUMNS)}", name[:40])
    where = f"another in row {number}"
    if name in FLAGS:
        if value.lower() not in _YES_NO:
            raise _fault(f"{name} as yes or no", where)
        return value.lower()
    if name == "age_years":
        if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)?", value) or float(value) >= 150:
            raise _fault("age_years as a number", where)
        return value
    levels = {"sex": ("M", "F", "O"), "age_band": tuple(BANDS), "operation": OPERATIONS}.get(name)
    if levels and value not in levels:
        raise _fault(f"{name} of {', '.join(levels)}", where)
    if not _WORD.fullmatch(value) or not re.search(r"[A-Za-z0-9]", value):
        raise _fault(f"{name} in at most 40 letters", where)
    return value


def _fault(expected: str, found: str) -> InputError:
    return InputError(f"expected {expected}, found {found}", advice=_ADVICE)


def _differs(study: str, name: str) -> CohortError:
    return refused("COHORT_FACT_DIFFERS", "the same fact in table and study", f"{study} {name}")
