"""From shadow to canary to active: the figures are frozen as evidence, then the gates judge them.

Read next: `governance/promotion.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from adapters.database import Transaction
from adapters.governance.acts import Outcome, act, change, commit
from adapters.governance.figures import figures_of
from adapters.governance.persons import Person, decision_of
from audit.errors import RefusalError
from governance.deployment import Decision, known
from governance.ports import Deployment
from governance.promotion import KIND

if TYPE_CHECKING:
    from adapters.compose import Site


def start_shadow(
    site: Site, digest: str, person: Person, reason: str, share: float = 1.0
) -> Deployment:
    """Let an approved release run on live studies with its outputs withheld."""
    return act(site, "shadow", digest, person, {"reason": reason.strip(), "share": _share(share)})


def start_canary(
    site: Site,
    digest: str,
    person: Person,
    reason: str,
    share: float,
    devices: tuple[str, ...] = (),
) -> Deployment:
    """Give a release in shadow a share of the studies, or those of named senders and stations.

    Raises
    ------
    RefusalError : the figures, a gate or the table do not permit it, or the plugin has
        another canary (CANARY_TAKEN); nothing changed.
    """

    def write(transaction: Transaction) -> Outcome:
        decision = decision_of(site, person)
        _require_no_other(transaction, decision, digest)
        evidence = {"reason": reason.strip(), "share": _share(share)}
        if devices:
            evidence["devices"] = "+".join(sorted(devices))
        return _promote(site, transaction, "canary", digest, decision, evidence)

    return commit(site, write, "canary", digest, person).deployment


def activate(site: Site, digest: str, person: Person, reason: str) -> Deployment:
    """Make a canary active, or an approved release where its plugin never was."""

    def write(transaction: Transaction) -> Outcome:
        decision = decision_of(site, person)
        evidence = {"reason": reason.strip()}
        return _promote(site, transaction, "activate", digest, decision, evidence)

    return commit(site, write, "activate", digest, person).deployment


def _promote(
    site: Site,
    transaction: Transaction,
    action: str,
    digest: str,
    decision: Decision,
    evidence: Mapping[str, str],
) -> Outcome:
    transaction.lock_deployments()
    present = known(transaction, decision.site, digest)
    given = dict(evidence)
    if present.state in ("shadow", "canary"):
        document = transaction.put_governed(
            KIND, digest, figures_of(transaction, present), decision.person, decision.decided_at
        )
        site.journal.governed(transaction, document)
        given["comparison"] = document.digest
    return change(site, transaction, action, digest, decision, given)


def _require_no_other(transaction: Transaction, decision: Decision, digest: str) -> None:
    transaction.lock_deployments()
    plugin = known(transaction, decision.site, digest).plugin
    for item in transaction.deployments(plugin):
        if item.site == decision.site and item.state == "canary" and item.release_digest != digest:
            raise RefusalError(
                f"expected no other canary of {plugin}, found {item.release_digest}",
                reasons=("CANARY_TAKEN",),
                advice="Activate, suspend or retire the other one first.",
            )


def _share(share: float) -> str:
    if not 0.0 < share <= 1.0:
        raise RefusalError(
            f"expected a share above 0 and up to 1, found {share}",
            reasons=("SHARE_OUT_OF_RANGE",),
            advice="Give the share of studies as a fraction, e.g. 0.1.",
        )
    return f"{share:g}"
