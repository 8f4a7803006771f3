"""The terms of duties after an incident: dated data, and how a term is counted.

Terms are data (`incident_terms.json`; a site may name its own file), so that another law is
another row and not another program.

How a term is counted.  Days are calendar days: the day of awareness is day 0 in the zone of
whoever became aware, and the term ends with the last hour of its last day; months likewise,
cut to the length of the month; hours are elapsed hours (Regulation (EEC, Euratom) 1182/71,
Art. 3).  Unlike Art. 3(4) a term that ends on a holiday is not prolonged, and working days
count Monday to Friday without holidays: both are earlier, never later.

Read next: `clocks.py`.
"""

from __future__ import annotations

import calendar
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from audit.errors import ConfigurationError

SEVERITIES = ("not_serious", "serious", "deterioration", "death", "public_health_threat")
"""In rising order: MDR Art. 87(3), (5), (5), (4); `not_serious` starts no clock of severity."""
ROUTES = ("mdr", "ai_act")
"""mdr: a device, where the AI Act asks for breaches of fundamental rights alone (Art. 73(10));
ai_act: high-risk AI that is no device, the fall-back."""
FLAGS = (
    "fundamental_rights", "widespread", "critical_infrastructure", "personal_data_breach",
    "high_risk_to_persons", "cyber", "unintended_exposure", "field_action", "trend",
    "us_market", "remedial_action",
)  # fmt: skip
PARTIES = ("provider", "deployer")
UNITS = ("days", "hours", "months", "work-days", "at-once", "before-action", "national")
STARTS = ("provider", "deployer", "any")
SCHEMA = "osteon.incident-terms/1"
TERMS = Path(__file__).parent / "incident_terms.json"
_COUNTED = UNITS[:4]


@dataclass(frozen=True, slots=True)
class Term:
    """One row of the data file: a duty, when it holds, and how long there is for it.

    Parameters
    ----------
    to : who gets it, by language.
    stage : what is to be sent; clock and stage together name the duty.
    amount, unit : the term; no amount where the law says "at once" or leaves it to the state.
    mark : how binding the source is and how it was checked (REGULATORY.md section 0).
    starts : whose awareness starts it.
    after : stage of the same clock whose sending starts it instead.
    routes, severities, flags : of which one, one or none, and all must be among the facts.
    """

    clock: str
    stage: str
    amount: int | None
    unit: str
    to: Mapping[str, str]
    basis: str
    mark: str
    starts: str
    after: str | None
    routes: frozenset[str]
    severities: frozenset[str]
    flags: frozenset[str]
    valid_from: date | None
    valid_until: date | None

    def __post_init__(self) -> None:
        good = (
            self.unit in UNITS
            and (self.amount is not None and self.amount > 0) == (self.unit in _COUNTED)
            and self.starts in STARTS
            and self.routes <= set(ROUTES)
            and self.severities <= set(SEVERITIES)
            and self.flags <= set(FLAGS)
        )
        require(good, "a term with known words and a number where one is counted", self.name)

    @property
    def name(self) -> str:
        """Return clock and stage, e.g. ``C9.notification``."""
        return f"{self.clock}.{self.stage}"


def load_terms(path: Path | None = None) -> tuple[Term, ...]:
    """Return the terms of a data file, those that come with the suite by default.

    Raises
    ------
    ConfigurationError : the file is missing, no JSON of this schema, or a row is malformed.
    """
    return _read_terms(path or TERMS)


@cache
def _read_terms(path: Path) -> tuple[Term, ...]:
    try:
        document = json.loads(path.read_text("utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError("schema")
        terms = tuple(_term(row) for row in document["terms"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"expected incident terms ({SCHEMA}) in {path.name}, found a fault: "
            f"{type(error).__name__}"
        ) from error
    for term in terms:
        starts = {other.name for other in terms if other.after is None}
        if term.after is not None and f"{term.clock}.{term.after}" not in starts:
            raise ConfigurationError(f"expected the stage before {term.name}, found none")
    return terms


def find_zone(name: str) -> ZoneInfo:
    """Return an IANA time zone; ConfigurationError when there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"expected an IANA time zone such as Europe/Berlin, found {name[:40]!r}"
        ) from error


def due_at(amount: int | None, unit: str, start: datetime, zone: str) -> datetime | None:
    """Return the end of a term in UTC; None for a unit that nothing is counted in.

    Examples
    --------
    >>> noon = datetime(2026, 3, 20, 11, tzinfo=UTC)
    >>> due_at(10, "days", noon, "Europe/Berlin").isoformat()
    '2026-03-30T22:00:00+00:00'
    """
    if unit == "at-once":
        return start.astimezone(UTC)
    if amount is None:
        return None
    if unit == "hours":
        return start.astimezone(UTC) + timedelta(hours=amount)
    place = find_zone(zone)
    day = start.astimezone(place).date()
    if unit == "months":
        return _end_of(_months_later(day, amount), place)
    if unit == "work-days":
        return _end_of(_work_days_later(day, amount), place)
    return _end_of(day + timedelta(days=amount), place)


def _end_of(day: date, zone: ZoneInfo) -> datetime:
    """Return when a day is over: the next midnight there, the earlier one if there are two.

    Where a clock is put forward at midnight, the hour that does not exist is read both ways
    (PEP 495) and the earlier reading counts.
    """
    midnight = datetime.combine(day + timedelta(days=1), time(), zone)
    return min(midnight.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def _months_later(day: date, months: int) -> date:
    years, index = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, index + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _work_days_later(day: date, count: int) -> date:
    while count:
        day += timedelta(days=1)
        count -= day.weekday() < 5
    return day


def _term(row: Mapping[str, Any]) -> Term:
    return Term(
        clock=str(row["clock"]),
        stage=str(row["stage"]),
        amount=row["limit"]["amount"],
        unit=row["limit"]["unit"],
        to={"en": str(row["to"]["en"]), "de": str(row["to"]["de"])},
        basis=str(row["basis"]),
        mark=str(row["mark"]),
        starts=row["starts"],
        after=row["after"],
        routes=frozenset(row["routes"]),
        severities=frozenset(row["severities"]),
        flags=frozenset(row["flags"]),
        valid_from=_day(row["valid_from"]),
        valid_until=_day(row["valid_until"]),
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def require(holds: bool, expected: str, found: str) -> None:
    """Return when it holds; ConfigurationError with what was expected and found if not."""
    if not holds:
        raise ConfigurationError(f"expected {expected}, found {found[:60]!r}")
