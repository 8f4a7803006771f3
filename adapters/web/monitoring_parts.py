"""What the page of a release shows besides its charts: scanners, sites, structures, subgroups.

Read next: `templates/monitoring_parts.html`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from adapters.database.chains import APPROVED, DIRECT
from adapters.documents.report_figures import plot_svg
from adapters.monitoring.chains import Upstream
from adapters.monitoring.performance import performance_of
from adapters.monitoring.standing import parts_of
from adapters.web.alarm_reasons import in_words
from adapters.web.formats import percent
from governance.monitoring.performance import Block, Estimate
from governance.monitoring.plan import Plan
from governance.monitoring.state import ALARMED
from governance.monitoring.strata import NOT_KNOWN
from governance.report import Language, Plot, Series

if TYPE_CHECKING:
    from adapters.compose import Site

NEAREST = 3
"""Monitors of a feeding release that are shown."""
SHOWN_NEAR = 0.8
"""Share of the way to an alarm from which a stratum is marked."""


@dataclass(frozen=True, slots=True)
class PartLine:
    """One stratum of a split item as it is read; ``value`` is empty where it is not known."""

    item: str
    limit: str
    dimension: str
    value: str
    condition: str
    tone: str
    cases: int
    number: str
    nearest: str


@dataclass(frozen=True, slots=True)
class BlockLine:
    """One block of labelled patients as it is read."""

    patients: str
    events: int
    auc: str
    slope: str


@dataclass(frozen=True, slots=True)
class PerformanceLines:
    """The labelled performance of one outcome item."""

    item: str
    known: int
    waiting: int
    missing: int
    blocks: tuple[BlockLine, ...]
    charts: tuple[Markup, ...]


def performance_lines(
    site: Site, digest: str, plan: Plan, language: Language
) -> tuple[PerformanceLines, ...]:
    """Return AUC and calibration slope over time of every outcome item."""
    with site.database.reading() as transaction:
        found = performance_of(transaction, digest, plan, site.now())
    return tuple(
        PerformanceLines(
            one.item, len(one.arrivals.cases), one.arrivals.waiting, one.arrivals.missing,
            tuple(map(_block, one.blocks)),
            tuple(plot_svg(plot, language) for plot in performance_plots(one.blocks)),
        )
        for one in found
    )  # fmt: skip


def performance_plots(blocks: Sequence[Block]) -> tuple[Plot, ...]:
    """Return the curves of AUC and slope with their intervals; none where nothing is known."""
    found = []
    for name, limit, values in (
        ("AUC", 0.5, [(block.last, block.auc) for block in blocks]),
        ("Calibration slope", 1.0, [(block.last, block.slope) for block in blocks]),
    ):
        known = [(float(at), value) for at, value in values if value is not None]
        if known:
            series = Series(
                name, tuple((at, value.value) for at, value in known), "both",
                tuple((value.lower, value.upper) for _, value in known),
            )  # fmt: skip
            found.append(Plot(name, "n", name, (series,), ((limit, ""),), name))
    return tuple(found)


def _block(block: Block) -> BlockLine:
    return BlockLine(
        f"{block.first}–{block.last}", block.events, _estimate(block.auc), _estimate(block.slope)
    )


def _estimate(value: Estimate | None) -> str:
    return "–" if value is None else f"{value.value:.2f} [{value.lower:.2f}, {value.upper:.2f}]"


@dataclass(frozen=True, slots=True)
class UpstreamLine:
    """A release that feeds this one, and how it stands."""

    plugin: str
    digest: str
    direct: int
    approved: int
    is_drifting: bool
    alarms: tuple[str, ...]
    nearest: tuple[tuple[str, str, str], ...]


def upstream_lines(found: Sequence[Upstream], t: Mapping[str, str]) -> tuple[UpstreamLine, ...]:
    """Return releases that feed another as they are read: alarms, and monitors nearest to one."""
    lines = []
    for one in found:
        ways = dict(one.runs)
        near = tuple(
            (line.item.name, line.condition, percent(min(line.nearest, 1.0)))
            for line in one.lines[:NEAREST]
        )
        lines.append(
            UpstreamLine(
                one.plugin, one.release_digest, ways.get(DIRECT, 0), ways.get(APPROVED, 0),
                one.is_drifting,
                tuple(in_words(str(item.content["reason"]), t) for item in one.alarms), near,
            )
        )  # fmt: skip
    return tuple(lines)


def part_lines(site: Site, digest: str) -> tuple[PartLine, ...]:
    """Return every stratum of every split item of a release."""
    found = []
    for item, parts in parts_of(site, digest):
        for part in parts:
            condition = ALARMED if part.share >= 1 else part.condition
            tone = "bad" if part.share >= SHOWN_NEAR else "good"
            found.append(
                PartLine(
                    item.name, f"{item.limit:g}", part.dimension,
                    "" if part.value == NOT_KNOWN else part.value, condition,
                    "wait" if condition == "collecting" else tone, part.cases, part.name,
                    percent(min(part.share, 1.0)),
                )
            )  # fmt: skip
    return tuple(found)
