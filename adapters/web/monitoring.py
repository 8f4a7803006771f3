"""The pages of monitoring: every item that is watched, and one release in charts.

Read next: `templates/monitoring.html`, `alarms.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from fastapi import FastAPI, Request
from markupsafe import Markup
from starlette.responses import Response

from adapters.documents.report_figures import plot_svg
from adapters.monitoring.chains import upstream_of
from adapters.monitoring.plans import plan_of, window_of
from adapters.monitoring.running import watched
from adapters.monitoring.standing import Line, lines_of, standing
from adapters.web.formats import moment, percent
from adapters.web.monitoring_parts import (
    PartLine,
    PerformanceLines,
    UpstreamLine,
    part_lines,
    performance_lines,
    upstream_lines,
)
from adapters.web.shell import Pages, language_of
from adapters.web.texts import translator
from governance.monitoring.charts import CUSUM_LIMIT, FIRST_CASES, Chart, chart
from governance.monitoring.plan import INPUT
from governance.monitoring.reference import ReferenceWindow
from governance.monitoring.state import chosen
from governance.report import Language, Plot, Series
from plugins.host.observation import stored

if TYPE_CHECKING:
    from adapters.compose import Site

SHOWN = 200
"""Newest studies that the page of a release rests on."""
NOW, DRAWN, WORST = 30, 6, 8
TONES = {"watching": "good", "collecting": "wait", "alarmed": "bad", "stopped": "bad"}
Values = list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class ItemLine:
    """One item of a plan as it is read."""

    plugin: str
    digest: str
    name: str
    metric: str
    data: str
    window: str
    limit: str
    action: str
    owner: str
    condition: str
    tone: str
    cases: int
    nearest: str
    last: str


@dataclass(frozen=True, slots=True)
class NumberLine:
    """One number: the reference beside the newest studies."""

    name: str
    reference: str
    now: str
    n: int
    outside: str


@dataclass(frozen=True, slots=True)
class MonitoringPage:
    """Every item here, or with a digest one release in full."""

    lines: tuple[ItemLine, ...]
    is_covered: bool
    title: str = ""
    digest: str = ""
    source: str = ""
    has_reference: bool = True
    numbers: tuple[NumberLine, ...] = ()
    charts: tuple[tuple[str, Markup], ...] = ()
    worst: tuple[tuple[str, str, str], ...] = ()
    metrics: tuple[str, ...] = ()
    parts: tuple[PartLine, ...] = ()
    upstream: tuple[UpstreamLine, ...] = ()
    performance: tuple[PerformanceLines, ...] = ()
    is_at_work: bool = True


def overview(site: Site) -> MonitoringPage:
    """Return every item of every release at work here."""
    found = standing(site)
    zone = site.configuration.site.time_zone
    return MonitoringPage(tuple(_item(line, zone) for line in found.lines), found.is_covered)


def release_page(site: Site, digest: str, language: str) -> MonitoringPage:
    """Return one release: items, reference against now, charts, runs to look at."""
    row = site.registry.row(digest)
    zone = site.configuration.site.time_zone
    lines = tuple(_item(line, zone) for line in lines_of(site, digest))
    is_at_work = any(one.deployment.release_digest == digest for one in watched(site))
    window = window_of(site, digest)
    with site.database.reading() as transaction:
        plan = plan_of(site, transaction, row.plugin, digest)
        runs = transaction.recent_runs(digest, SHOWN)
    patterns = [name for item in plan.items if item.metric == INPUT for name in item.data]
    values: dict[str, Values] = {}
    for run in runs:
        numbers = stored(run.run_id, run.statistics or {}).numbers
        for name in chosen(tuple(numbers), patterns):
            values.setdefault(name, []).append((run.run_id, float(numbers[name])))
    return MonitoringPage(
        lines=lines,
        is_covered=all(line.condition not in ("not-run", "stopped") for line in lines),
        is_at_work=is_at_work,
        title=f"{row.plugin} {row.version}",
        digest=digest,
        source="" if window is None else f"{window.source} (n = {window.cases})",
        has_reference=window is not None,
        numbers=_numbers(window, values),
        charts=_charts(values, "de" if language == "de" else "en"),
        worst=_worst(values),
        metrics=tuple(sorted({item.metric for item in plan.items})),
        parts=part_lines(site, digest),
        upstream=upstream_lines(upstream_of(site, digest), translator(language)),
        performance=performance_lines(site, digest, plan, "de" if language == "de" else "en"),
    )


def monitoring_routes(app: FastAPI, view: Pages) -> None:
    """Add the pages of monitoring."""

    @app.get("/monitoring")
    def monitoring(request: Request) -> Response:
        return view.render(request, "monitoring.html", page=overview(view.site))

    @app.get("/monitoring/{digest}")
    def release(request: Request, digest: str) -> Response:
        page = release_page(view.site, digest, language_of(request))
        return view.render(request, "monitoring.html", page=page)


def _item(line: Line, zone: str) -> ItemLine:
    item = line.item
    return ItemLine(
        line.plugin, line.release_digest, item.name, item.metric, ", ".join(item.data),
        item.window, f"{item.limit:g}", item.action, item.owner, line.condition,
        TONES.get(line.condition, "wait"), line.cases, percent(min(line.nearest, 1.0)),
        moment(line.last_run_at, zone) if line.last_run_at else "–",
    )  # fmt: skip


def _numbers(
    window: ReferenceWindow | None, values: Mapping[str, Values]
) -> tuple[NumberLine, ...]:
    found = []
    for name, pairs in sorted(values.items()):
        now = [value for _, value in pairs[-NOW:]]
        known = () if window is None else window.numbers.get(name, ())
        outside = sum(not known[0] <= value <= known[-1] for value in now) if known else 0
        share = f"{outside}/{len(now)}" if known else "–"
        found.append(NumberLine(name, _range(known), _range(now), len(now), share))
    return tuple(found)


def _range(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{np.median(values):.4g} ({min(values):.4g} – {max(values):.4g})"


def _charts(values: Mapping[str, Values], language: Language) -> tuple[tuple[str, Markup], ...]:
    """Return the charts of the numbers that moved most, the farthest first."""
    found = []
    for name, pairs in values.items():
        if len(pairs) < FIRST_CASES:
            continue
        drawn = chart([value for _, value in pairs])
        if drawn.sigma <= 0 and len(set(drawn.values)) == 1:
            continue
        away = max(max(drawn.cusum_high), max(drawn.cusum_low))
        found.append((-away, name, drawn))
    found.sort(key=lambda item: item[:2])
    return tuple(
        (name, plot_svg(plot, language))
        for _, name, drawn in found[:DRAWN]
        for plot in (_shewhart(name, drawn), _cusum(name, drawn))
    )


def _shewhart(name: str, drawn: Chart) -> Plot:
    """Return the values with their mean, 2 and 3 sigma of the first cases, and their EWMA."""
    lines = tuple(
        (drawn.centre + times * drawn.sigma, f"{times:+d} σ".replace("-", "−") if times else "")
        for times in (3, 2, 0, -2, -3)
    )
    values = Series(name, _numbered(drawn.values))
    return Plot(name, "n", name, (values, Series("EWMA", _numbered(drawn.ewma), "line")), lines)


def _cusum(name: str, drawn: Chart) -> Plot:
    """Return both sums of standardised deviations and the limit that they are drawn against."""
    sums = (
        Series("CUSUM +", _numbered(drawn.cusum_high), "line"),
        Series("CUSUM −", _numbered(drawn.cusum_low), "line"),
    )
    return Plot(f"{name}: CUSUM", "n", "σ", sums, ((CUSUM_LIMIT, f"{CUSUM_LIMIT:g} σ"),))


def _numbered(values: Sequence[float]) -> tuple[tuple[float, float], ...]:
    return tuple(enumerate(values, 1))


def _worst(values: Mapping[str, Values]) -> tuple[tuple[str, str, str], ...]:
    """Return the runs farthest from the first cases in units of their scatter: id, number, away."""
    found: dict[str, tuple[float, str]] = {}
    for name, pairs in values.items():
        first = np.array([value for _, value in pairs[:FIRST_CASES]])
        scatter = float(np.median(np.abs(first - np.median(first)))) * 1.4826
        if len(pairs) < FIRST_CASES or scatter <= 0:
            continue
        for run_id, value in pairs:
            away = abs(value - float(np.median(first))) / scatter
            if away > found.get(run_id, (0.0, ""))[0]:
                found[run_id] = (away, name)
    ordered = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))[:WORST]
    return tuple((run_id, name, f"{away:.1f} σ") for run_id, (away, name) in ordered)
