"""The cursor over Orthanc's change log, and what its dates mean to us.

A cursor is ``NUMBER@DATE`` of the last change that was seen.  The date tells an archive
that was set up anew (numbers start again, dates go on) from one whose last entries went
with a deleted study (numbers go back, dates too).

Read next: `pacs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from audit.errors import RejectedError


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where we stand in the change log; ``date`` is as Orthanc writes it, in UTC."""

    number: int = 0
    date: str = ""

    def encode(self) -> str:
        """Return the cursor as text; inverse of `decode`."""
        return f"{self.number}@{self.date}"

    @classmethod
    def decode(cls, text: str | None) -> Cursor:
        """Return the cursor that ``text`` holds; None is the beginning."""
        if text is None:
            return cls()
        number, _, date = text.partition("@")
        if not number.isdigit():
            raise RejectedError("expected a cursor of an Orthanc, found another text")
        return cls(int(number), date)


def is_another_archive(cursor: Cursor, last: Cursor) -> bool:
    """Say whether the change log began anew since ``cursor`` was taken.

    ``last`` is the newest entry of a log that holds nothing after the cursor.  Numbers of
    one log only grow, so a smaller number with a later date is of another log.
    """
    return 0 < last.number < cursor.number and last.date > cursor.date


def arrival(date: str, now: datetime, polled_at: datetime | None) -> datetime:
    """Return when a change happened, by our clock.

    Orthanc's clock may differ from ours.  What the previous poll at ``polled_at`` did not
    show came after it, and nothing came after ``now``; between the two its date counts.
    """
    try:
        stated = datetime.strptime(date, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        stated = now
    return min(now, max(stated, polled_at or stated))
