"""Stop a plugin or everything in one act, and lift the stop again.

The stop, its record and the end of every open run are one transaction: once it returns,
nothing of the plugin starts, and nothing leaves that was not on its way already.

Read next: `governance/stops.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.database import Transaction
from adapters.governance.acts import refusals_recorded
from adapters.governance.draining import STOP, Drained, drain, tidy
from adapters.governance.persons import Person, decision_of
from audit.errors import NotFoundError
from governance.stops import EVERYTHING, KIND, STOPPED, require_right, stop_of

if TYPE_CHECKING:
    from adapters.compose import Site


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a stop ended.

    Parameters
    ----------
    on_their_way : documents that were handed to a target before the stop, in runs it ended.
    """

    scope: str
    drained: Drained
    on_their_way: int


def stop(site: Site, scope: str, person: Person, reason: str) -> Stopped:
    """Stop a plugin, or `EVERYTHING`, at this site.

    Raises
    ------
    NotFoundError : no release of the plugin is registered here.
    RefusalError : the role may not, or the reason is missing; nothing changed.
    """
    decision = decision_of(site, person)
    with refusals_recorded(site, "stop", scope, person):
        require_right(decision.role, reason, lift=False)

    def write(transaction: Transaction) -> Stopped:
        transaction.lock_deployments()
        _require_known(transaction, scope)
        content = {"state": "stopped", "reason": reason.strip()}
        document = transaction.put_governed(
            KIND, scope, content, decision.person, decision.decided_at
        )
        site.journal.governed(transaction, document)
        site.journal.stop(transaction, scope, "stop", decision.person)
        plugin = None if scope == EVERYTHING else scope
        rows = transaction.open_runs(plugin=plugin)
        drained = drain(site, transaction, rows, STOP, STOPPED.code)
        sent = sum(
            delivery.state in ("sent", "stored", "verified")
            for run_id in drained.cancelled
            for delivery in transaction.deliveries(run_id)
        )
        return Stopped(scope, drained, sent)

    stopped = site.database.run(write)
    tidy(site, stopped.drained)
    site.seal()
    return stopped


def lift(site: Site, scope: str, person: Person, reason: str) -> None:
    """Lift a stop; studies that came meanwhile took the manual path, and stay there.

    Raises
    ------
    NotFoundError : nothing of that name is stopped.
    RefusalError : the role may not, or the reason is missing; nothing changed.
    """
    decision = decision_of(site, person)
    with refusals_recorded(site, "lift", scope, person):
        require_right(decision.role, reason, lift=True)

    def write(transaction: Transaction) -> None:
        transaction.lock_deployments()
        known = transaction.governed(KIND, scope)
        if known is None or known.content["state"] != "stopped":
            raise NotFoundError(
                f"expected {scope[:64]!r} to be stopped, it is not",
                advice="Name what was stopped: a plugin, or `everything`.",
            )
        content = {"state": "lifted", "reason": reason.strip()}
        document = transaction.put_governed(
            KIND, scope, content, decision.person, decision.decided_at
        )
        site.journal.governed(transaction, document)
        site.journal.stop(transaction, scope, "lift", decision.person)

    site.database.run(write)


def end_barred_workers(site: Site) -> int:
    """End the worker processes of releases that may not run; return of how many releases.

    Work in them is over already; what they still compute has nowhere to go.
    """
    from governance.stops import barred

    workers = site.house.workers
    ended = 0
    for digest in workers.releases():
        with site.database.reading() as transaction:
            row = transaction.release(digest)
            present = {d.release_digest: d for d in transaction.deployments()}.get(digest)
            plugin = row.plugin if row else ""
            if present is not None and not barred(transaction, present, plugin, shadow=True):
                continue
        workers.end(digest)
        ended += 1
    return ended


def is_stopped(transaction: Transaction, plugin: str) -> bool:
    """Return whether a plugin is stopped, by itself or with everything."""
    return stop_of(transaction, plugin) is not None


def _require_known(transaction: Transaction, scope: str) -> None:
    if scope != EVERYTHING and not transaction.deployments(scope):
        raise NotFoundError(
            f"expected a plugin with a release at this site, found {scope[:64]!r}",
            advice="`osteon release list` shows them.",
        )
