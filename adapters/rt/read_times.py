"""Read dates and times of DICOM attributes for differences between them.

Values stay inside the reader: uptake minutes and an age leave it, a date never does.

Standard: PS3.5 Section 6.2 (DA, TM, DT).

Read next: `read_suv.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import DT

_NO_DATE = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Moment:
    """A local date and time, or a time of day only (``dated`` is False)."""

    value: datetime
    dated: bool

    def clock(self) -> Moment:
        """Return the time of day without its date."""
        return Moment(datetime.combine(_NO_DATE.date(), self.value.time()), False)

    def seconds_until(self, later: Moment) -> float:
        """Return seconds to ``later``, by time of day where either has no date."""
        if self.dated and later.dated:
            return (later.value - self.value).total_seconds()
        return (later.clock().value - self.clock().value).total_seconds()


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
