"""Real plans beside predicted doses, as monitors and pages read them.

Read next: `governance/oversight/plans.py`, `adapters/oversight/plans.py`.
"""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import and_, or_, select

from adapters.database.schema_workspace import PLAN_COMPARISON
from adapters.database.session import Session
from governance.oversight.plans import PlanComparison, decode, encode


class PlanComparisons(Session):
    """Comparisons of a transaction."""

    def put_plan_comparison(self, item: PlanComparison, release_digest: str) -> None:
        """Keep a comparison of a run of this release."""
        self.connection.execute(
            PLAN_COMPARISON.insert().values(
                comparison_id=item.comparison_id,
                run_id=item.run_id,
                release_digest=release_digest,
                found_at=item.found_at,
                content=json.dumps(encode(item), sort_keys=True),
            )
        )

    def plan_comparisons_of(self, run_id: str) -> tuple[PlanComparison, ...]:
        """Return the comparisons of a run, oldest first."""
        query = select(PLAN_COMPARISON.c.content).where(PLAN_COMPARISON.c.run_id == run_id)
        query = query.order_by(PLAN_COMPARISON.c.found_at, PLAN_COMPARISON.c.comparison_id)
        return tuple(decode(json.loads(text)) for text in self.connection.scalars(query))

    def plan_comparisons_after(
        self, release_digest: str, after: tuple[datetime | None, str], limit: int = 500
    ) -> tuple[PlanComparison, ...]:
        """Return the comparisons of a release in order of finding, after a cursor."""
        moment, key = after
        query = select(PLAN_COMPARISON.c.content).where(
            PLAN_COMPARISON.c.release_digest == release_digest
        )
        if moment is not None:
            at, name = PLAN_COMPARISON.c.found_at, PLAN_COMPARISON.c.comparison_id
            query = query.where(or_(at > moment, and_(at == moment, name > key)))
        query = query.order_by(PLAN_COMPARISON.c.found_at, PLAN_COMPARISON.c.comparison_id)
        rows = self.connection.scalars(query.limit(limit))
        return tuple(decode(json.loads(text)) for text in rows)
