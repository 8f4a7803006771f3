"""Recalled results are marked where they lie: a run of its own withdraws each of them.

Such a run infers nothing.  It answers at once that its predecessor is withdrawn, and takes
the path of every answer: on record, in the tree, delivered, read back, tried again.  What
leaves is a report that names the withdrawn one as its predecessor, and the FHIR mark
``entered-in-error`` with the reason; nothing is deleted anywhere.

A run that was at work when its release was left is withdrawn when it has ended.

Read next: `recalling.py`, `adapters/fhir/marks.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.database import Transaction
from adapters.database.runs import FOLDER, RunRow
from adapters.governance.acts import refusals_recorded
from adapters.governance.persons import Person, decision_of
from adapters.governance.recalling import LEAVES, Recalled, record_recall, tell
from audit.errors import RefusalError
from governance.ports import GovernedDocument
from governance.recall import ARRIVED, KIND, RECALLERS
from governance.stops import stop_of
from plugins.host.identity import RECALL, run_id_for
from plugins.host.ports import RunRequest

if TYPE_CHECKING:
    from adapters.compose import Site

_ANSWERED = ("done", "abstained")


def recall(site: Site, digest: str, person: Person, wish: Recalled) -> GovernedDocument:
    """Recall what a release made, without a rollback; the overseers are told.

    Raises
    ------
    NotFoundError : no such release lies here.
    RefusalError : the role may not, or the reason is missing; nothing changed.
    """
    decision = decision_of(site, person)
    with refusals_recorded(site, "recall", digest, person):
        if decision.role not in RECALLERS or not wish.reason.strip():
            missing = "EVIDENCE_MISSING" if decision.role in RECALLERS else "ROLE_NOT_PERMITTED"
            raise RefusalError(
                f"expected a reason and a role of {', '.join(RECALLERS)}", reasons=(missing,)
            )
    document = site.database.run(
        lambda transaction: record_recall(site, transaction, digest, decision, wish)
    )
    tell(site, document)
    return document


def withdraw_recalled(site: Site) -> tuple[str, ...]:
    """Queue a withdrawing run for each recalled result that has none; return their ids.

    While a plugin is stopped nothing of it leaves, and so nothing is withdrawn.
    """

    def write(transaction: Transaction) -> tuple[str, ...]:
        queued = []
        for row in _recalled(transaction):
            request = _request(site, row)
            known = transaction.run(request.run_id)
            if known is None:
                transaction.add_run(request, row.pacs)
            elif known.status == "discarded":  # a stop had ended it
                transaction.set_run_status(request.run_id, "queued")
            else:
                continue
            queued.append(request.run_id)
        return tuple(queued)

    with site.database.reading() as transaction:
        if not any(True for _ in _recalled(transaction)):
            return ()
    return site.database.run(write)


def _recalled(transaction: Transaction) -> Iterator[RunRow]:
    """Yield every recalled result that arrived somewhere and that nothing replaced."""
    for document in transaction.governed_all(KIND):
        content = document.content
        if not content.get("mark") or stop_of(transaction, content["plugin"]) is not None:
            continue
        since = datetime.fromisoformat(content["since"]) if content["since"] else None
        until = datetime.fromisoformat(content["recalled_at"])
        for row in transaction.runs_of(document.name, since):
            if row.opened_at <= until and _is_out(transaction, row):
                yield row


def _is_out(transaction: Transaction, row: RunRow) -> bool:
    return (
        row.mode in LEAVES
        and row.trigger != RECALL
        and row.pacs != FOLDER
        and row.status in _ANSWERED
        and row.superseded_by is None
        and any(item.state in ARRIVED for item in transaction.deliveries(row.run_id))
    )


def _request(site: Site, row: RunRow) -> RunRequest:
    """Return the run that withdraws a result: it carries its release, whose result it is."""
    parameters = {**row.request.parameters, RECALL: row.run_id}
    return replace(
        row.request,
        run_id=run_id_for(row.sop_instance_uids, row.release_digest, parameters),
        parameters=parameters,
        revision=1,
        opened_at=site.now(),
        trigger=RECALL,
        supersedes=row.run_id,
        requested_by="service:governance",
    )
