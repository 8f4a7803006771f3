"""Reviews on the page: what was viewed, what was decided, each on record.

Read next: `finding.py`, which finds reviews in the archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adapters.database import Transaction
from adapters.database.oversight import About
from adapters.database.runs import RunRow
from adapters.governance.persons import Person
from adapters.run_record import inference_record
from audit.errors import ConfigurationError, NotFoundError, RefusalError
from audit.kinds import NOT_EVALUATED
from audit.record import Record, Subject, new_event_id
from governance.oversight.assessment import PLANNING, REVIEWERS, Assessment
from governance.oversight.reviewers import NOTICE, NOTIFIERS, notice

if TYPE_CHECKING:
    from adapters.compose import Site
    from governance.ports import GovernedDocument

ASSESSABLE = ("done", "delivering")


@dataclass(frozen=True, slots=True)
class Decided:
    """What the form says of one structure."""

    structure: str
    action: str
    reason: str
    severity: str = "none"


def note_view(
    site: Site, person: Person, run_id: str, what: tuple[str, int], slices_total: int
) -> None:
    """Note what a reviewer has on the screen; others may look without leaving a trace here."""
    if person.role not in REVIEWERS:
        return
    reviewer, now = site.pseudonyms.reviewer(person.account_id), site.now()
    site.database.run(
        lambda transaction: transaction.note_view(run_id, reviewer, what, slices_total, now)
    )


def assess(
    site: Site,
    person: Person,
    run_id: str,
    decided: Iterable[Decided],
    fraction: int = PLANNING,
) -> tuple[Assessment, ...]:
    """Keep and record what a reviewer decided about structures of a result.

    Raises
    ------
    RefusalError : the role may not assess, or the run has no result.
    ConfigurationError : a structure is not one of the result, or a reason is missing.
    """
    if person.role not in REVIEWERS:
        raise RefusalError("this role does not assess", reasons=("ROLE_NOT_PERMITTED",))
    asked = tuple(decided)
    if not asked:
        raise ConfigurationError("expected a decision about a structure, found none")
    reviewer, now = site.pseudonyms.reviewer(person.account_id), site.now()
    with site.database.transaction() as transaction:
        row, record = assessable(transaction, run_id)
        known = structures_of(record)
        viewing = transaction.viewing(run_id, reviewer, now)
        kept = []
        for item in asked:
            if item.structure not in known:
                raise ConfigurationError(f"expected a structure of run {run_id}, found another")
            one = Assessment(
                assessment_id=new_event_id(now),
                run_id=run_id,
                structure=item.structure,
                action=item.action,
                reason=item.reason,
                severity=item.severity,
                source="page",
                reviewer=reviewer,
                reviewer_role=person.role,
                decided_at=now,
                fraction=fraction,
                viewing=viewing,
                inference_event_id=record.event_id,
            )
            kept.append(keep(site, transaction, row, record, one))
    site.log.seal(site.database)
    return tuple(kept)


def keep(
    site: Site, transaction: Transaction, row: RunRow, record: Record, item: Assessment
) -> Assessment:
    """Keep an assessment under its version and record it in the same transaction."""
    earlier = [
        known.version
        for known in transaction.assessments_of(row.run_id)
        if (known.structure, known.fraction, known.reviewer)
        == (item.structure, item.fraction, item.reviewer)
    ]
    numbered = replace(item, version=max(earlier, default=0) + 1)
    subject = record.subject or Subject(NOT_EVALUATED)
    score = record.body.get("uncertainty", {}).get("score")
    about = About(
        plugin=row.plugin,
        release_digest=row.release_digest,
        site=record.site,
        subgroup=subject.age_band,
        score=float(score) if isinstance(score, (int, float)) else None,
    )
    transaction.put_assessment(numbered, about)
    site.journal.assessment(transaction, row.request, numbered, subject)
    return numbered


def assessable(transaction: Transaction, run_id: str) -> tuple[RunRow, Record]:
    """Return a run whose result can be assessed, with the record of its inference.

    Raises
    ------
    NotFoundError : no such run.
    RefusalError : it has no result, or its result was withheld.
    """
    row = transaction.run(run_id)
    if row is None:
        raise NotFoundError(f"expected a run with id {run_id[:32]}, found none")
    record = inference_record(transaction, run_id)
    if record is None or row.status not in ASSESSABLE or not structures_of(record):
        raise RefusalError("this run has no structures to assess", reasons=("NO_RESULT",))
    return row, record


def structures_of(record: Record) -> tuple[str, ...]:
    """Return the names of the structures of a result, as its record has them."""
    return names_in(record.body)


def names_in(inference: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of structures and doses of a record's body: what is assessed."""
    output = inference.get("output", {})
    return tuple(str(item["name"]) for key in ("rois", "doses") for item in output.get(key, ()))


def tell_staff(
    site: Site, person: Person, text: str, told_on: str, reference: str
) -> GovernedDocument:
    """Keep the notice by which the staff was told of figures about reviewers.

    Raises
    ------
    RefusalError : the role may not; ConfigurationError : the notice says nothing.
    """
    if person.role not in NOTIFIERS:
        raise RefusalError("this role does not tell the staff", reasons=("ROLE_NOT_PERMITTED",))
    content, now = notice(text, told_on, reference), site.now()
    if content["told_on"] > now.date().isoformat():
        raise ConfigurationError("expected a day that has come, found one in the future")
    name = site.configuration.site.name
    with site.database.transaction() as transaction:
        document = transaction.put_governed(NOTICE, name, content, person.account_id, now)
        site.journal.governed(transaction, document)
    site.log.seal(site.database)
    return document
