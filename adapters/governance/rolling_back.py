"""Rollback: the release that was active before is made active again, in one transaction.

    1  the target is the release that came to standby last, or the one that is named
    2  every byte of it is read and compared, packed and unpacked, and its signature checked
    3  in one transaction: table, gates, states, open runs, recall, records
    4  what is recalled is queued to be marked outside; the notice of the recall is sent

Nothing is switched where a step before 3 raises.

Read next: `governance/rollback.py` (what becomes of work under way).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.database import Transaction
from adapters.governance.acts import Outcome, change, refusals_recorded
from adapters.governance.draining import Drained, tidy
from adapters.governance.persons import Person, decision_of
from adapters.governance.recalling import Recalled, record_recall, run_again, tell
from adapters.governance.withdrawing import withdraw_recalled
from audit.errors import RefusalError
from governance.deployment import Decision
from governance.ports import Deployment, GovernedDocument
from governance.rollback import target_of

if TYPE_CHECKING:
    from adapters.compose import Site


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did.

    Parameters
    ----------
    left : the state of the release that was left; None where none was active.
    recall : what is recalled and who is told; None where nothing was left.
    verified_by : id of the key whose signature on the target was checked.
    seconds : from the call to the switch and its notice, verification included.
    """

    target: Deployment
    left: Deployment | None
    drained: Drained
    recall: GovernedDocument | None
    verified_by: str
    run_again: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Wish:
    """How a rollback is wanted.

    Parameters
    ----------
    to : release digest; empty takes the last one on standby.
    since : from when on results are recalled; None for all of the release.
    suspend : the release that is left is suspended, and its work in progress ends.
    again : the studies on the recall list are run again on the target.
    mark : the results on the list are marked as withdrawn where they lie.
    """

    reason: str
    to: str = ""
    since: datetime | None = None
    suspend: bool = False
    again: bool = False
    mark: bool = True


def rollback(site: Site, plugin: str, person: Person, wish: Wish) -> RolledBack:
    """Make the release active again that a plugin had before.

    Raises
    ------
    ReleaseTamperedError, SignatureError : the target is not what it was; nothing changed.
    RefusalError : there is no target, or table or gates do not permit it; nothing changed.
    """
    with refusals_recorded(site, "rollback", wish.to or plugin, person):
        return _rollback(site, plugin, person, wish)


def _rollback(site: Site, plugin: str, person: Person, wish: Wish) -> RolledBack:
    started = time.monotonic()
    decision = decision_of(site, person)
    # 1
    with site.database.reading() as transaction:
        target, _ = target_of(transaction.deployments(plugin), decision.site, plugin, wish.to)
    # 2
    verified_by = site.registry.verify(target.release_digest)

    # 3
    def write(transaction: Transaction) -> tuple[Outcome, GovernedDocument | None]:
        return _switch(site, transaction, decision, target.release_digest, wish)

    outcome, recall = site.database.run(write)
    tidy(site, outcome.drained)
    left = outcome.changed[0].deployment if len(outcome.changed) > 1 else None
    withdraw_recalled(site)  # before the studies run again, so that each result is withdrawn
    again = run_again(site, left.release_digest, wish.since) if wish.again and left else 0
    # 4
    if recall is not None:
        tell(site, recall)
    return RolledBack(
        target=outcome.deployment,
        left=left,
        drained=outcome.drained,
        recall=recall,
        verified_by=verified_by,
        run_again=again,
        seconds=time.monotonic() - started,
    )


def _switch(
    site: Site, transaction: Transaction, decision: Decision, digest: str, wish: Wish
) -> tuple[Outcome, GovernedDocument | None]:
    transaction.lock_deployments()
    plugin = next(
        item.plugin for item in transaction.deployments() if item.release_digest == digest
    )
    target, active = target_of(transaction.deployments(plugin), decision.site, plugin, wish.to)
    if target.release_digest != digest:
        raise RefusalError(
            "expected the release that was verified on standby, found another",
            reasons=("DECIDED_MEANWHILE",),
            advice="Somebody decided at the same time: look, and try again.",
        )
    evidence = {"reason": wish.reason.strip()}
    if active is not None:
        evidence["left"] = active.release_digest
    leave = "suspend" if wish.suspend else "supersede"
    outcome = change(site, transaction, "rollback", digest, decision, evidence, leave=leave)
    if active is None:
        return outcome, None
    left = active.release_digest
    recalled = Recalled(wish.reason, wish.since, wish.mark)
    return outcome, record_recall(site, transaction, left, decision, recalled)
