"""What the office needs from outside; adapters fulfil it.

Read next: `release.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


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
