"""Which duties are in force on a day, in a jurisdiction, on a route: dated data.

`applicability.toml` holds regimes (a piece of law, since when, by route) and duties (one for
each row of the regulatory matrix).  A site may lay its own file over it, regime by regime
and duty by duty: another date is a change of configuration, never of code.

Two clauses depend on when a system was placed on the market: a *grace* (older systems have
more time, Art. 50(2)) and *legacy* (older systems are free until a significant change of
design, Art. 111(2)).

Source: REGULATORY.md section 0.1 and row AIA-2.13.

Read next: `applicability.toml`, `legacy.py`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from audit.errors import ConfigurationError
from governance.reading import Table

SCHEMA = "osteon.applicability/1"
EVERYWHERE = "*"
CHECKED = ("text", "secondary", "unverified")
"""How the first day of a regime was checked: in the provision, in a report of it, not at all."""
_FILE = Path(__file__).with_name("applicability.toml")
_MARK = re.compile(r"[LHGB]·[VSK]")


@dataclass(frozen=True, slots=True)
class MarketHistory:
    """What is known of a system's way to the market.

    Parameters
    ----------
    placed_on : first placed on the market or put into service; None: not yet.
    significant_changes : days of significant changes of its design.
    public_authorities : it is meant to be used by public authorities (Art. 111(2)).
    """

    placed_on: date | None = None
    significant_changes: tuple[date, ...] = ()
    public_authorities: bool = False


@dataclass(frozen=True, slots=True)
class Grace:
    """Systems placed before a day have until another."""

    placed_before: date
    begins: date


@dataclass(frozen=True, slots=True)
class Legacy:
    """Systems placed before a day (by route) are free until a significant change of design."""

    placed_before: Mapping[str, date]
    public_authorities_from: date


@dataclass(frozen=True, slots=True)
class DateCheck:
    """How the first day of a regime was checked (`CHECKED`), where it was read, what to know."""

    checked: str = "unverified"
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Regime:
    """A piece of law and when it applies; starts: route or ``*`` -> first day, None: always."""

    regime_id: str
    law: str
    jurisdiction: str
    source: str
    starts: Mapping[str, date | None]
    grace: Grace | None
    legacy: Legacy | None
    placed_after: date | None
    date: DateCheck = DateCheck()


@dataclass(frozen=True, slots=True)
class Duty:
    """One duty of the regulatory matrix.

    Parameters
    ----------
    source : how binding (L, H, G, B) and how checked (V, S, K).
    routes : the only routes that it holds on; empty means those of its regime.
    since : first day on the route that was asked for; None where it always holds.
    """

    duty_id: str
    title: str
    section: str
    source: str
    regime: Regime
    routes: tuple[str, ...] = ()
    since: date | None = None


@dataclass(frozen=True, slots=True)
class Applicability:
    """All regimes and duties, with the routes and jurisdictions that may be asked for."""

    routes: tuple[str, ...]
    jurisdictions: tuple[str, ...]
    duties: tuple[Duty, ...]
    content: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def on(
        self, day: date, jurisdiction: str, route: str, history: MarketHistory | None = None
    ) -> tuple[Duty, ...]:
        """Return the duties in force, in the order of the matrix.

        Raises
        ------
        ConfigurationError : the jurisdiction or route is unknown; the known ones are named.
        """
        for word, known in ((jurisdiction, self.jurisdictions), (route, self.routes)):
            if word not in known:
                raise ConfigurationError(
                    f"expected one of {', '.join(known)}, found {word[:40]!r}",
                    advice="Name a known jurisdiction and route.",
                )
        known_history = history or MarketHistory()
        found = (_in_force(d, day, jurisdiction, route, known_history) for d in self.duties)
        return tuple(duty for duty in found if duty is not None)


def duties(
    on: date, jurisdiction: str, route: str, history: MarketHistory | None = None
) -> tuple[Duty, ...]:
    """Return the duties in force by the data that come with the suite."""
    return shipped().on(on, jurisdiction, route, history)


@cache
def shipped() -> Applicability:
    """Return the data that come with the suite."""
    return read_applicability(tomllib.loads(_FILE.read_text("utf-8")))


def with_overrides(document: Mapping[str, Any]) -> Applicability:
    """Return the shipped data with regimes and duties of another file laid over, by id.

    Raises
    ------
    ConfigurationError : the file or the result of laying it over is not well-formed.
    """
    base = shipped().content
    merged = {**base, **{k: v for k, v in document.items() if k not in ("regime", "duty")}}
    for key in ("regime", "duty"):
        rows = Table("applicability", document).tables(key)
        own = {row.text("id"): dict(row.content) for row in rows}
        if len(own) != len(rows):
            raise Table("applicability", document).fault(key, "ids of their own")
        merged[key] = [own.pop(row["id"], row) for row in base[key]] + list(own.values())
    return read_applicability(merged)


def read_applicability(document: Mapping[str, Any]) -> Applicability:
    """Return a decoded file; ConfigurationError names what is wrong in it."""
    top = Table("applicability", document).only(
        ("schema", "routes", "jurisdictions", "regime", "duty")
    )
    if top.text("schema") != SCHEMA:
        raise top.fault("schema", SCHEMA)
    routes, places = top.texts("routes"), top.texts("jurisdictions")
    regimes = [_regime(row, routes, places) for row in top.tables("regime")]
    by_id = {regime.regime_id: regime for regime in regimes}
    found = tuple(_duty(row, by_id, routes) for row in top.tables("duty"))
    if len(by_id) != len(regimes) or len({d.duty_id for d in found}) != len(found):
        raise top.fault("duty", "regimes and duties with ids of their own")
    return Applicability(routes, places, found, document)


def _regime(row: Table, routes: Iterable[str], places: Iterable[str]) -> Regime:
    row.only(
        (
            *("id", "law", "jurisdiction", "source", "start", "grace", "legacy"),
            *("placed_after", "date"),
        )
    )
    starts: dict[str, date | None] = {}
    for item in row.tables("start"):
        item.only(("routes", "from"))
        day = item.day("from") if "from" in item.content else None
        starts |= dict.fromkeys(item.texts("routes"), day)
    if not starts or set(starts) - {*routes, EVERYWHERE}:
        raise row.fault("start", "known routes")
    jurisdiction = row.text("jurisdiction")
    if jurisdiction not in (*places, EVERYWHERE):
        raise row.fault("jurisdiction", "a known jurisdiction")
    return Regime(
        regime_id=row.text("id"),
        law=row.text("law"),
        jurisdiction=jurisdiction,
        source=_mark(row),
        starts=starts,
        grace=_grace(row.table("grace")),
        legacy=_legacy(row.table("legacy")),
        placed_after=row.day("placed_after") if "placed_after" in row.content else None,
        date=_date_check(row.table("date")),
    )


def _date_check(row: Table) -> DateCheck:
    if not row.content:
        return DateCheck()
    row.only(("checked", "source", "note"))
    return DateCheck(row.word("checked", CHECKED), row.text("source"), row.text("note", ""))


def _grace(row: Table) -> Grace | None:
    if not row.content:
        return None
    row.only(("placed_before", "from"))
    return Grace(row.day("placed_before"), row.day("from"))


def _legacy(row: Table) -> Legacy | None:
    if not row.content:
        return None
    row.only(("placed_before", "public_authorities_from"))
    days = row.table("placed_before")
    before = {route: days.day(route) for route in days.content}
    return Legacy(before, row.day("public_authorities_from"))


def _duty(row: Table, regimes: Mapping[str, Regime], routes: Iterable[str]) -> Duty:
    row.only(("id", "title", "regime", "section", "source", "routes"))
    regime = regimes.get(row.text("regime"))
    if regime is None:
        raise row.fault("regime", "the id of a regime")
    only = row.texts("routes")
    if set(only) - set(routes):
        raise row.fault("routes", "known routes")
    return Duty(
        row.text("id"), row.text("title"), row.text("section"), _mark(row), regime, only
    )  # fmt: skip


def _mark(row: Table) -> str:
    mark = row.text("source")
    if not _MARK.fullmatch(mark):
        raise row.fault("source", "a mark such as L·V")
    return mark


def _in_force(
    duty: Duty, day: date, jurisdiction: str, route: str, history: MarketHistory
) -> Duty | None:
    """Return the duty with its first day on the route, None where it is not in force."""
    regime = duty.regime
    if regime.jurisdiction not in (jurisdiction, EVERYWHERE):
        return None
    if duty.routes and route not in duty.routes:
        return None
    starts = regime.starts
    if route not in starts and EVERYWHERE not in starts:
        return None
    begins = starts.get(route, starts.get(EVERYWHERE))
    begins = _with_grace(regime, begins, history.placed_on)
    if _too_old(regime, history.placed_on):
        return None
    if regime.legacy is not None:
        begins = legacy_end(regime.legacy, begins, route, history)
        if begins is None:
            return None
    if begins is not None and day < begins:
        return None
    return Duty(
        duty.duty_id, duty.title, duty.section, duty.source, regime, duty.routes, begins
    )  # fmt: skip


def _with_grace(regime: Regime, begins: date | None, placed_on: date | None) -> date | None:
    grace = regime.grace
    if grace is None or placed_on is None or placed_on >= grace.placed_before:
        return begins
    return grace.begins


def _too_old(regime: Regime, placed_on: date | None) -> bool:
    after = regime.placed_after
    return after is not None and placed_on is not None and placed_on <= after


def legacy_end(
    legacy: Legacy, begins: date | None, route: str, history: MarketHistory
) -> date | None:
    """Return the day from which a regime holds for a system; None while legacy frees it.

    A significant change counts from the day on which the regime begins; changes before it do
    not end the status (Art. 111(2): "as from that date").
    """
    border = legacy.placed_before.get(route)
    if border is None or history.placed_on is None or history.placed_on >= border:
        return begins
    ends = sorted(d for d in history.significant_changes if begins is None or d >= begins)
    if history.public_authorities:
        ends.append(legacy.public_authorities_from)
    return min(ends, default=None)
