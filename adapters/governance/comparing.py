"""Compare what two releases said of the same studies, and act on it where the site wants that.

A run in shadow has a partner: the run of the same plugin on the same instances whose
results leave.  Both have to be over; then the comparison is kept with its record, once.
A canary that agrees too little is suspended by the rule of the site, never replaced.

Read next: `promoting.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from adapters.database import Transaction
from adapters.database.courses import ComparisonRow
from adapters.database.runs import CLOSED_STATUSES, RunRow
from adapters.governance import findings
from adapters.governance.acts import act
from adapters.governance.figures import figures_of
from adapters.governance.persons import GUARDIAN
from audit.errors import RefusalError, SuiteError
from governance.agreement import BOTH_WITHHELD, NOT_COMPARED, ONE_WITHHELD, PAIRED, Pair
from governance.ports import Deployment
from governance.promotion import Policy, is_surely_below
from plugins.host.identity import RECALL

if TYPE_CHECKING:
    from adapters.compose import Site

LEAVES = ("clinical", "research")
BELOW_FLOOR = "AGREEMENT_BELOW_FLOOR"
_log = structlog.get_logger(__name__)


def compare_pairs(site: Site) -> int:
    """Keep every comparison that can be made now; return how many were made."""
    made = 0
    for item in _under_test(site):
        with site.database.reading() as transaction:
            waiting = transaction.uncompared(item.plugin, item.since)
        for shadow in waiting:
            try:
                made += _compare(site, shadow, item.since)
            except SuiteError as error:  # one pair must not hold up the others
                _log.warning("pair not compared", run_id=shadow.run_id, code=error.code)
        if item.state == "canary" and site.configuration.governance.stop_canary:
            _stop_if_below(site, item)
    return made


def policy_of(site: Site) -> Policy:
    """Return what this site asks of a release."""
    section = site.configuration.governance
    return Policy(section.minimum_pairs, section.agreement_floor)


def _under_test(site: Site) -> tuple[Deployment, ...]:
    with site.database.reading() as transaction:
        return tuple(
            item
            for item in transaction.deployments()
            if item.site == site.configuration.site.name and item.state in ("shadow", "canary")
        )


def _compare(site: Site, shadow: RunRow, since: datetime) -> bool:
    with site.database.reading() as transaction:
        partner = _partner(transaction, shadow)
    if partner is None:
        return False
    candidate, against = (partner, shadow) if shadow.trigger == "comparison" else (shadow, partner)
    pair = _pair(site, candidate, against)
    row = ComparisonRow(
        candidate.run_id,
        against.run_id,
        candidate.release_digest,
        against.release_digest,
        pair,
        site.now(),
    )

    def write(transaction: Transaction) -> None:
        transaction.put_comparison(row)
        site.journal.compared(transaction, candidate.request, row)

    site.database.run(write)
    _tidy(site, shadow, partner, since)
    return True


def _partner(transaction: Transaction, shadow: RunRow) -> RunRow | None:
    """Return the run whose results leave, once it is over; the last one counts."""
    rows = [
        row
        for row in transaction.runs_for_study(shadow.study_instance_uid, shadow.plugin)
        if row.mode in LEAVES
        and row.trigger != RECALL
        and row.status != "discarded"
        and row.release_digest != shadow.release_digest
        and row.sop_instance_uids == shadow.sop_instance_uids
    ]
    return rows[-1] if rows and rows[-1].status in CLOSED_STATUSES else None


def _pair(site: Site, candidate: RunRow, against: RunRow) -> Pair:
    subgroup = str(candidate.facts.get("subject", {}).get("age_band", ""))
    answered = [row.status == "done" for row in (candidate, against)]
    if not any(answered):
        return Pair(BOTH_WITHHELD, {}, subgroup)
    if not all(answered):
        return Pair(ONE_WITHHELD, {}, subgroup)
    first = findings.load(site.home.outbox, candidate.run_id)
    second = findings.load(site.home.outbox, against.run_id)
    if first is None or second is None:
        return Pair(NOT_COMPARED, {}, subgroup)  # monitoring failed on one side
    return Pair(PAIRED, findings.agreement(first, second), subgroup)


def _tidy(site: Site, shadow: RunRow, partner: RunRow, since: datetime) -> None:
    """Let the findings go that no other release in shadow waits for."""
    findings.remove(site.home.outbox, shadow.run_id)
    with site.database.reading() as transaction:
        waiting = {row.run_id for row in transaction.uncompared(shadow.plugin, since)}
        others = [
            row
            for row in transaction.runs_for_study(shadow.study_instance_uid, shadow.plugin)
            if row.mode == "shadow" and row.run_id != shadow.run_id
        ]
    if not any(row.run_id in waiting or row.status not in CLOSED_STATUSES for row in others):
        findings.remove(site.home.outbox, partner.run_id)


def _stop_if_below(site: Site, item: Deployment) -> None:
    with site.database.reading() as transaction:
        figures: dict[str, Any] = figures_of(transaction, item)
    if not is_surely_below(figures, policy_of(site)):
        return
    try:
        act(site, "suspend", item.release_digest, GUARDIAN, {"reason": BELOW_FLOOR})
        _log.error("canary suspended", plugin=item.plugin, code=BELOW_FLOOR)
    except RefusalError:  # a person was faster
        _log.warning("canary not suspended", plugin=item.plugin)
