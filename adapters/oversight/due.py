"""Which results nobody has assessed yet.

Read next: `acts.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from adapters.database import Transaction

WINDOW = timedelta(days=14)
LOOKED_AT = 200


def waiting_for_review(transaction: Transaction, now: datetime) -> tuple[int, bool]:
    """Return how many of the newest results of a fortnight nobody assessed, and whether more wait.

    At most `LOOKED_AT` results are looked at, so that the answer costs the same every day.
    """
    rows = transaction.runs_before(status="done", limit=LOOKED_AT)
    recent = [row for row in rows if row.opened_at > now - WINDOW and row.superseded_by is None]
    assessed = transaction.assessed_runs([row.run_id for row in recent])
    return sum(row.run_id not in assessed for row in recent), len(recent) == LOOKED_AT
