"""What the record knows around a run: its own records, looks at its cohort, leaked patients.

Read next: `opening.py`, which puts each look on record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from adapters.database.search import Wanted
from adapters.validation.asking import VALIDATION
from adapters.validation.baseline import ISSUED
from adapters.validation.cohorts import linkage_of
from adapters.validation.criteria import BY_DIGEST, OPENING
from adapters.validation.kept_runs import manifest_of
from adapters.validation.opening import SEALS
from adapters.validation.reporting import KIND
from audit.errors import NotFoundError
from audit.record import Record, decode
from audit.tombstone import is_tombstone
from validation.cohort import reading
from validation.cohort.leakage import fair_members, leaked, members_of
from validation.cohort.manifest import Cohort, CohortError

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction
    from adapters.validation.standings import RunStanding
    from governance.ports import GovernedDocument

_NEAR = timedelta(seconds=5)
"""How far the time of a record may be from that of the document that it is about."""
_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Trace:
    """One document of a run and the record that tells of it.

    Parameters
    ----------
    what : criteria | begun | ended | report | certificate.
    leaf_index : place of the record in the tree; None where the pages have no line of it.
    """

    what: str
    at: datetime
    person: str
    digest: str
    leaf_index: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """One time that the cases of a cohort were opened, or that opening them was refused.

    Parameters
    ----------
    number : from 1; 0 where it was refused.
    refused : code of the first reason; empty where it was opened.
    """

    number: int
    run_id: str
    release_digest: str
    person: str
    at: datetime
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Leakage:
    """What the patients of a cohort have to do with those that a release learned from.

    Parameters
    ----------
    patients, seen : of the cohort, and those of them that some member was trained on.
    members : sets of weights that name their patients.
    reasons : why the run would be refused; empty where nobody leaked.
    fault : code by which the question cannot be answered here; empty where it can.
    """

    patients: int
    seen: int = 0
    members: int = 0
    reasons: tuple[str, ...] = ()
    fault: str = ""


def traces_of(site: Site, run: RunStanding) -> tuple[Trace, ...]:
    """Return the documents of a run in the order of time, each with its record."""
    with site.database.reading() as transaction:
        documents = [("criteria", transaction.governed(BY_DIGEST, _criteria(run)))]
        history = transaction.governed_history(VALIDATION, run.run_id)
        documents += [
            ("ended" if item.content.get("results_digest") else "begun", item) for item in history
        ]
        documents += [("report", i) for i in transaction.governed_history(KIND, run.run_id)]
        if run.certificate_id:
            documents += [("certificate", transaction.governed(ISSUED, run.certificate_id))]
        return tuple(
            Trace(what, item.recorded_at, item.recorded_by, item.digest, _leaf(transaction, item))
            for what, item in documents
            if item is not None
        )


def looks_at(site: Site, cohort: Cohort) -> tuple[Look, ...]:
    """Return every look at the cases of a cohort and every one that was refused, oldest first."""
    name = reading.content_digest(cohort)
    with site.database.reading() as transaction:
        history = transaction.governed_history(OPENING, name)
        found = [
            Look(number, item.content["run_id"], item.content["release_digest"],
                 item.recorded_by, item.recorded_at)
            for number, item in enumerate(history, 1)
        ]  # fmt: skip
        found += _refused(transaction, name)
    return tuple(sorted(found, key=lambda item: item.at))


def budget_of(site: Site, cohort: Cohort) -> int:
    """Return how often the cases may be opened in all; 0 where no seal ever said."""
    with site.database.reading() as transaction:
        seals = transaction.governed_history(SEALS, reading.content_digest(cohort))
    stated = [int(item.content["openings"]) for item in seals if item.content["state"] == "sealed"]
    if cohort.seal.state == "sealed":
        stated.append(cohort.seal.openings)
    return min(stated, default=0)


def leakage_of(site: Site, run: RunStanding, cohort: Cohort) -> Leakage:
    """Return whom of a cohort a release learned from, by the release's training manifest."""
    patients = len({case.patient_group for case in cohort.cases})
    try:
        linkage = linkage_of(site.home, cohort.linkage_key_id)
        members = members_of(manifest_of(site, run.release_digest), linkage)
    except CohortError as error:
        return Leakage(patients, fault=error.reasons[0].split()[0])
    except NotFoundError:
        return Leakage(patients, fault="RELEASE_NOT_HERE")
    known = {member.name for member in members}
    seen = {c.patient_group for c in cohort.cases if set(fair_members(c, members)) != known}
    reasons = leaked(cohort, members, str(run.plan.get("method", "held-out")))
    return Leakage(patients, len(seen), len(members), reasons)


def _criteria(run: RunStanding) -> str:
    return str(run.plan.get("criteria_digest", ""))


def _leaf(transaction: Transaction, document: GovernedDocument) -> int | None:
    """Return the place of the record that names a document by its digest."""
    near = Wanted(
        "governed", since=document.recorded_at - _NEAR, until=document.recorded_at + _NEAR
    )
    for line in transaction.search_records(near, limit=_LIMIT):
        record = _record(transaction, line.leaf_index)
        if record is not None and record.body.get("sha256") == document.digest:
            return line.leaf_index
    return None


def _record(transaction: Transaction, leaf_index: int) -> Record | None:
    """Return the record at a place of the tree; None where it was purged."""
    (leaf,) = transaction.leaves(leaf_index, leaf_index + 1)
    return None if is_tombstone(leaf.leaf) else decode(leaf.leaf)


def _refused(transaction: Transaction, content_digest: str) -> list[Look]:
    """Return the refused openings of a cohort, as far as the pages have lines of them."""
    found = []
    wanted = Wanted("cohort", failed=True)
    for line in transaction.search_records(wanted, limit=_LIMIT):
        record = _record(transaction, line.leaf_index)
        if record is not None and record.body.get("content_sha256") == content_digest:
            found.append(
                Look(0, str(record.body["run"]), record.release_digest or "", record.actor.id,
                     line.recorded_at, record.outcome.reason)
            )  # fmt: skip
    return found
