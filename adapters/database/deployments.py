"""Releases that lie at this site, and which state each was ever in.

Fulfils `governance.ports.DeploymentStore`.

Read next: `records.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select, text

from adapters.database.schema import DEPLOYMENT, RELEASE, put
from adapters.database.session import Session
from governance.ports import Deployment

_LOCK_ID = 0x6F7374656F6E04


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """One release: its digest, where its bundle lies, its manifest as JSON text."""

    digest: str
    plugin: str
    version: str
    path: str
    manifest: str


class Deployments(Session):
    """Releases and deployments of a transaction."""

    def put_release(self, digest: str, plugin: str, version: str, path: str, manifest: str) -> None:
        """Keep a release; the same digest again only moves its path."""
        row = {
            "digest": digest,
            "plugin": plugin,
            "version": version,
            "path": path,
            "manifest": manifest,
        }
        put(self.connection, RELEASE, row)

    def release(self, digest: str) -> ReleaseRow | None:
        """Return a release, None when it does not lie here."""
        row = self.connection.execute(select(RELEASE).where(RELEASE.c.digest == digest)).first()
        return None if row is None else ReleaseRow(**row._mapping)

    def releases(self, plugin: str | None = None) -> tuple[ReleaseRow, ...]:
        """Return all releases, or those of one plugin."""
        query = select(RELEASE).order_by(RELEASE.c.plugin, RELEASE.c.version, RELEASE.c.digest)
        if plugin is not None:
            query = query.where(RELEASE.c.plugin == plugin)
        return tuple(ReleaseRow(**row._mapping) for row in self.connection.execute(query))

    def lock_deployments(self, *, shared: bool = False) -> None:
        """Wait until no other transaction decides; ``shared`` while one only relies on it.

        SQLite: every writing transaction is BEGIN IMMEDIATE, so that there is one already.
        """
        if self.connection.dialect.name == "postgresql":
            kind = "_shared" if shared else ""
            lock = text(f"SELECT pg_advisory_xact_lock{kind}(:id)")
            self.connection.execute(lock, {"id": _LOCK_ID})

    def deployments(self, plugin: str | None = None) -> tuple[Deployment, ...]:
        """Return the current state of every release, or of one plugin's releases."""
        newest = func.max(DEPLOYMENT.c.number)
        numbers = select(newest).group_by(DEPLOYMENT.c.site, DEPLOYMENT.c.release_digest)
        query = select(DEPLOYMENT).where(DEPLOYMENT.c.number.in_(numbers))
        if plugin is not None:
            query = query.where(DEPLOYMENT.c.plugin == plugin)
        rows = self.connection.execute(query.order_by(DEPLOYMENT.c.number))
        return tuple(_deployment(row) for row in rows)

    def deployment_history(self, plugin: str) -> tuple[Deployment, ...]:
        """Return every state that any release of the plugin was ever in, oldest first."""
        query = select(DEPLOYMENT).where(DEPLOYMENT.c.plugin == plugin)
        rows = self.connection.execute(query.order_by(DEPLOYMENT.c.number))
        return tuple(_deployment(row) for row in rows)

    def put_deployment(self, deployment: Deployment) -> None:
        """Add a new state; older ones are kept as history."""
        self.connection.execute(
            DEPLOYMENT.insert().values(
                site=deployment.site,
                plugin=deployment.plugin,
                release_digest=deployment.release_digest,
                state=deployment.state,
                share=deployment.share,
                since=deployment.since,
                decided_by=deployment.decided_by,
                evidence=json.dumps(dict(deployment.evidence), sort_keys=True),
            )
        )


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment(
        site=row.site,
        plugin=row.plugin,
        release_digest=row.release_digest,
        state=row.state,
        share=row.share,
        since=row.since,
        decided_by=row.decided_by,
        evidence=json.loads(row.evidence),
    )
