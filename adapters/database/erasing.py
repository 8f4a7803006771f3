"""Erasing a patient's identifiers from the site database; the runs themselves stay.

What is left of a run is what the audit log knows of it: release, times, outcome, numbers.

Read next: `adapters/keeping/erasing.py`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, select, update

from adapters.database.runs import OPEN_STATUSES
from adapters.database.schema import DELIVERY, DOCUMENT, OWN_INSTANCE, RUN, STUDY
from adapters.database.schema_workspace import BREAK_GLASS, REVIEW_LOOK, REVIEWED_OBJECT
from adapters.database.session import Session

ERASED = "erased"
_EMPTY: dict[str, Any] = {
    "study_instance_uid": "",
    "series": {},
    "sop_instance_uids": [],
    "seed_point_mm": None,
    "prescription": None,
}


class Erasing(Session):
    """Erasure in a transaction."""

    def runs_of_studies(self, study_instance_uids: Iterable[str]) -> tuple[tuple[str, bool], ...]:
        """Return (run id, whether it is open) of every run on these studies."""
        query = select(RUN.c.run_id, RUN.c.status).where(
            RUN.c.study_instance_uid.in_(list(study_instance_uids))
        )
        rows = self.connection.execute(query.order_by(RUN.c.run_id))
        return tuple((str(run_id), status in OPEN_STATUSES) for run_id, status in rows)

    def erase_identifiers(self, study_instance_uids: Iterable[str], run_ids: Iterable[str]) -> int:
        """Remove every identifier of these studies; return how many rows lost some.

        Runs of one study keep a common mark that says nothing.
        """
        runs, rows = list(run_ids), 0
        for study in study_instance_uids:
            rows += self._erase_requests(study, f"erased-{secrets.token_hex(8)}")
            for table in (STUDY, REVIEW_LOOK, OWN_INSTANCE):
                of_study = table.c.study_instance_uid == study
                rows += self.connection.execute(delete(table).where(of_study)).rowcount
        for table in (DOCUMENT, DELIVERY, OWN_INSTANCE, REVIEWED_OBJECT):
            rows += self.connection.execute(delete(table).where(table.c.run_id.in_(runs))).rowcount
        return rows

    def erase_reasons(self, pseudonym: str) -> int:
        """Remove why persons looked behind a pseudonym: free text may name the patient."""
        of_patient = BREAK_GLASS.c.pseudonym == pseudonym
        change = update(BREAK_GLASS).where(of_patient, BREAK_GLASS.c.reason != ERASED)
        return self.connection.execute(change.values(reason=ERASED)).rowcount

    def _erase_requests(self, study: str, mark: str) -> int:
        query = select(RUN.c.run_id, RUN.c.request).where(RUN.c.study_instance_uid == study)
        found = self.connection.execute(query).all()
        for run_id, request in found:
            values = json.loads(request)
            left = {key: item for key, item in _EMPTY.items() if key in values}
            left["study_instance_uid"] = mark
            self.connection.execute(
                update(RUN)
                .where(RUN.c.run_id == run_id)
                .values(study_instance_uid=mark, request=json.dumps(values | left, sort_keys=True))
            )
        return len(found)
