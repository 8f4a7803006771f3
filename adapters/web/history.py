"""The page of the history: which release was in which state when, by whom, on what evidence.

Read next: `governance/history.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from starlette.responses import Response

from adapters.governance.histories import HistoryLine, lines_of
from adapters.web.formats import evidence_lines, moment, read_moment
from adapters.web.shell import Pages

if TYPE_CHECKING:
    from adapters.compose import Site


@dataclass(frozen=True, slots=True)
class Line:
    """One state of one release as it is printed."""

    item: HistoryLine
    path: str
    tone: str
    since: str
    until: str
    evidence: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """The states that were asked for."""

    plugins: tuple[str, ...]
    plugin: str
    at: str
    rows: tuple[Line, ...]
    several_sites: bool
    zone: str


def history_routes(app: FastAPI, view: Pages) -> None:
    """Add the page of the history."""

    @app.get("/history")
    def history(request: Request, plugin: str = "", at: str = "") -> Response:
        page = history_page(view.site, plugin, at)
        return view.render(request, "history.html", page=page)


def history_page(site: Site, plugin: str, at: str) -> HistoryPage:
    """Return every state of a plugin's releases (empty: of all), or those in use at a moment.

    Raises
    ------
    ConfigurationError : ``at`` is filled in, and no time.
    """
    zone = site.configuration.site.time_zone
    when = read_moment(at, zone)
    with site.database.reading() as transaction:
        plugins = tuple(sorted({row.plugin for row in transaction.releases()}))
    found = lines_of(site, plugin if plugin in plugins else None, when)
    rows = found if when is not None else tuple(reversed(found))
    return HistoryPage(
        plugins=plugins,
        plugin=plugin if plugin in plugins else "",
        at=at.strip(),
        rows=tuple(printed(item, zone) for item in rows),
        several_sites=len({item.site for item in found}) > 1,
        zone=zone,
    )


def printed(item: HistoryLine, zone: str) -> Line:
    """Return one state as it is printed."""
    tones = {"active": "good", "canary": "wait", "shadow": "wait", "suspended": "bad"}
    return Line(
        item,
        item.release_digest.removeprefix("sha256:"),
        tones.get(item.state, ""),
        moment(item.since, zone),
        moment(item.until, zone) if item.until else "",
        evidence_lines(item.evidence),
    )
