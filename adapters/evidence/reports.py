"""The reports of a pack: computed from the site's state, as canonical JSON.

    oversight      rates with n and interval, by each dimension
    releases       every release, every state that it was in, and by whose decision
    incidents      every incident: state, severity, clocks; no words of people
    verification   what the whole log was checked against before the pack was written

Read next: `packing.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adapters.incidents import views
from adapters.log_key import log_keys
from audit import canonical
from audit.errors import LogTamperedError
from audit.verify import verify_store
from governance.oversight.rates import DIMENSIONS, rates_by

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction


def report_files(
    site: Site, transaction: Transaction, since: datetime | None, until: datetime | None
) -> dict[str, bytes]:
    """Return the reports by path within the pack."""
    reports = {
        "oversight": _oversight(transaction, since, until),
        "releases": _releases(transaction),
        "incidents": _incidents(site),
        "verification": _verification(site, transaction),
    }
    return {f"reports/{name}.json": canonical.encode(value) for name, value in reports.items()}


def _oversight(
    transaction: Transaction, since: datetime | None, until: datetime | None
) -> dict[str, Any]:
    cells = transaction.assessment_cells(since, until)
    tables = {name or "all": rates_by(cells, name) for name in ("", *DIMENSIONS)}
    return {
        "interval": "Clopper-Pearson, 95 %, two-sided",
        "rates": {name: [asdict(row) for row in rows] for name, rows in tables.items()},
    }


def _releases(transaction: Transaction) -> dict[str, Any]:
    releases = transaction.releases()
    history = [
        {
            "release": item.release_digest,
            "state": item.state,
            "since": item.since.isoformat(),
            "decided_by": item.decided_by,
            "share": item.share,
        }
        for plugin in sorted({row.plugin for row in releases})
        for item in transaction.deployment_history(plugin)
    ]
    known = [{"digest": r.digest, "plugin": r.plugin, "version": r.version} for r in releases]
    return {"releases": known, "history": history}


def _incidents(site: Site) -> dict[str, Any]:
    found = views.list_incidents(site)
    return {
        "incidents": [
            {
                "incident": item.incident.incident_id,
                "plugin": item.incident.plugin,
                "release": item.incident.release_digest,
                "severity": item.incident.facts.severity,
                "state": item.incident.state,
                "clocks": [
                    {"name": clock.name, "due": clock.due, "state": clock.state}
                    for clock in item.clocks
                ],
            }
            for item in found
        ]
    }


def _verification(site: Site, transaction: Transaction) -> dict[str, Any]:
    """Check the whole log as it is packed; a fault is stated and does not stop the pack."""
    at = site.now()
    try:
        summary = verify_store(transaction, log_keys(site.keys, transaction), now=at)
    except LogTamperedError as error:
        return {"verified": False, "fault": str(error), "at": at.isoformat()}
    return {"verified": True, "at": at.isoformat(), **asdict(summary)}
