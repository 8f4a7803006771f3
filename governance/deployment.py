"""Which release is active at this site, decided by rules over the stored deployments.

Everything here is a pure rule over the port `DeploymentStore`; the caller holds the
transaction, and writes the audit record of the decision in it.

Read next: `ports.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from audit.errors import NotActiveError, NotFoundError, RefusalError
from governance.lifecycle import check_transition
from governance.ports import Deployment, DeploymentStore


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decides, in which role, at which site and mode, and when (aware UTC)."""

    site: str
    mode: str
    person: str
    role: str
    decided_at: datetime


def register(
    store: DeploymentStore, decision: Decision, plugin: str, release_digest: str
) -> Deployment:
    """Make a release known at the site without making it active; twice changes nothing."""
    known = _current(store, decision.site, plugin, release_digest)
    if known is not None:
        return known
    return _put(store, decision, (plugin, release_digest), "registered", {})


def activate_by_waiver(
    store: DeploymentStore,
    decision: Decision,
    release_digest: str,
    *,
    reason: str,
    expires_at: datetime,
) -> Deployment:
    """Make a registered release active in research mode, on a person's recorded waiver.

    The release of the same plugin that was active goes to standby.

    Raises
    ------
    NotFoundError : the release is not registered.
    RefusalError : the table does not permit it, the mode is clinical, the reason is empty,
        or the expiry is not in the future; nothing was changed.
    """
    known = _known(store, decision.site, release_digest)
    if expires_at <= decision.decided_at:
        raise RefusalError(
            "expected a waiver that expires in the future", reasons=("WAIVER_EXPIRED",)
        )
    evidence = {
        "waiver_person": decision.person,
        "waiver_reason": reason.strip(),
        "expires_at": expires_at.isoformat(),
    }
    check_transition(known.state, "active", decision.role, evidence, decision.mode)
    for other in store.deployments(known.plugin):
        if (
            other.site == decision.site
            and other.state == "active"
            and other.release_digest != release_digest
        ):
            superseded = {"superseded_by": release_digest}
            check_transition("active", "standby", decision.role, superseded, decision.mode)
            _put(store, decision, (other.plugin, other.release_digest), "standby", superseded)
    return _put(store, decision, (known.plugin, release_digest), "active", evidence)


def suspend(
    store: DeploymentStore, decision: Decision, release_digest: str, *, reason: str
) -> Deployment:
    """Stop a release at once, until someone activates it again."""
    return _move(store, decision, release_digest, "suspended", reason)


def retire(
    store: DeploymentStore, decision: Decision, release_digest: str, *, reason: str
) -> Deployment:
    """Take a release out of use for good."""
    return _move(store, decision, release_digest, "retired", reason)


def active_releases(
    store: DeploymentStore, site: str, now: datetime, *, mode: str
) -> tuple[Deployment, ...]:
    """Return the deployments that run at ``site``, ordered by plugin.

    A waiver that has expired counts no longer, and none counts in clinical mode.
    """
    found = [item for item in store.deployments() if _runs(item, site, now, mode)]
    return tuple(sorted(found, key=lambda item: (item.plugin, item.release_digest)))


def active_release(
    store: DeploymentStore, site: str, plugin: str, now: datetime, *, mode: str
) -> Deployment:
    """Return the active deployment of one plugin; NotActiveError when there is none."""
    for item in active_releases(store, site, now, mode=mode):
        if item.plugin == plugin:
            return item
    raise NotActiveError(f"expected an active release of {plugin} at this site, found none")


def _runs(item: Deployment, site: str, now: datetime, mode: str) -> bool:
    if item.site != site or item.state != "active" or item.share <= 0:
        return False
    expires_at = item.evidence.get("expires_at")
    # Until certificates exist, a waiver is the only evidence that an active release can have.
    return mode == "research" and expires_at is not None and now < _time(expires_at)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _current(
    store: DeploymentStore, site: str, plugin: str | None, release_digest: str
) -> Deployment | None:
    for item in store.deployments(plugin):
        if item.site == site and item.release_digest == release_digest:
            return item
    return None


def _known(store: DeploymentStore, site: str, release_digest: str) -> Deployment:
    known = _current(store, site, None, release_digest)
    if known is None:
        raise NotFoundError(f"expected release {release_digest} to be registered, it is not")
    return known


def _move(
    store: DeploymentStore, decision: Decision, release_digest: str, state: str, reason: str
) -> Deployment:
    known = _known(store, decision.site, release_digest)
    evidence = {"reason": reason.strip()}
    check_transition(known.state, state, decision.role, evidence, decision.mode)
    return _put(store, decision, (known.plugin, release_digest), state, evidence)


def _put(
    store: DeploymentStore,
    decision: Decision,
    release: tuple[str, str],
    state: str,
    evidence: Mapping[str, str],
) -> Deployment:
    deployment = Deployment(
        site=decision.site,
        plugin=release[0],
        release_digest=release[1],
        state=state,
        share=1.0 if state == "active" else 0.0,
        since=decision.decided_at,
        decided_by=decision.person,
        evidence={**evidence, "role": decision.role},
    )
    store.put_deployment(deployment)
    return deployment
