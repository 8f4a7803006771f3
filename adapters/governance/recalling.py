"""Recall at a site: read the list (on record), tell the overseers, note what they did.

Read next: `governance/recall.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from adapters.database import Transaction
from adapters.database.runs import RunRow
from adapters.delivery.delivery import key_of
from adapters.engine.notices import Notices
from adapters.governance.persons import Person, decision_of
from audit.errors import NotFoundError, RefusalError
from audit.kinds import NOT_EVALUATED
from audit.record import decode
from governance.approvals import name_of
from governance.deployment import Decision
from governance.ports import GovernedDocument
from governance.recall import (
    ACKNOWLEDGED,
    ACKNOWLEDGERS,
    HANDLED,
    HANDLERS,
    IDENTIFIERS,
    KIND,
    READERS,
    RecalledDocument,
    RecalledRun,
    RecallList,
    overseers_of,
    todo_of,
)
from plugins.host.identity import RECALL

if TYPE_CHECKING:
    from adapters.compose import Site

LEAVES = ("clinical", "research")
OURS = ("DiagnosticReport", "Observation", "Provenance")
"""FHIR resources that are the run's alone; study and device are shared."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is recalled of a release.

    Parameters
    ----------
    since : from when on results are recalled; None for all of the release.
    mark : the results are marked as withdrawn where they lie (`withdrawing.py`).
    """

    reason: str
    since: datetime | None = None
    mark: bool = True


def read_recall(
    site: Site,
    digest: str,
    person: Person,
    since: datetime | None = None,
    *,
    identities: bool = False,
) -> RecallList:
    """Return the recall list of a release; that it was read is on record before it returns.

    Parameters
    ----------
    identities : with patient number and study UID, from the vault.

    Raises
    ------
    NotFoundError : no such release lies here.
    RefusalError : the role may not see the list, or the identities.
    """
    decision = decision_of(site, person)
    _require(decision, IDENTIFIERS if identities else READERS)
    what = "recall-identities" if identities else "recall"

    def write(transaction: Transaction) -> RecallList:
        site.journal.access(transaction, what, digest, decision.person)
        return recall_list(site, transaction, digest, since)

    found = site.database.run(write)
    if not identities:
        return found
    return replace(found, runs=tuple(_identified(site, run) for run in found.runs))


def recall_list(
    site: Site, transaction: Transaction, digest: str, since: datetime | None
) -> RecallList:
    """Return every result whose results leave that a release made, in the caller's transaction."""
    row = transaction.release(digest)
    if row is None:
        raise NotFoundError(f"expected release {digest} at this site, found none")
    made = [
        _recalled(site, transaction, run, names)
        for run in transaction.runs_of(digest, since)
        if run.mode in LEAVES
        and run.trigger != RECALL
        and (names := _names(transaction, run.run_id)) is not None
    ]
    listed = tuple(run for run in made if run.documents or run.todo == "IN_PROGRESS")
    return RecallList(row.plugin, row.version, digest, since, listed)


def record_recall(
    site: Site,
    transaction: Transaction,
    digest: str,
    decision: Decision,
    wish: Recalled,
) -> GovernedDocument:
    """Keep that a release is recalled, from when on, and who is told; with its record."""
    since = wish.since
    found = recall_list(site, transaction, digest, since)
    told = overseers_of(transaction, found.plugin) or tuple(
        account.account_id
        for account in transaction.accounts()
        if account.role in HANDLERS and account.disabled_at is None
    )
    content = {
        "plugin": found.plugin,
        "release_digest": digest,
        "reason": wish.reason.strip(),
        "mark": wish.mark,
        "since": since.isoformat() if since else "",
        "recalled_at": decision.decided_at.isoformat(),
        "list": found.digest,
        "runs": len(found.runs),
        "patients": len(found.patients),
        "told": sorted(told),
    }
    document = transaction.put_governed(KIND, digest, content, decision.person, decision.decided_at)
    site.journal.governed(transaction, document)
    return document


def tell(site: Site, document: GovernedDocument) -> None:
    """Send the notice of a recall; it names plugin, release and counts, and no patient."""
    section = site.configuration
    Notices(section.notices, section.site.name).recalled(document.content)


def acknowledge(site: Site, digest: str, person: Person) -> GovernedDocument:
    """Note that a person has read the last recall of a release."""
    decision = decision_of(site, person)
    _require(decision, ACKNOWLEDGERS)

    def write(transaction: Transaction) -> GovernedDocument:
        recalled = transaction.governed(KIND, digest)
        if recalled is None:
            raise NotFoundError(f"expected a recall of {digest}, found none")
        name = f"{digest}/{name_of(decision.person)}"
        return _keep(site, transaction, ACKNOWLEDGED, name, {"recall": recalled.digest}, decision)

    return site.database.run(write)


def handle(site: Site, digest: str, pseudonym: str, person: Person, done: str) -> GovernedDocument:
    """Note what a clinical person did about a patient on the list."""
    decision = decision_of(site, person)
    _require(decision, HANDLERS)
    if not done.strip():
        raise RefusalError("expected what was done, found nothing", reasons=("EVIDENCE_MISSING",))

    def write(transaction: Transaction) -> GovernedDocument:
        if pseudonym not in recall_list(site, transaction, digest, None).patients:
            raise NotFoundError("expected a patient on the recall list, found another")
        content = {"done": done.strip()}
        return _keep(site, transaction, HANDLED, f"{digest}/{pseudonym}", content, decision)

    return site.database.run(write)


def run_again(site: Site, digest: str, since: datetime | None) -> int:
    """Route the studies of a recall list again, so that the active release runs them; how many.

    What they lead to supersedes the recalled results.
    """

    def write(transaction: Transaction) -> int:
        studies = {
            (row.pacs, row.study_instance_uid)
            for row in transaction.runs_of(digest, since)
            if row.mode in LEAVES
            and row.trigger != RECALL
            and _stands(transaction, row)
            and row.status in ("done", "abstained", "failed")
        }
        known = [study for study in sorted(studies) if transaction.study(*study) is not None]
        for study in known:
            transaction.set_study_state(*study, "waiting")
        return len(known)

    return site.database.run(write)


def _stands(transaction: Transaction, row: RunRow) -> bool:
    """Tell whether no later answer replaced a run; one that was only withdrawn has none."""
    later = transaction.run(row.superseded_by) if row.superseded_by else None
    return later is None or later.trigger == RECALL


def _keep(
    site: Site,
    transaction: Transaction,
    kind: str,
    name: str,
    content: dict[str, str],
    decision: Decision,
) -> GovernedDocument:
    document = transaction.put_governed(kind, name, content, decision.person, decision.decided_at)
    site.journal.governed(transaction, document)
    return document


def _names(transaction: Transaction, run_id: str) -> tuple[str, str] | None:
    """Return the pseudonyms of patient and study as the run's records carry them.

    They are read and not made again: a new pseudonym would undo an erasure.  None where the
    run never began.
    """
    patient, study = NOT_EVALUATED, ""
    for leaf in transaction.records_of(run_id):
        record = decode(leaf.leaf)
        if leaf.kind == "run_opened":
            study = str(record.body["study_uid_p"])
        if record.subject is not None and record.subject.pseudonym != NOT_EVALUATED:
            patient = record.subject.pseudonym
    return (patient, study) if study else None


def _recalled(
    site: Site, transaction: Transaction, row: RunRow, names: tuple[str, str]
) -> RecalledRun:
    deliveries: dict[str, list[tuple[str, str]]] = {}
    for sent in transaction.deliveries(row.run_id):
        deliveries.setdefault(sent.document_key, []).append((sent.target, sent.state))
    documents = []
    for item in transaction.documents(row.run_id):
        for target, state in deliveries.get(key_of(item), [("", "not-sent")]):
            documents.append(RecalledDocument(item.kind, item.sop_instance_uid, target, state))
    superseded = row.superseded_by or ""
    later = transaction.run(superseded) if superseded else None
    withdrawn = later is not None and later.trigger == RECALL
    return RecalledRun(
        run_id=row.run_id,
        pseudonym=names[0],
        study_uid_p=names[1],
        status=row.status,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        documents=tuple(documents),
        fhir=_resources(site, row.run_id),
        superseded_by=superseded,
        todo=todo_of(row.status, superseded, documents, withdrawn=withdrawn),
    )


def _resources(site: Site, run_id: str) -> tuple[str, ...]:
    """Return the searches that find the run's FHIR resources, from its bundle in the outbox."""
    try:
        bundle = json.loads((site.home.outbox / run_id / "bundle.json").read_bytes())
        found = [
            f"{entry['request']['url']}?{entry['request']['ifNoneExist']}"
            for entry in bundle["entry"]
            if entry["request"]["url"] in OURS
        ]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError):
        _log.warning("bundle not readable", run_id=run_id)
        return ()
    return tuple(sorted(found))


def _identified(site: Site, run: RecalledRun) -> RecalledRun:
    """Return a run with what the vault knows; a patient that was erased stays a pseudonym."""
    identity = {}
    for key, pseudonym in (("patient_id", run.pseudonym), ("study_uid", run.study_uid_p)):
        try:
            identity[key] = site.vault.reveal(pseudonym).rpartition("|")[2]
        except NotFoundError:
            identity[key] = ""
    return replace(run, identity=identity)


def _require(decision: Decision, roles: tuple[str, ...]) -> None:
    if decision.role not in roles:
        raise RefusalError(
            f"expected a role of {', '.join(roles)}, found {decision.role}",
            reasons=("ROLE_NOT_PERMITTED",),
            advice="Let a person in that role do it.",
        )
