"""Write a cohort's manifest and read it again; `encode` and `decode` are inverses.

What was read in another spelling is refused, so that one cohort has one digest.

Source: RFC 8785.

Read next: `coverage.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from audit import canonical
from audit.errors import RecordError, SuiteError
from governance.release import digest_of
from governance.strata import EQUIPMENT
from validation.cohort.manifest import (
    SCHEMA,
    Cohort,
    CohortCase,
    CohortError,
    CohortFacts,
    FileEntry,
    Provenance,
    Reference,
    Seal,
)
from validation.cohort.strata import StratumRule, with_mandatory

_SIZE_LIMIT = 100_000_000
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def encode(cohort: Cohort) -> bytes:
    """Return the canonical JSON of a cohort; cases in the order of their ids."""
    values = asdict(cohort)
    values["cases"] = [_case_values(item) for item in sorted(cohort.cases, key=_id)]
    values["strata"] = [asdict(rule) for rule in with_mandatory(cohort.strata)]
    return canonical.encode({"schema": SCHEMA, **_plain(values)})


def decode(raw: bytes) -> Cohort:
    """Return the cohort that a manifest states.

    Raises
    ------
    CohortError : it is no manifest (COHORT_MALFORMED), or what it says is not complete.
    """
    try:
        if len(raw) > _SIZE_LIMIT:
            raise ValueError("size")
        values = canonical.decode(raw)
        if values.pop("schema") != SCHEMA or set(values) != {item.name for item in fields(Cohort)}:
            raise ValueError("schema")
        values["cases"] = tuple(_case(item) for item in values["cases"])
        values["strata"] = tuple(StratumRule(**item) for item in values["strata"])
        values["target"] = {str(k): tuple(map(str, v)) for k, v in values["target"].items()}
        values["seal"] = Seal(**values["seal"])
        cohort = Cohort(**values)
        if encode(cohort) != raw:
            raise ValueError("spelling")
        return cohort
    except CohortError:
        raise
    except (*_MALFORMED, RecordError, SuiteError) as error:
        raise CohortError(
            f"expected the manifest of a cohort, found a fault: {type(error).__name__}",
            reasons=("COHORT_MALFORMED",),
        ) from error


def digest(cohort: Cohort) -> str:
    """Return the digest that names the lot: every case, file, rule and the seal."""
    return digest_of(encode(cohort))


def content_digest(cohort: Cohort) -> str:
    """Return the digest of the same cohort without its seal: what openings are counted by."""
    return digest(cohort.with_seal(Seal()))


def _case_values(case: CohortCase) -> dict[str, Any]:
    """Return a case as JSON values.

    Facts of the scanner and a seed point stand there only where they are known: a cohort that
    was built before they could be said has the same digest as ever.
    """
    values = asdict(case)
    if case.seed_point_mm is None:
        del values["seed_point_mm"]
    for name in EQUIPMENT:
        if not values["facts"][name]:
            del values["facts"][name]
    values["inputs"] = {role: asdict(entry) for role, entry in case.inputs.items()}
    return values


def _case(values: Mapping[str, Any]) -> CohortCase:
    found = dict(values)
    facts = dict(found["facts"])
    facts["flags"] = tuple(facts["flags"])
    found["facts"] = CohortFacts(**facts)
    found["inputs"] = {str(role): FileEntry(**item) for role, item in found["inputs"].items()}
    if "seed_point_mm" in found:
        x, y, z = (float(value) for value in found["seed_point_mm"])
        found["seed_point_mm"] = (x, y, z)
    if found["reference"] is not None:
        reference = dict(found["reference"])
        found["reference"] = Reference(
            FileEntry(**reference["file"]), Provenance(**reference["provenance"])
        )
    return CohortCase(**found)


def _id(case: CohortCase) -> str:
    return case.case_id


def _plain(value: Any) -> Any:
    """Return JSON values: tuples as lists, mappings as dictionaries."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
