"""Reviews that nobody typed: approved structure sets, and plans, that come back to the archive.

A study in which something of others arrived is looked at once it is still.  A set that was
here before the result is no answer to it.  A set counts as
approved by its own status, or by an approved plan that refers to it.  It is compared with
every result of the same patient in the same frame of reference that left this site, and each
pair of set and run is read once.  What the suite wrote is known by its recorded UIDs and is
never a review.

Who approved stands in the set as a name and is not read; what the person saw in the planning
system is not known, unless it was on our pages before.

Source: PS3.3 C.7.6 Approval Module (300E,0002); IHE RAD AIRAI (what the words mean).

Read next: `governance/oversight/comparison.py`, then `plans.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from adapters.database import Transaction
from adapters.database.oversight import Look
from adapters.database.runs import RunRow
from adapters.oversight.acts import assessable, keep
from adapters.oversight.contours import MaskComparison, regions
from adapters.oversight.plans import compare_plans
from adapters.oversight.results import foreign, know_patient, results_before
from adapters.pacs import InstanceReference, Pacs
from adapters.rt.read_part10 import as_instance
from adapters.rt.read_plan import read_plan
from adapters.rt.read_structures import read_structures
from audit.errors import GeometryError, InputError, RefusalError, SuiteError
from audit.kinds import NOT_EVALUATED
from audit.pseudonym import short
from audit.record import new_event_id
from governance.oversight.assessment import NO_REASON, NOT_STATED, Assessment, Viewing
from governance.oversight.comparison import APPROVED, Finding, judge
from plugins.host.images import StructureSet

if TYPE_CHECKING:
    from adapters.compose import Site

LATER = timedelta(seconds=60)
_NEEDED = {"search", "retrieve"}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Approved:
    """A set of somebody else that was approved, by itself or by a plan, and when it came."""

    structures: StructureSet
    source: str
    first_at: datetime


def find_reviews(site: Site) -> int:
    """Look at every study that is due; return how many assessments and comparisons were found."""
    found = 0
    with site.database.reading() as transaction:
        due = transaction.due_review_looks(site.now())
    for item in due:
        try:
            found += look(site, item)
        except SuiteError as error:  # one study must not hold up the others
            name = short(item.study_instance_uid)
            _log.warning("study not looked at for reviews", study=name, code=error.code)
            site.database.run(partial(_again, look=item, due=site.now() + LATER))
        else:
            site.database.run(partial(Transaction.remove_review_look, look=item))
    return found


def _again(transaction: Transaction, look: Look, due: datetime) -> None:
    transaction.put_review_look(look.pacs, look.study_instance_uid, look.arrived_at, due)


def look(site: Site, item: Look) -> int:
    """Read the approved sets and plans of a study; return how much they said of our results."""
    archive, study = site.archives.get(item.pacs), item.study_instance_uid
    if archive is None or not archive.capabilities >= _NEEDED:
        return 0
    found = 0
    for approved in _approved_sets(site, archive, item):
        for row in results_before(site, study, approved.first_at):
            found += _compared(site, approved, row)
    found += compare_plans(site, archive, item)
    if found:
        site.log.seal(site.database)
    return found


def _approved_sets(site: Site, archive: Pacs, look: Look) -> Iterator[Approved]:
    study = look.study_instance_uid
    references: dict[str, list[InstanceReference]] = {"RTSTRUCT": [], "RTPLAN": []}
    for series in archive.search_series(study):
        if series.modality in references:
            instances = archive.search_instances(study, series.series_instance_uid)
            references[series.modality] += instances
    with site.database.reading() as transaction:
        every = [item.sop_instance_uid for items in references.values() for item in items]
        ours = transaction.own_sop_uids(every)
    planned = _planned_sets(archive, [r for r in references["RTPLAN"] if foreign(r, ours)])
    for reference in references["RTSTRUCT"]:
        if not foreign(reference, ours):
            continue
        try:
            instance = as_instance(archive.retrieve_instance(reference))
            structures, _ = read_structures(instance)
        except InputError as error:
            _log.warning("structure set not readable", study=short(study), code=error.code)
            continue
        uid = structures.sop_instance_uid
        first = site.database.run(
            partial(Transaction.note_set_seen, sop_instance_uid=uid, arrived=look.arrived_at)
        )
        by_itself = structures.approval_status.upper() == APPROVED
        if by_itself or uid in planned:
            know_patient(site, study, instance)
            yield Approved(structures, "rtstruct" if by_itself else "plan", first)


def _planned_sets(archive: Pacs, references: list[InstanceReference]) -> set[str]:
    """Return the sets that approved plans refer to."""
    planned = set()
    for reference in references:
        try:
            plan, _ = read_plan(archive.retrieve_instance(reference))
        except InputError:
            continue
        if plan.approval_status.upper() == APPROVED and plan.referenced_structure_set_uid:
            planned.add(plan.referenced_structure_set_uid)
    return planned


def _compared(site: Site, approved: Approved, row: RunRow) -> int:
    """Keep what a set says of one run, once; return how many structures it speaks of."""
    limits = site.configuration.oversight.limits()
    theirs = approved.structures
    findings: list[Finding] = []
    for ours in _own_sets(site, row):
        if not ours.frame_of_reference_uid == theirs.frame_of_reference_uid != "":
            continue
        numbers = MaskComparison(limits.tolerance_mm)
        try:
            findings += judge(regions(ours.rois), regions(theirs.rois), numbers, limits)
        except GeometryError as error:
            _log.warning("sets not comparable", run_id=row.run_id, code=error.code)
    if not findings:
        return 0

    def write(transaction: Transaction) -> int:
        now = site.now()
        if not transaction.note_reviewed_object(theirs.sop_instance_uid, row.run_id, now):
            return 0
        try:
            known, record = assessable(transaction, row.run_id)
        except RefusalError:
            return 0
        seen = _seen(transaction, row.run_id)
        for item in findings:
            one = Assessment(
                assessment_id=new_event_id(now),
                run_id=row.run_id,
                structure=item.structure,
                action=item.action,
                reason=NO_REASON if item.action == "accept" else NOT_STATED,
                severity=item.severity,
                source=approved.source,
                reviewer="",
                reviewer_role=NOT_EVALUATED,
                decided_at=now,
                viewing=seen.get(item.structure, Viewing()),
                figures=item.figures,
                edited_sop_uid_p=site.pseudonyms.uid(
                    row.study_instance_uid, theirs.sop_instance_uid
                ),
                inference_event_id=record.event_id,
            )
            keep(site, transaction, known, record, one)
        return len(findings)

    return site.database.run(write)


def _own_sets(site: Site, row: RunRow) -> Iterator[StructureSet]:
    with site.database.reading() as transaction:
        documents = transaction.documents(row.run_id)
    for document in documents:
        if document.kind == "RTSTRUCT" and document.path.is_file():
            yield read_structures(document.path.read_bytes())[0]


def _seen(transaction: Transaction, run_id: str) -> Mapping[str, Viewing]:
    """Return what reviewers saw on our pages before, by structure: a set must not hide it."""
    return {
        item.structure: item.viewing
        for item in transaction.assessments_of(run_id)
        if item.viewing.known
    }
