"""Build a cohort of a site's own studies from a folder of DICOM files, under a plan in TOML.

    1  the folder is looked through; nothing in it is moved, and no name of a file is kept
    2  every study is read as in the clinic (`dicom_studies.py`); a fault is a code with letters
       that stand for the study, and all faults are told at once
    3  patients become keyed pseudonyms; cases are numbered in their order, which says nothing
    4  strata are made of scanners, stations and age bands as the headers say, and of the facts
       that a table beside the plan gives by patient (`patient_facts.py`)
    5  leakage: no patient whom the whole release learned from, no patient under two ids

Studies with a fault are left out only where that is asked for, and then the manifest counts
them by code.

Read next: `dicom_cases.py`.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.governance.persons import Person
from adapters.rt.read_folder import FolderScan, scan_folder
from adapters.validation.cohorts import Kept, keep, linkage_of
from adapters.validation.dicom_cases import Written, case_of, unknown_counts
from adapters.validation.dicom_plan import Plan
from adapters.validation.dicom_studies import ReadStudy, read_study
from adapters.validation.patient_facts import require_patients, strata_of_table
from audit.errors import InputError
from plugins.host import manifest as manifests
from plugins.host.facts import StudyFacts
from plugins.host.manifest import Manifest
from plugins.host.prescription import Prescription
from validation.cohort.cases import FolderFiles
from validation.cohort.leakage import Member, duplicates, fair_members, images_of, members_of
from validation.cohort.linkage import Linkage
from validation.cohort.manifest import Cohort, CohortCase, CohortError
from validation.cohort.strata import BANDS, StratumRule, with_mandatory

if TYPE_CHECKING:
    from adapters.compose import Site

SPLIT = "test"


@dataclass(frozen=True, slots=True)
class Built:
    """What was built.

    Parameters
    ----------
    left_out : fault code -> studies that are not in the cohort for it.
    unknown : fact -> cases in which no header and no plan states it.
    seen : patients that some member of the release learned from.
    skipped : reason code -> files that are no part of any series.
    """

    kept: Kept
    left_out: dict[str, int]
    unknown: dict[str, int]
    seen: int
    skipped: dict[str, int]


def build_dicom(
    site: Site, folder: Path, plan: Plan, release: str, person: Person, *, leave_out: bool = False
) -> Built:
    """Build a cohort of the studies in a folder for a release, on record.

    Parameters
    ----------
    release : digest, plugin or plugin-version: its inputs are read, its training is looked at.
    leave_out : go on without studies that have a fault.

    Raises
    ------
    CohortError : studies have faults, each by code; a patient leaked, or goes under two ids.
    InputError : no study lies in the folder.
    """
    row = site.registry.find(release)
    stated = json.loads(row.manifest)
    manifest = manifests.decode(stated)
    linkage = linkage_of(site.home, plan.linkage)
    # 1
    scan = scan_folder(folder)
    skipped = dict(Counter(item.code for item in scan.skipped))
    if not scan.studies:
        raise InputError("expected DICOM studies in the folder, found none")
    with tempfile.TemporaryDirectory(dir=site.home.staging) as place:
        building = Path(place) / "cohort"
        # 2 and 3
        written = Written(building, plan)
        wanted = _Wanted(site, scan, (row.digest, manifest), plan, linkage)
        cases, faults = _cases(wanted, written)
        if faults and not leave_out:
            raise CohortError(
                f"expected {len(scan.studies)} studies without a fault, found {len(faults)} with",
                reasons=tuple(faults),
                advice="Put them right at their source, or leave them out by --leave-out.",
            )
        left = dict(Counter(reason.split()[0] for reason in faults))
        if not faults:  # a study that was left out may be the patient's only one
            require_patients(plan.table, cases)
        # 4
        cohort = _cohort(plan, linkage, cases, left)
        # 5
        members = members_of(stated, linkage)
        _require_no_leak(cohort, members, building)
        kept = keep(site, cohort, building, person)
    unknown = unknown_counts({case.case_id: case.facts for case in cases})
    return Built(kept, left, unknown, _seen(cohort, members), skipped)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is read, and what with."""

    site: Site
    scan: FolderScan
    release: tuple[str, Manifest]
    plan: Plan
    linkage: Linkage

    def prescription(self, study: StudyFacts) -> Prescription | None:
        """Return what the study's own plan states, where the release asks for it."""
        if not self.release[1].envelope.prescription_required:
            return None
        return self.site.prescriptions.sources.of_files(study, self.scan.files).prescription

    def read(self, study: StudyFacts) -> ReadStudy:
        """Return a study that was read."""
        stated = self.prescription(study)
        return read_study(self.scan, study, self.release, self.plan, stated)


def _cases(wanted: _Wanted, written: Written) -> tuple[tuple[CohortCase, ...], list[str]]:
    """Return the cases, and a reason for each study with a fault.

    A study is read twice: first for its patient, so that cases can be numbered in the order of
    the pseudonyms; arrays of one study at a time are in memory.
    """
    order: list[tuple[str, str, StudyFacts]] = []
    faults: list[str] = []
    for study in wanted.scan.studies:
        try:
            read = wanted.read(study)
            group = wanted.linkage.pseudonym(read.patient_id)
            order.append((group, wanted.linkage.pseudonym(read.study), study))
            case_of(read, "trial", group, written)
        except CohortError as error:
            faults += error.reasons
            order = [item for item in order if item[2] is not study]
    cases = tuple(
        case_of(wanted.read(study), f"case-{number:03}", group, written)
        for number, (group, _, study) in enumerate(sorted(order, key=lambda o: o[:2]), start=1)
    )
    for leftover in sorted((written.building / "files" / "trial").glob("*")):
        leftover.unlink()
    return cases, faults


def _cohort(
    plan: Plan, linkage: Linkage, cases: tuple[CohortCase, ...], left: dict[str, int]
) -> Cohort:
    words = dict(plan.words)
    if left:
        told = ", ".join(f"{count} {code}" for code, count in sorted(left.items()))
        letters = dict(words["data_governance"])
        letters["a"] = f"{letters['a']} Left out for a fault of the data: {told}."
        words["data_governance"] = letters
    if plan.table.rows:
        letters = dict(words["data_governance"])
        told = ", ".join(plan.table.columns)
        letters["b"] = f"{letters['b']} Of each patient {told} {plan.table.words}."
        words["data_governance"] = letters
    if plan.seeded:
        words["reference_standard"] += "; each case has a seed point in the middle of it"
    return Cohort(
        **words,
        linkage_key_id=linkage.key_id,
        sites={plan.site: plan.site_name},
        splits={SPLIT: "all studies of the site that were given"},
        strata=with_mandatory(_rules(plan, cases)),
        target=plan.target,
        cases=cases,
    )


def _rules(plan: Plan, cases: tuple[CohortCase, ...]) -> list[StratumRule]:
    """Return the strata of plan, headers and table, each name once and the plan's first."""
    made = (*strata_of_headers(cases, plan.strata_by), *strata_of_table(plan.table, cases))
    rules = {rule.name: rule for rule in made} | {rule.name: rule for rule in plan.strata}
    first = [rule.name for rule in plan.strata]
    return [rules[name] for name in (*first, *(n for n in rules if n not in first))]


def strata_of_headers(cases: Sequence[CohortCase], by: Sequence[str]) -> tuple[StratumRule, ...]:
    """Return a stratum for each scanner, station and age band that the cases have.

    One name for each: of manufacturer and model, or of the station's word.
    """
    rules: dict[str, StratumRule] = {}
    for case in cases:
        facts = case.facts
        if "scanner" in by and facts.manufacturer and facts.model:
            where = {"manufacturer": facts.manufacturer, "model": facts.model}
            name = f"scanner-{_slug(f'{facts.manufacturer} {facts.model}')}"
            rules[name] = StratumRule(name, where, reason="the site's own scanner")
        if "station" in by and facts.station:
            name = f"station-{facts.station}"
            rules[name] = StratumRule(name, {"station": facts.station}, reason="its own station")
        if "age_band" in by and facts.age_band in BANDS:
            low, high = BANDS[facts.age_band]
            name = f"age-{facts.age_band}"
            rules[name] = StratumRule(name, {"age_years": [low, high]}, reason="bias by age")
    return tuple(rules[name] for name in sorted(rules))


def _require_no_leak(cohort: Cohort, members: Sequence[Member], building: Path) -> None:
    """Return unless a patient was learned from by every member, or goes under two ids."""
    reasons = [
        f"LEAKED_PATIENT {case.case_id}"
        for case in cohort.cases
        if members and not fair_members(case, members)
    ]
    reasons += duplicates(images_of(cohort, FolderFiles(building)))
    if reasons:
        raise CohortError(
            f"expected patients that the release can be judged on, found {len(reasons)} others",
            reasons=tuple(reasons),
            advice="Leave out patients of the training, and give one patient one Patient ID.",
        )


def _seen(cohort: Cohort, members: Sequence[Member]) -> int:
    groups = {case.patient_group for case in cohort.cases}
    return sum(any(group in member.patients for member in members) for group in groups)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:55]
