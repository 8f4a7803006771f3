"""Read dates and times of DICOM attributes for differences between them.

Values stay inside the reader: uptake minutes and an age leave it, a date never does.

Standard: PS3.5 Section 6.2 (DA, TM, DT).

Read next: `read_suv.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import DT

_NO_DATE = datetime(1970, 1, 1)
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A local date and time, or a time of day only (``dated`` is False)."""

    value: datetime
    dated: bool

    def clock(self) -> Moment:
        """Return the time of day without its date."""
        return Moment(datetime.combine(_NO_DATE.date(), self.value.time()), False)

    def minus(self, seconds: float) -> Moment:
        """Return the moment so many seconds before."""
        before = Moment(self.value - timedelta(seconds=seconds), self.dated)
        return before if self.dated else before.clock()

    def shortly_before(self, later: Moment, longest_s: float) -> bool:
        """Return whether this is at most ``longest_s`` before ``later``, and not after it."""
        seconds = self.seconds_until(later)
        if not (self.dated and later.dated):
            seconds %= DAY_S
        return 0 <= seconds <= longest_s

    def seconds_until(self, later: Moment) -> float:
        """Return seconds to ``later``, by time of day where either has no date."""
        if self.dated and later.dated:
            return (later.value - self.value).total_seconds()
        return (later.clock().value - self.clock().value).total_seconds()


def earliest(moments: Sequence[Moment]) -> Moment | None:
    """Return the first of moments within a day; None where there are none.

    Where one has no date, midnight may lie between them: the first is then the one after
    the longest pause.
    """
    ordered = sorted(moments, key=lambda moment: moment.value)
    if not ordered or all(moment.dated for moment in ordered):
        return ordered[0] if ordered else None
    ordered = sorted((moment.clock() for moment in ordered), key=lambda moment: moment.value)
    pauses = [(b.value - a.value).total_seconds() for a, b in pairwise(ordered)]
    over_midnight = DAY_S - (ordered[-1].value - ordered[0].value).total_seconds()
    longest = max(pauses, default=0.0)
    return ordered[pauses.index(longest) + 1] if longest > over_midnight else ordered[0]


def moment_of(dataset: Dataset, prefix: str) -> Moment | None:
    """Return date and time of ``prefix`` (Series, Acquisition), or None."""
    if prefix == "Acquisition":
        whole = parse_datetime(dataset.get("AcquisitionDateTime"))
        if whole is not None:
            return whole
    clock = parse_time(dataset.get(f"{prefix}Time"))
    if clock is None:
        return None
    day = parse_date(dataset.get(f"{prefix}Date"))
    return clock if day is None else Moment(day + (clock.value - _NO_DATE), True)


def parse_date(value: Any) -> datetime | None:
    """Return a DA value at midnight, or None where it is absent or not a date."""
    try:
        return datetime.strptime(str(value or "").strip().replace(".", ""), "%Y%m%d")
    except ValueError:
        return None


def parse_datetime(value: Any) -> Moment | None:
    """Return a DT value without its offset: acquisition times are local as well."""
    if value in (None, "", b""):
        return None
    text = value.decode("ascii", "ignore") if isinstance(value, bytes) else str(value)
    try:
        parsed = DT(text.strip(" \0"))
    except (ValueError, TypeError):
        return None
    if parsed is None:
        return None
    return Moment(datetime.combine(parsed.date(), parsed.time()), True)


def parse_time(value: Any) -> Moment | None:
    """Return a TM value as a time of day, or None where it is absent or not a time."""
    text = str(value or "").strip().replace(":", "")
    try:
        hours, minutes = int(text[0:2]), int(text[2:4] or 0)
        seconds = float(text[4:] or 0)
    except ValueError:
        return None
    if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 61):
        return None
    return Moment(_NO_DATE + timedelta(hours=hours, minutes=minutes, seconds=seconds), False)
