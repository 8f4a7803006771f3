"""What runs produced: documents, the UIDs that they carry, statistics.

The own UIDs are how the feed knows the suite's objects when they come back as changes:
by recorded UID, not by description.

Read next: `delivery.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, select

from adapters.database.schema import DOCUMENT, OWN_INSTANCE, RUN_STATISTICS, put, put_if_absent
from adapters.database.session import Session
from plugins.host.ports import Document

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class StatisticsRow:
    """The statistics of one run as JSON text, with the digest that its record names."""

    run_id: str
    release_digest: str
    statistics: str
    digest: str


class Documents(Session):
    """Documents, own UIDs and statistics of a transaction."""

    def put_documents(self, run_id: str, documents: Iterable[Document]) -> None:
        """Keep the documents of a run in place of those kept before."""
        self.connection.execute(delete(DOCUMENT).where(DOCUMENT.c.run_id == run_id))
        rows = [
            {
                "run_id": run_id,
                "number": number,
                "kind": item.kind,
                "path": str(item.path),
                "content_digest": item.content_digest,
                "sop_class_uid": item.sop_class_uid,
                "sop_instance_uid": item.sop_instance_uid,
                "series_instance_uid": item.series_instance_uid,
                "study_instance_uid": item.study_instance_uid,
                "notes": json.dumps(list(item.notes)),
            }
            for number, item in enumerate(documents)
        ]
        if rows:
            self.connection.execute(DOCUMENT.insert(), rows)

    def documents(self, run_id: str) -> tuple[Document, ...]:
        """Return the documents of a run in the order in which they were composed."""
        query = select(DOCUMENT).where(DOCUMENT.c.run_id == run_id).order_by(DOCUMENT.c.number)
        return tuple(
            Document(
                kind=row.kind,
                path=Path(row.path),
                content_digest=row.content_digest,
                sop_class_uid=row.sop_class_uid,
                sop_instance_uid=row.sop_instance_uid,
                series_instance_uid=row.series_instance_uid,
                study_instance_uid=row.study_instance_uid,
                notes=tuple(json.loads(row.notes)),
            )
            for row in self.connection.execute(query)
        )

    def add_own_uids(self, run_id: str, uids: Iterable[tuple[str, str, str]]) -> None:
        """Keep (SOP instance, series instance, study instance) UIDs that a run writes."""
        for sop_instance_uid, series_instance_uid, study_instance_uid in uids:
            row = {
                "sop_instance_uid": sop_instance_uid,
                "series_instance_uid": series_instance_uid,
                "study_instance_uid": study_instance_uid,
                "run_id": run_id,
            }
            put_if_absent(self.connection, OWN_INSTANCE, row)

    def own_sop_uids(self, candidates: Iterable[str]) -> set[str]:
        """Return those of the SOP Instance UIDs that the suite wrote."""
        asked = list(candidates)
        found: set[str] = set()
        for start in range(0, len(asked), _CHUNK):
            part = asked[start : start + _CHUNK]
            query = select(OWN_INSTANCE.c.sop_instance_uid).where(
                OWN_INSTANCE.c.sop_instance_uid.in_(part)
            )
            found.update(self.connection.scalars(query))
        return found

    def own_series_uids(self, study_instance_uid: str) -> set[str]:
        """Return the Series Instance UIDs that the suite wrote into a study."""
        query = select(OWN_INSTANCE.c.series_instance_uid).where(
            OWN_INSTANCE.c.study_instance_uid == study_instance_uid
        )
        return set(self.connection.scalars(query))

    def put_statistics(
        self, run_id: str, release_digest: str, statistics: str, digest: str
    ) -> None:
        """Keep the statistics of a run as JSON text."""
        row = {
            "run_id": run_id,
            "release_digest": release_digest,
            "statistics": statistics,
            "digest": digest,
        }
        put(self.connection, RUN_STATISTICS, row)

    def statistics(
        self, run_id: str | None = None, release_digest: str | None = None
    ) -> tuple[StatisticsRow, ...]:
        """Return the statistics of a run, of a release, or of all, by run id."""
        query = select(RUN_STATISTICS).order_by(RUN_STATISTICS.c.run_id)
        if run_id is not None:
            query = query.where(RUN_STATISTICS.c.run_id == run_id)
        if release_digest is not None:
            query = query.where(RUN_STATISTICS.c.release_digest == release_digest)
        return tuple(StatisticsRow(**row._mapping) for row in self.connection.execute(query))
