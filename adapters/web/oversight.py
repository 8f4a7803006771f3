"""The page of human oversight: rates with n and interval, and checks for automation bias.

Figures about single reviewers are shown only where `governance/oversight/reviewers.py` lets
them, and never by name.

Read next: `templates/oversight.html`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from adapters.oversight.acts import tell_staff
from adapters.oversight.due import waiting_for_review
from adapters.web.access import Session
from adapters.web.formats import percent, short_digest
from adapters.web.shell import Pages, csrf_holds
from audit.errors import RefusalError
from governance.oversight.bias import Check, all_checks
from governance.oversight.rates import DIMENSIONS, Cell, Rate, Row, narrowed, rates_by
from governance.oversight.reviewers import LEAST, NOTICE, NOTIFIERS, require_permitted

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

CHECKED = 500
"""How many of the newest assessments of a plugin the checks on the page rest on."""
WINDOWS = {"30": 30, "90": 90, "365": 365, "all": 0}


@dataclass(frozen=True, slots=True)
class RateText:
    """One rate as it is read: share, k of n, interval, and the interval for drawing."""

    value: str
    counts: str
    interval: str


@dataclass(frozen=True, slots=True)
class RateLine:
    """The rates of one group."""

    name: str
    decided: int
    deferred: int
    rates: tuple[RateText, ...]
    seconds: str


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check for automation bias in words."""

    name: str
    about: str
    verdict: str
    tone: str
    n: int
    figures: tuple[tuple[str, str], ...]
    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OversightPage:
    """Rates by each dimension, and the checks of one plugin."""

    window: str
    windows: tuple[str, ...]
    plugin: str
    plugins: tuple[str, ...]
    overall: RateLine | None
    tables: tuple[tuple[str, tuple[RateLine, ...]], ...]
    checks: tuple[CheckLine, ...]
    waiting: int
    notice: Mapping[str, Any] | None
    by_person: bool
    why_not: tuple[str, ...]
    least: int
    may_tell: bool


def oversight_page(site: Site, session: Session, window: str, plugin: str) -> OversightPage:
    """Return the rates of a window, of one plugin or all."""
    days = WINDOWS.get(window, WINDOWS["365"])
    now = site.now()
    with site.database.reading() as transaction:
        plugins = transaction.assessed_plugins()
        chosen = plugin if plugin in plugins else ""
        cells = transaction.assessment_cells(now - timedelta(days=days) if days else None)
        about = chosen or (plugins[0] if len(plugins) == 1 else "")
        content, why_not = _permission(transaction, site, about)
        checks = _checks(transaction, about, by_person=not why_not) if about else ()
        waiting, _ = waiting_for_review(transaction, now)
    cells = narrowed(cells, {"plugin": chosen})
    overall = rates_by(cells, "")
    return OversightPage(
        window=window if window in WINDOWS else "365",
        windows=tuple(WINDOWS),
        plugin=chosen,
        plugins=plugins,
        overall=_line(overall[0]) if overall else None,
        tables=tuple((name, _table(cells, name)) for name in DIMENSIONS),
        checks=checks,
        waiting=waiting,
        notice=content,
        by_person=bool(about) and not why_not,
        why_not=why_not if about else (),
        least=LEAST,
        may_tell=session.role in NOTIFIERS,
    )


def oversight_routes(app: FastAPI, view: Pages) -> None:
    """Add the page of oversight."""

    @app.get("/oversight")
    def oversight(request: Request, window: str = "365", plugin: str = "") -> Response:
        page = oversight_page(view.site, request.state.session, window, plugin)
        return view.render(request, "oversight.html", page=page)

    @app.post("/oversight/staff-notice")
    def notice(
        request: Request,
        csrf: Annotated[str, Form()],
        text: Annotated[str, Form()],
        told_on: Annotated[str, Form()],
        reference: Annotated[str, Form()] = "",
    ) -> Response:
        if not csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        tell_staff(view.site, request.state.session, text, told_on, reference)
        return RedirectResponse("/oversight", 303)


def _permission(
    transaction: Transaction, site: Site, plugin: str
) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    """Return the notice that stands, and what forbids views by reviewer."""
    document = transaction.governed(NOTICE, site.configuration.site.name)
    content = document.content if document else None
    try:
        require_permitted(content, transaction.reviewer_count(plugin) if plugin else 0)
    except RefusalError as error:
        return content, error.reasons
    return content, ()


def _checks(transaction: Transaction, plugin: str, *, by_person: bool) -> tuple[CheckLine, ...]:
    found = transaction.assessments(plugin, CHECKED)
    scores = {item.run_id: score for item, score in found if score is not None}
    checks = all_checks([item for item, _ in found], scores, by_person=by_person)
    return tuple(_check(item) for item in checks)


def _check(item: Check) -> CheckLine:
    tones = {"quiet": "good", "signal": "bad"}
    figures = tuple((name, _figure(value)) for name, value in (item.figures or {}).items())
    about = item.about.removeprefix("reviewer:")
    about = about[:8] if item.about.startswith("reviewer:") else about
    tone = tones.get(item.verdict, "wait")
    return CheckLine(item.name, about, item.verdict, tone, item.n, figures, item.run_ids[:10])


def _figure(value: float | Rate) -> str:
    if isinstance(value, Rate):
        text = _rate(value)
        return f"{text.value} ({text.counts}; {text.interval})"
    return f"{value:.3g}"


def _table(cells: tuple[Cell, ...], dimension: str) -> tuple[RateLine, ...]:
    lines = [_line(row) for row in rates_by(cells, dimension)]
    if dimension == "release":
        return tuple(
            RateLine(short_digest(n.name), n.decided, n.deferred, n.rates, n.seconds) for n in lines
        )
    return tuple(lines)


def _line(row: Row) -> RateLine:
    rates = (row.accept, row.edit, row.reject, row.override, row.unseen)
    seconds = "–" if row.mean_seconds is None else f"{row.mean_seconds:.0f} s"
    return RateLine(row.name, row.decided, row.deferred, tuple(map(_rate, rates)), seconds)


def _rate(rate: Rate) -> RateText:
    interval = f"{percent(rate.lower)} – {percent(rate.upper)}" if rate.n else "–"
    return RateText(percent(rate.value), f"{rate.k}/{rate.n}", interval)
