"""Try the routing rules on a file, a folder or a study: nothing is queued, nothing recorded.

Read next: `plugins/host/routing.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.rt.read_folder import scan_folder
from adapters.study_facts import study_facts
from audit.errors import NotFoundError
from audit.pseudonym import short
from plugins.host.facts import StudyFacts
from plugins.host.routing import decide

if TYPE_CHECKING:
    from adapters.compose import Site


def try_routes(site: Site, subject: str) -> list[dict[str, Any]]:
    """Return what routing would decide for a file, a folder or a study, for every release."""
    studies = _subject(site, subject)
    with site.database.reading() as transaction:
        states = {d.release_digest: d.state for d in transaction.deployments()}
        rows = transaction.releases()
    if not rows:
        raise NotFoundError("expected at least one release at this site, found none")
    lines = []
    for facts in studies:
        uid = facts.study_instance_uid
        with site.database.reading() as transaction:
            own = transaction.own_series_uids(uid)
        for row in rows:
            decision = decide(facts, row.digest, site.registry.manifest(row.digest), own)
            lines.append(
                {
                    "study": short(uid),
                    "plugin": row.plugin,
                    "version": row.version,
                    "release_digest": row.digest,
                    "state": states.get(row.digest, "unknown"),
                    "applies": decision.applies,
                    "series": {role: short(series) for role, series in decision.series.items()},
                    "reasons": [asdict(reason) for reason in decision.reasons],
                }
            )
    return lines


def _subject(site: Site, subject: str) -> tuple[StudyFacts, ...]:
    path = Path(subject)
    if path.exists():
        return scan_folder(path).studies
    for archive in site.archives.values():
        if "search" in archive.capabilities and archive.search_series(subject):
            return (study_facts(archive, subject, set()),)
    raise NotFoundError("expected a file, a folder or a study of a watched archive, found none")
