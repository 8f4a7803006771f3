"""Refusals that something outside would lift: when each is looked at again, and where.

A study of which something came is looked at at once, others ever more rarely: each poll
interval in the first hour of waiting, 24 times as rarely after a day.  Everything follows
from what lies in the archive and on servers, so a crash anywhere only means another look.

Read next: `seeds/finder.py`, `prescriptions/finder.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from adapters.database import Database
from adapters.database.runs import RunRow
from adapters.pacs import Pacs
from adapters.registry import ReleaseRegistry
from audit.errors import NotFoundError, SuiteError

OBJECTS_LIMIT = 64
"""Most objects of one study that are looked into; a study with more is no place to leave one."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RefusalWatch:
    """Chooses the refusals that are due for a look.

    Parameters
    ----------
    archives : those whose studies trigger runs.
    codes : beginnings of the reasons that are watched.
    """

    database: Database
    archives: Mapping[str, Pacs]
    releases: ReleaseRegistry
    codes: tuple[str, ...]
    poll_interval_s: float
    patience_days: float
    now: Callable[[], datetime]
    _looked: dict[str, tuple[object, datetime]] = field(default_factory=dict)

    def look(self, look_for: Callable[[RunRow], list[str]]) -> tuple[str, ...]:
        """Look for what lifts each refusal that is due; return the ids of what was queued."""
        queued: list[str] = []
        since = self.now() - timedelta(days=self.patience_days)
        with self.database.reading() as transaction:
            waiting = transaction.refused_for(self.codes, since)
        for run_id in self._looked.keys() - {item[0] for item in waiting}:
            del self._looked[run_id]
        for run_id, opened_at, seen in waiting:
            if not self._is_due(run_id, opened_at, seen):
                continue
            try:
                row = self._answerable(run_id)
                queued += [] if row is None else look_for(row)
            except SuiteError as error:  # one archive or server must not hold up the others
                _log.warning("refusal not looked at", run_id=run_id, code=error.code)
            self._looked[run_id] = (seen, self.now())
        return tuple(queued)

    def _answerable(self, run_id: str) -> RunRow | None:
        """Return a refusal that could run again now; None where its release or archive could not,
        or where a run in its place is at work."""
        with self.database.reading() as transaction:
            row = transaction.run(run_id)
            if row is None or row.pacs not in self.archives or transaction.has_open_successor(row):
                return None
            return row if self.releases.may_run(transaction, row.request) else None

    def _is_due(self, run_id: str, opened_at: datetime, seen: object) -> bool:
        before, looked_at = self._looked.get(run_id, (None, None))
        if looked_at is None or before != seen:
            return True
        waited_h = (self.now() - opened_at).total_seconds() / 3600
        age_s = (self.now() - looked_at).total_seconds()
        return age_s >= self.poll_interval_s * max(1.0, waited_h)


def foreign_objects(
    database: Database, pacs: Pacs, study_instance_uid: str, modalities: Collection[str]
) -> Iterator[bytes]:
    """Yield the objects of a study that are of these modalities and that this suite did not
    write, at most `OBJECTS_LIMIT`."""
    references = [
        reference
        for series in pacs.search_series(study_instance_uid)
        if series.modality in modalities
        for reference in pacs.search_instances(study_instance_uid, series.series_instance_uid)
    ]
    with database.reading() as transaction:
        ours = transaction.own_sop_uids(item.sop_instance_uid for item in references)
    others = [item for item in references if item.sop_instance_uid not in ours]
    for reference in others[:OBJECTS_LIMIT]:
        try:
            yield pacs.retrieve_instance(reference)
        except NotFoundError:  # gone since the search
            continue
