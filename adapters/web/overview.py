"""The first page: what runs, what is wrong, what is due.

Everything on it comes from an index: the page costs the same after a million records.

Read next: `templates/overview.html`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import FastAPI, Request
from starlette.responses import Response

from adapters.database import Transaction
from adapters.incidents import views
from adapters.oversight.due import waiting_for_review
from adapters.web.alarm_reasons import in_words
from adapters.web.formats import moment, short_digest
from adapters.web.pages import RunLine, run_line
from adapters.web.shell import Pages, language_of
from adapters.web.texts import translator
from governance.monitoring.reevaluation import KIND, OPEN, is_overdue

if TYPE_CHECKING:
    from datetime import datetime

    from adapters.compose import Site
    from governance.ports import Deployment

RUNNING_STATES = ("active", "canary", "shadow")
LATEST = 8
CHECKPOINT_LATE = timedelta(minutes=3)
SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """One release at work."""

    digest: str
    short: str
    plugin: str
    version: str
    state: str
    since: str
    ends: str


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is wrong or due: text key, words to fill in, where to look."""

    key: str
    detail: str
    href: str
    tone: str


@dataclass(frozen=True, slots=True)
class OverviewPage:
    """What the first page shows."""

    counts: tuple[tuple[str, int], ...]
    releases: tuple[ReleaseLine, ...]
    latest: tuple[RunLine, ...]
    wrong: tuple[Item, ...]
    due: tuple[Item, ...]
    tree_size: int
    checkpoint_at: str


def overview_page(site: Site, language: str) -> OverviewPage:
    """Return what the first page shows now."""
    now, zone = site.now(), site.configuration.site.time_zone
    with site.database.reading() as transaction:
        counts = transaction.open_counts()
        versions = {row.digest: row.version for row in transaction.releases()}
        deployments = transaction.deployments()
        latest = transaction.runs_before(limit=LATEST)
        checkpoint = transaction.last_checkpoint()
        tree_size = transaction.tree_size()
        wrong = _wrong(transaction, now)
        waiting = waiting_for_review(transaction, now)
        alarms = _alarms(transaction, now, translator(language))
    signed = checkpoint.signed_at if checkpoint else None
    if tree_size and (signed is None or now - signed > CHECKPOINT_LATE):
        wrong.append(Item("wrong_checkpoint", moment(signed, zone), "/audit/verify", "wait"))
    return OverviewPage(
        counts=tuple(counts.items()),
        releases=tuple(
            _release(item, versions, zone) for item in deployments if item.state in RUNNING_STATES
        ),
        latest=tuple(run_line(row, zone) for row in latest),
        wrong=tuple(wrong),
        due=(*_incidents(site), *alarms, *_ending(deployments, now), *_reviews(waiting)),
        tree_size=tree_size,
        checkpoint_at=moment(signed, zone),
    )


def overview_routes(app: FastAPI, view: Pages) -> None:
    """Add the first page."""

    @app.get("/")
    def overview(request: Request) -> Response:
        page = overview_page(view.site, language_of(request))
        return view.render(request, "overview.html", page=page)


def _release(item: Deployment, versions: dict[str, str], zone: str) -> ReleaseLine:
    ends = str(item.evidence.get("expires_at", ""))[:10]
    digest = item.release_digest
    version = versions.get(digest, "")
    since = moment(item.since, zone)
    return ReleaseLine(digest, short_digest(digest), item.plugin, version, item.state, since, ends)


def _wrong(transaction: Transaction, now: datetime) -> list[Item]:
    """Return failed runs of a week, failed deliveries, and records outside the tree."""
    found = [
        Item("wrong_run", f"{row.plugin} {row.reason[:60]}", f"/runs/{row.run_id}", "bad")
        for row in transaction.runs_before(status="failed", limit=5)
        if row.opened_at > now - timedelta(days=7)
    ]
    failed = transaction.failed_delivery_runs(limit=5)
    found += [Item("wrong_delivery", run[:12], f"/runs/{run}", "bad") for run in failed]
    waiting = transaction.waiting_leaves(1)  # by its own index; seldom any
    outside = transaction.unplaced(now - timedelta(minutes=2)) if waiting else ()
    if outside:
        found.append(Item("wrong_outside", str(len(outside)), "/audit/verify", "bad"))
    return found


def _incidents(site: Site) -> list[Item]:
    items = []
    for found in views.list_incidents(site):
        late = sum(clock.state == "overdue" for clock in found.clocks)
        if late or (found.first_due and found.first_due != "–"):
            name, tone = found.incident.incident_id, "bad" if late else "wait"
            items.append(
                Item("due_incident", f"{name}: {found.first_due}", f"/incidents/{name}", tone)
            )
    return items[:8]


def _alarms(transaction: Transaction, now: datetime, t: Mapping[str, str]) -> list[Item]:
    """Return alarms of monitors that wait for a decision, the nearest deadline first."""
    found = [item for item in transaction.governed_all(KIND) if item.content["state"] == OPEN]
    found.sort(key=lambda item: str(item.content["deadline"]))
    return [
        Item(
            "due_alarm",
            f"{item.content['plugin']}: {in_words(str(item.content['reason']), t)}, "
            f"{str(item.content['deadline'])[:10]}",
            f"/alarms#{quote(item.name)}",
            "bad" if is_overdue(item, now) else "wait",
        )
        for item in found[:8]
    ]


def _ending(deployments: tuple[Deployment, ...], now: datetime) -> list[Item]:
    """Return releases whose waiver ends soon."""
    items = []
    for item in deployments:
        ends = str(item.evidence.get("expires_at", ""))
        if item.state in RUNNING_STATES and ends and ends[:10] <= (now + SOON).date().isoformat():
            items.append(
                Item(
                    "due_waiver",
                    f"{item.plugin}: {ends[:10]}",
                    f"/audit?release={item.release_digest}",
                    "wait",
                )
            )
    return items


def _reviews(waiting: tuple[int, bool]) -> list[Item]:
    count, more = waiting
    if not count:
        return []
    return [Item("due_review", f"{count}{'+' if more else ''}", "/oversight", "wait")]
