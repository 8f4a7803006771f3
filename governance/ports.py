"""What the office needs from outside; adapters fulfil it.

Read next: `release.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Deployment:
    """What one release is at one site since a moment (SEAMS: Certificate, deployment).

    Parameters
    ----------
    state : a state of `governance.lifecycle`.
    share : part of the studies that it gets, 0 to 1.
    since : aware UTC.
    decided_by : account id, never a name.
    evidence : digests and reasons, e.g. {"waiver_reason": ..., "expires_at": ...}.
    """

    site: str
    plugin: str
    release_digest: str
    state: str
    share: float
    since: datetime
    decided_by: str
    evidence: Mapping[str, str] = field(default_factory=dict)


class DeploymentStore(Protocol):
    """Deployments of the site, inside one open transaction."""

    def deployments(self, plugin: str | None = None) -> tuple[Deployment, ...]:
        """Return the current state of every release, or of one plugin's releases."""
        ...

    def deployment_history(self, plugin: str) -> tuple[Deployment, ...]:
        """Return every state that any release of the plugin was ever in, oldest first."""
        ...

    def put_deployment(self, deployment: Deployment) -> None:
        """Add a new state; older ones are kept as history."""
        ...


@dataclass(frozen=True, slots=True)
class GovernedDocument:
    """One revision of a document that decisions rest on; a revision never changes.

    Parameters
    ----------
    kind : what it is: classification, risk_register, overseers, training, change_request, ...
    name : what it is about: a plugin, release digest, account id or incident id.
    revision : counts from 1 for each (kind, name).
    digest : ``sha256:<hex>`` of the content as canonical JSON (RFC 8785).
    recorded_at : aware UTC.
    recorded_by : account id, never a name.
    """

    kind: str
    name: str
    revision: int
    digest: str
    content: Mapping[str, Any]
    recorded_at: datetime
    recorded_by: str


class GovernedStore(Protocol):
    """Governed documents of the site, inside one open transaction."""

    def governed(self, kind: str, name: str) -> GovernedDocument | None:
        """Return the newest revision, None when there is no such document."""
        ...

    def governed_all(self, kind: str) -> tuple[GovernedDocument, ...]:
        """Return the newest revision of every document of a kind, by name."""
        ...

    def governed_history(self, kind: str, name: str) -> tuple[GovernedDocument, ...]:
        """Return every revision, oldest first."""
        ...

    def put_governed(
        self, kind: str, name: str, content: Mapping[str, Any], person: str, at: datetime
    ) -> GovernedDocument:
        """Add a revision; the content of the newest one again adds nothing and returns it."""
        ...
