"""Hard stops: conditions under which a plugin is not updated, read from governed documents.

An incident hold, a suspended certificate and an open alarm are known to the site; whether
another drift alarm is open or a withdrawn consent unresolved is what a person or a monitor
states, in the document ``hard_stop`` of the plugin.  A statement that all is clear counts
for the monitoring window of the plan; after that, and where nobody stated anything, the stop
is unknown and counts as open.

Source: REGULATORY.md section 4 (hard_stops, min_days_between); AI Act Art. 73(6).

Read next: `budget.py`, `gates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from governance.alarms import is_alarmed
from governance.change.ledger import Baseline
from governance.change.plan_reading import HARD_STOPS
from governance.holds import snapshot_kept, standing
from governance.ports import GovernedStore
from governance.reading import Table

KIND = "hard_stop"
STATED = ("consent_withdrawal_unresolved", "drift_alarm_open")
"""Stops that somebody has to state; the others are known to the site."""
_CERTIFICATE_STATE, _CERTIFICATE = "certificate_state", "certificate"


def known_stops(
    documents: GovernedStore,
    plugin: str,
    baseline: Baseline | None,
    now: datetime,
    window_days: int,
) -> dict[str, bool]:
    """Return stop -> is it open now; what nobody knows is not there."""
    found = {
        "open_incident_hold": any(hold.plugin == plugin for hold in standing(documents)),
        "certificate_suspended": _suspended(documents, baseline),
    }
    document = documents.governed(KIND, plugin)
    stated = Table(KIND, document.content if document else {})
    for name in STATED:
        row = stated.table(name)
        if not row.content:
            continue
        is_open = row.flag("open", default=True)
        at = datetime.fromisoformat(row.text("at"))
        if is_open or now - timedelta(days=window_days) <= at <= now:
            found[name] = is_open
    if is_alarmed(documents, plugin):
        found["drift_alarm_open"] = True
    return {name: found[name] for name in HARD_STOPS if name in found}


def snapshots_kept(documents: GovernedStore, plugin: str) -> bool:
    """Tell whether the evidence of every hold on a plugin is kept; False where none stands."""
    holds = [hold for hold in standing(documents) if hold.plugin == plugin]
    return bool(holds) and all(snapshot_kept(documents, hold.incident_id) for hold in holds)


def state(
    known: Mapping[str, Any], name: str, is_open: bool, reason: str, at: datetime
) -> dict[str, Any]:
    """Return the content of the next revision of the document, with one stop stated."""
    return {**known, name: {"open": is_open, "reason": reason, "at": at.isoformat()}}


def _suspended(documents: GovernedStore, baseline: Baseline | None) -> bool:
    """Tell whether the certificate of the baseline is suspended at this site."""
    if baseline is None:
        return False
    names = {baseline.certificate_id}
    own = documents.governed(_CERTIFICATE, baseline.release_digest)
    if own is not None:
        names.add(str(Table(_CERTIFICATE, own.content).table("certificate").content.get(
            "certificate_id")))  # fmt: skip
    return any(
        item.name in names and item.content.get("state") == "suspended"
        for item in documents.governed_all(_CERTIFICATE_STATE)
    )
