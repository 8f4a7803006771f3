"""The plan of a cohort of a site's own studies, as TOML: what no header says.

    name, version, purpose, reference_standard, legal_basis, de_identification
    site = "our-hospital"                 code of the site; site_name in words
    strata_by = ["scanner", "age_band"]   strata made of what the headers say; also "station"
    [structures]                          name in the structure set = finding of the release
    [reference]                           approved = true, gaps = false: see `Plan`
    [prescription]                        finding of a target = Gy, where no plan states it
    [provenance] [data_governance]        as in the manifest of every cohort
    [facts] [target] [[strata]]           the same for all patients; population; more strata
    [patients]                            file, source: facts by patient (`patient_facts.py`)

`docs/examples/validation/site-cohort.toml` is a whole one.

Read next: `dicom_studies.py`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapters.validation.patient_facts import FactTable, read_table
from audit.errors import ConfigurationError, InputError
from validation.cohort.manifest import AXES, Provenance
from validation.cohort.strata import StratumRule

STRATA_BY = ("scanner", "station", "age_band")
SAME_FOR_ALL = ("tumour_type", "tumour_site", "grade", "operation")
WORDS = (
    "name", "version", "purpose", "reference_standard", "legal_basis", "de_identification",
    "data_governance",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site states about its studies.

    Parameters
    ----------
    words : fields of the manifest that are words.
    structures : name of a region in the structure set, in small letters -> finding.
    approved : contours count only from a structure set whose Approval Status is APPROVED, a
        dose only of an approved plan.
    gaps : a reference standard may skip frames between its first and its last one.
    prescription : finding -> Gy of the whole course.
    seeded : each case gets a seed point in the middle of its reference standard.
    facts : facts that are the same for all patients.
    table : facts by patient, from the file beside the plan.
    strata_by : of `STRATA_BY`.
    """

    words: Mapping[str, Any]
    site: str
    site_name: str
    structures: Mapping[str, str]
    provenance: Provenance
    approved: bool = True
    gaps: bool = False
    seeded: bool = False
    linkage: str = ""
    prescription: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    strata: tuple[StratumRule, ...] = ()
    strata_by: tuple[str, ...] = ("scanner", "age_band")
    target: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    table: FactTable = field(default_factory=FactTable)


def linkage_named(path: Path) -> str:
    """Return which key a plan names, without reading what lies beside it."""
    return plan_of({k: v for k, v in _toml(path).items() if k != "patients"}).linkage


def read_plan(path: Path) -> Plan:
    """Return the plan that lies in a file.

    Raises
    ------
    InputError : there is none, or it lacks a word or has one that is not known.
    """
    found = _toml(path)
    stated = found.pop("patients", None)
    plan = plan_of(found)
    return plan if stated is None else _with_table(plan, stated, path.parent)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"expected a plan of a cohort as {path.name}, found none",
            advice="Write one after docs/examples/validation/site-cohort.toml, or name --plan.",
        ) from error


def _with_table(plan: Plan, stated: Any, folder: Path) -> Plan:
    """Return the plan with the table of facts that lies beside it."""
    words = dict(stated) if isinstance(stated, dict) else {}
    name, source = str(words.pop("file", "")), str(words.pop("source", "")).strip()
    if words or not source or not name or Path(name).name != name:
        raise InputError(
            "expected [patients] with the name of a file beside the plan and its source, found "
            "another",
            advice="See docs/site-cohort.md, What no header says.",
        )
    table = read_table(folder / name, source)
    twice = sorted(set(table.columns) & set(plan.facts))
    if twice:
        raise InputError(f"expected each fact in [facts] or in the table, found {twice[0]} in both")
    return replace(plan, table=table)


def with_structures(plan: Plan, stated: tuple[str, ...]) -> Plan:
    """Return the plan with more regions, each ``NAME=FINDING``.

    Raises
    ------
    ConfigurationError : one of them is not, or the plan then names no region.
    """
    found = dict(plan.structures)
    for item in stated:
        name, _, finding = item.rpartition("=")
        if not name.strip() or not finding.strip():
            raise ConfigurationError("expected --structure NAME=FINDING, found another")
        found[folded(name)] = finding.strip()
    if not found:
        raise ConfigurationError(
            "expected the name of a region in the structure sets, found none",
            advice="Name it in [structures] of the plan, or by --structure NAME=FINDING.",
        )
    return replace(plan, structures=found)


def plan_of(found: Mapping[str, Any]) -> Plan:
    """Return the plan that TOML values state.

    Raises
    ------
    InputError : a word is missing, or one is not known.
    """
    try:
        values, rest = {name: found[name] for name in WORDS}, dict(found)
        for name in WORDS:
            del rest[name]
        reference = dict(rest.pop("reference", {}))
        named = rest.pop("structures", {})
        facts = {str(k): str(v) for k, v in rest.pop("facts", {}).items()}
        target = {str(k): tuple(map(str, v)) for k, v in rest.pop("target", {}).items()}
        strata_by = tuple(map(str, rest.pop("strata_by", ("scanner", "age_band"))))
        if not set(strata_by) <= set(STRATA_BY) or not set(facts) <= set(SAME_FOR_ALL):
            raise ValueError("words")
        site = str(rest.pop("site"))
        return Plan(
            words=values,
            site=site,
            site_name=str(rest.pop("site_name", site)),
            structures={folded(str(k)): str(v) for k, v in named.items()},
            provenance=Provenance(**rest.pop("provenance")),
            linkage=str(rest.pop("linkage", "")),
            prescription={str(k): float(v) for k, v in rest.pop("prescription", {}).items()},
            facts=facts,
            strata=tuple(StratumRule(**item) for item in rest.pop("strata", ())),
            strata_by=strata_by,
            target={axis: target.get(axis, ("unknown",)) for axis in AXES} | target,
            **{**{k: bool(v) for k, v in reference.items()}, **rest},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"expected the plan of a site's cohort, found a fault: {error.args[0]!s:.60}",
            advice="Compare it with docs/examples/validation/site-cohort.toml.",
        ) from error


def folded(name: str) -> str:
    """Return the name of a region as it is compared: without case, and with single spaces."""
    return " ".join(name.split()).casefold()
