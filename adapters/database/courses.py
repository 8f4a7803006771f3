"""Which release made results for which patient, by pseudonym; and how far releases agree.

Read next: `governance/canary.py`, `governance/agreement.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, or_, select

from adapters.database.runs import CLOSED_STATUSES, RunRow, Runs
from adapters.database.schema import COMPARISON, COURSE, RUN, insert, put
from governance.agreement import Pair
from governance.canary import CourseRow


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """How a release's run compares with that of the release it is measured against."""

    run_id: str
    against_run_id: str
    release_digest: str
    against_digest: str
    pair: Pair
    compared_at: datetime


class Courses(Runs):
    """Courses of patients and comparisons of runs, of a transaction."""

    def note_course(self, plugin: str, pseudonym: str, release_digest: str, at: datetime) -> None:
        """Note that a release made a result for a patient."""
        values = {
            "plugin": plugin, "pseudonym": pseudonym, "release_digest": release_digest,
            "first_at": at, "last_at": at,
        }  # fmt: skip
        statement = insert(self.connection, COURSE).values(**values)
        keys = ["plugin", "pseudonym", "release_digest"]
        self.connection.execute(
            statement.on_conflict_do_update(index_elements=keys, set_={"last_at": at})
        )

    def courses(self, plugin: str, pseudonym: str) -> tuple[CourseRow, ...]:
        """Return when which release made results for a patient."""
        query = select(COURSE.c.release_digest, COURSE.c.first_at, COURSE.c.last_at).where(
            COURSE.c.plugin == plugin, COURSE.c.pseudonym == pseudonym
        )
        return tuple(CourseRow(*row) for row in self.connection.execute(query))

    def patients_on(self, plugin: str, release_digest: str, since: datetime) -> int:
        """Return how many patients have results of a release since a moment."""
        query = select(func.count()).where(
            COURSE.c.plugin == plugin,
            COURSE.c.release_digest == release_digest,
            COURSE.c.last_at >= since,
        )
        return int(self.connection.scalar(query) or 0)

    def any_course(self, since: datetime) -> bool:
        """Return whether any patient has a result since a moment."""
        return bool(self.connection.scalar(select(exists().where(COURSE.c.last_at >= since))))

    def put_comparison(self, row: ComparisonRow) -> None:
        """Keep how two runs compare; again replaces it by the same."""
        put(
            self.connection,
            COMPARISON,
            {
                "run_id": row.run_id,
                "against_run_id": row.against_run_id,
                "release_digest": row.release_digest,
                "against_digest": row.against_digest,
                "outcome": row.pair.outcome,
                "findings": json.dumps(dict(row.pair.findings), sort_keys=True),
                "subgroup": row.pair.subgroup,
                "compared_at": row.compared_at,
            },
        )

    def comparisons(self, release_digest: str, since: datetime) -> tuple[ComparisonRow, ...]:
        """Return the comparisons of a release's runs since a moment, oldest first."""
        query = select(COMPARISON).where(
            COMPARISON.c.release_digest == release_digest, COMPARISON.c.compared_at >= since
        )
        order = (COMPARISON.c.compared_at, COMPARISON.c.run_id)
        rows = self.connection.execute(query.order_by(*order))
        return tuple(
            ComparisonRow(
                row.run_id,
                row.against_run_id,
                row.release_digest,
                row.against_digest,
                Pair(row.outcome, json.loads(row.findings), row.subgroup),
                row.compared_at,
            )
            for row in rows
        )

    def uncompared(self, plugin: str, since: datetime) -> tuple[RunRow, ...]:
        """Return the shadow runs of a plugin that have ended, not yet compared, oldest first."""
        compared = exists().where(
            or_(COMPARISON.c.run_id == RUN.c.run_id, COMPARISON.c.against_run_id == RUN.c.run_id)
        )
        query = select(RUN).where(
            RUN.c.plugin == plugin,
            RUN.c.mode == "shadow",
            RUN.c.opened_at >= since,
            RUN.c.status.in_(CLOSED_STATUSES),
            RUN.c.status != "discarded",
            ~compared,
        )
        return self._select(query.order_by(RUN.c.opened_at, RUN.c.run_id))

    def run_outcomes(self, release_digest: str, since: datetime) -> Mapping[str, int]:
        """Return how many runs of a release since a moment are in each status."""
        query = (
            select(RUN.c.status, func.count())
            .where(RUN.c.release_digest == release_digest, RUN.c.opened_at >= since)
            .group_by(RUN.c.status)
        )
        return {str(status): int(count) for status, count in self.connection.execute(query)}
