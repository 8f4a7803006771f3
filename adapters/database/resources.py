"""How much of each resource a site has used at most, by day (UTC).

Read next: `adapters/monitoring/resources.py`, which measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, select

from adapters.database.schema import RUN, put
from adapters.database.schema_monitoring import RESOURCE
from adapters.database.session import Session
from audit.errors import SuiteError


class Resources(Session):
    """Resources of a transaction."""

    def put_peaks(self, day_at: datetime, measured: Mapping[str, float]) -> None:
        """Keep what was measured on a day where it is more than what was kept."""
        kept = self.peaks(day_at)
        for name, value in measured.items():
            if value > kept.get(name, float("-inf")):
                row = {"day_at": _midnight(day_at), "name": name, "peak": value}
                put(self.connection, RESOURCE, row)

    def peaks(self, day_at: datetime) -> dict[str, float]:
        """Return the greatest value of each resource on a day."""
        query = select(RESOURCE.c.name, RESOURCE.c.peak)
        rows = self.connection.execute(query.where(RESOURCE.c.day_at == _midnight(day_at)))
        return {str(name): float(peak) for name, peak in rows}

    def days(
        self, after: datetime | None, before: datetime, limit: int
    ) -> tuple[tuple[datetime, dict[str, float]], ...]:
        """Return days that are over, oldest first, with their peaks.

        Parameters
        ----------
        after : the last day that is known; None for all.
        before : the present moment; its day is not over.
        """
        query = select(RESOURCE.c.day_at).distinct()
        query = query.where(RESOURCE.c.day_at < _midnight(before))
        if after is not None:
            query = query.where(RESOURCE.c.day_at > after)
        found = self.connection.scalars(query.order_by(RESOURCE.c.day_at).limit(limit)).all()
        return tuple((day, self.peaks(day)) for day in found)

    def queue_age_s(self, now: datetime) -> float:
        """Return for how long the oldest queued run has waited; 0 where none waits."""
        query = select(func.min(RUN.c.opened_at)).where(RUN.c.status == "queued")
        oldest = self.connection.scalar(query)
        return max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0

    def longest_turnaround_s(self, since: datetime) -> float | None:
        """Return the longest time from opening to closing of a run that closed since a moment."""
        query = select(RUN.c.opened_at, RUN.c.closed_at).where(RUN.c.closed_at >= since)
        rows = self.connection.execute(query).all()
        return max(((end - begin).total_seconds() for begin, end in rows), default=None)


def _midnight(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise SuiteError("expected an aware time, found one without a zone")
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
