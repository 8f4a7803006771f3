"""The history of releases at a site as lines, for command and page.

Read next: `governance/history.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from governance.history import InUse, in_use_at, spells

if TYPE_CHECKING:
    from adapters.compose import Site


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One state of one release: since when, until when, by whom, on what."""

    site: str
    plugin: str
    version: str
    release_digest: str
    state: str
    share: float
    since: datetime
    until: datetime | None
    decided_by: str
    role: str
    on: str
    evidence: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the line as JSON values."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat() if self.until else None,
            "site": self.site,
            "plugin": self.plugin,
            "version": self.version,
            "release_digest": self.release_digest,
            "state": self.state,
            "share": self.share,
            "decided_by": self.decided_by,
            "role": self.role,
            "on": self.on,
            "evidence": dict(self.evidence),
        }


def lines_of(
    site: Site, plugin: str | None = None, at: datetime | None = None, name: str | None = None
) -> tuple[HistoryLine, ...]:
    """Return every state of a plugin's releases (or of all), oldest first; or those in use then.

    Parameters
    ----------
    name : of the site; None takes every name that it ever had, so that nothing is hidden.
    """
    with site.database.reading() as transaction:
        plugins = [plugin] if plugin else sorted({d.plugin for d in transaction.deployments()})
        versions = {row.digest: row.version for row in transaction.releases()}
        found = [item for one in plugins for item in transaction.deployment_history(one)]
    found.sort(key=lambda item: item.since)
    chosen = spells(found, name) if at is None else in_use_at(found, name, at)
    return tuple(_line(item, versions) for item in chosen)


def _line(spell: InUse, versions: dict[str, str]) -> HistoryLine:
    item = spell.deployment
    evidence = {k: v for k, v in sorted(item.evidence.items()) if k not in ("role", "mode")}
    return HistoryLine(
        site=item.site,
        plugin=item.plugin,
        version=versions.get(item.release_digest, ""),
        release_digest=item.release_digest,
        state=item.state,
        share=item.share,
        since=item.since,
        until=spell.until,
        decided_by=item.decided_by,
        role=item.evidence.get("role", ""),
        on=spell.on,
        evidence=tuple(evidence.items()),
    )


def release_lines(site: Site, plugin: str, digest: str) -> tuple[HistoryLine, ...]:
    """Return every state of one release, newest first."""
    found = [line for line in lines_of(site, plugin) if line.release_digest == digest]
    return tuple(reversed(found))
