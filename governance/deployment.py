"""Which release is in which state at this site, decided by rules over the stored deployments.

Everything here is a pure rule over the port `DeploymentStore`; the caller holds the
transaction, and writes the audit record of the decision in it.

Read next: `certificate.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from audit.errors import NotActiveError, NotFoundError, RefusalError
from governance.lifecycle import WAIVER, Past, Transition, check_transition, transition
from governance.ports import Deployment, DeploymentStore

CERTIFIED = ("certificate", "certificate_id")
"""Evidence by which a release runs: the digest of its certificate, and its id."""
_SHARED = {"shadow": 1.0, "active": 1.0}


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decides, in which role, at which site and mode, and when (aware UTC)."""

    site: str
    mode: str
    person: str
    role: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Changed:
    """One release's change of state, and by which act of the table."""

    deployment: Deployment
    action: str


def register(
    store: DeploymentStore, decision: Decision, plugin: str, release_digest: str
) -> Deployment:
    """Make a release known at the site without making it active; twice changes nothing."""
    for item in store.deployments(plugin):
        if (item.site, item.release_digest) == (decision.site, release_digest):
            return item
    deployment = Deployment(
        decision.site, plugin, release_digest, "registered", 0.0, decision.decided_at,
        decision.person, {"role": decision.role, "mode": decision.mode},
    )  # fmt: skip
    store.put_deployment(deployment)
    return deployment


def known(store: DeploymentStore, site: str, release_digest: str) -> Deployment:
    """Return the present state of a release; NotFoundError when it is not registered."""
    for item in store.deployments():
        if (item.site, item.release_digest) == (site, release_digest):
            return item
    raise NotFoundError(f"expected release {release_digest} to be registered, it is not")


def past_of(store: DeploymentStore, present: Deployment) -> Past:
    """Return what was active at the site before."""
    active = {
        item.release_digest
        for item in store.deployment_history(present.plugin)
        if item.site == present.site and item.state == "active"
    }
    return Past(bool(active), present.release_digest in active)


def predecessors(store: DeploymentStore, present: Deployment) -> tuple[str, ...]:
    """Return the digests of the plugin's other releases that were ever active at the site."""
    found = {
        item.release_digest
        for item in store.deployment_history(present.plugin)
        if item.site == present.site and item.state == "active"
    }
    return tuple(sorted(found - {present.release_digest}))


def registered_by(store: DeploymentStore, present: Deployment) -> str:
    """Return who registered a release."""
    for item in store.deployment_history(present.plugin):
        if (item.site, item.release_digest) == (present.site, present.release_digest):
            return item.decided_by
    return present.decided_by


def move(
    store: DeploymentStore,
    decision: Decision,
    present: Deployment,
    row: Transition,
    evidence: Mapping[str, str],
    *,
    leave: str = "supersede",
) -> tuple[Changed, ...]:
    """Put a release into the state that a row leads to, and return all that changed.

    Where it becomes active, the release of the same plugin that was active leaves first:
    by ``supersede`` to standby, or by ``suspend``.

    Parameters
    ----------
    evidence : what the row asks for; ``share`` (0 to 1) of a canary and the like besides.

    Raises
    ------
    RefusalError : the row does not permit it; nothing was changed.
    """
    check_transition(row, decision.role, evidence, decision.mode)
    changed = []
    for other in store.deployments(present.plugin) if row.after == "active" else ():
        if (
            other.site == decision.site
            and other.state == "active"
            and other.release_digest != present.release_digest
        ):
            changed.append(_leave(store, decision, other, leave, present, evidence))
    deployment = _next(decision, present, row, evidence)
    store.put_deployment(deployment)
    return (*changed, Changed(deployment, row.action))


def activate_by_waiver(
    store: DeploymentStore,
    decision: Decision,
    release_digest: str,
    *,
    reason: str,
    expires_at: datetime,
) -> tuple[Changed, ...]:
    """Make a release active in research mode, on a person's recorded waiver.

    Raises
    ------
    NotFoundError : the release is not registered.
    RefusalError : the table does not permit it, the mode is clinical, the reason is empty,
        or the expiry is not in the future; nothing was changed.
    """
    present = known(store, decision.site, release_digest)
    row = transition("waive", present.state, past_of(store, present))
    return move(store, decision, present, row, waiver(decision, reason, expires_at))


def waiver(decision: Decision, reason: str, expires_at: datetime) -> dict[str, str]:
    """Return a waiver as evidence; RefusalError when it would be over already."""
    if expires_at <= decision.decided_at:
        raise RefusalError(
            "expected a waiver that expires in the future",
            reasons=("WAIVER_EXPIRED",),
            advice="Name a later end.",
        )
    return {
        "waiver_person": decision.person,
        "waiver_reason": reason.strip(),
        "expires_at": expires_at.isoformat(),
    }


def suspend(
    store: DeploymentStore, decision: Decision, release_digest: str, *, reason: str
) -> tuple[Changed, ...]:
    """Stop a release at once, until persons let it run again."""
    return _simple(store, decision, release_digest, "suspend", reason)


def retire(
    store: DeploymentStore, decision: Decision, release_digest: str, *, reason: str
) -> tuple[Changed, ...]:
    """Take a release out of use for good."""
    return _simple(store, decision, release_digest, "retire", reason)


Certified = Callable[[str], bool]
"""Says of a release digest whether its certificate holds now."""


def is_authorised(item: Deployment, now: datetime, mode: str, certified: Certified) -> bool:
    """Return whether a release may run now by its evidence: a waiver, or its certificate.

    A waiver that has expired counts no longer, and none counts in clinical mode.
    """
    expires_at = item.evidence.get("expires_at")
    if expires_at is not None:
        return mode == "research" and now < datetime.fromisoformat(expires_at)
    return "certificate" in item.evidence and certified(item.release_digest)


def active_releases(
    store: DeploymentStore, site: str, now: datetime, *, mode: str, certified: Certified
) -> tuple[Deployment, ...]:
    """Return the deployments that are active at ``site`` and may run, ordered by plugin."""
    found = [
        item
        for item in store.deployments()
        if item.site == site
        and item.state == "active"
        and is_authorised(item, now, mode, certified)
    ]
    return tuple(sorted(found, key=lambda item: (item.plugin, item.release_digest)))


def active_release(
    store: DeploymentStore, site: str, plugin: str, now: datetime, *, mode: str,
    certified: Certified,
) -> Deployment:  # fmt: skip
    """Return the active deployment of one plugin; NotActiveError when there is none."""
    for item in active_releases(store, site, now, mode=mode, certified=certified):
        if item.plugin == plugin:
            return item
    raise NotActiveError(f"expected an active release of {plugin} at this site, found none")


def _simple(
    store: DeploymentStore, decision: Decision, release_digest: str, action: str, reason: str
) -> tuple[Changed, ...]:
    present = known(store, decision.site, release_digest)
    row = transition(action, present.state, past_of(store, present))
    return move(store, decision, present, row, {"reason": reason.strip()})


def _leave(
    store: DeploymentStore,
    decision: Decision,
    other: Deployment,
    action: str,
    successor: Deployment,
    evidence: Mapping[str, str],
) -> Changed:
    row = transition(action, other.state, Past(True, True))
    given = {"superseded_by": successor.release_digest, "reason": evidence.get("reason", "")}
    check_transition(row, decision.role, given, decision.mode)
    deployment = _next(decision, other, row, given)
    store.put_deployment(deployment)
    return Changed(deployment, action)


def _next(
    decision: Decision, present: Deployment, row: Transition, evidence: Mapping[str, str]
) -> Deployment:
    """Return the next state; the evidence by which a release runs stays with it."""
    kept = {
        key: value
        for key, value in present.evidence.items()
        if key in (*CERTIFIED, *WAIVER) and not _replaced(evidence)
    }
    share = float(evidence["share"]) if "share" in evidence else _SHARED.get(row.after, 0.0)
    filled = {key: value for key, value in evidence.items() if value}
    return Deployment(
        site=decision.site,
        plugin=present.plugin,
        release_digest=present.release_digest,
        state=row.after,
        share=share,
        since=decision.decided_at,
        decided_by=decision.person,
        evidence={**kept, **filled, "role": decision.role, "mode": decision.mode},
    )


def _replaced(evidence: Mapping[str, str]) -> bool:
    """Return whether new evidence to run by takes the place of the old: waiver or certificate."""
    return "expires_at" in evidence or "certificate" in evidence
