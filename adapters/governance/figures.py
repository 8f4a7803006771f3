"""The figures of a release under test since it came into its present state.

Read next: `governance/agreement.py`.
"""

from __future__ import annotations

from typing import Any

from adapters.database import Transaction
from adapters.database.runs import CLOSED_STATUSES
from governance.agreement import encode, summarise
from governance.ports import Deployment

ENDED = tuple(status for status in CLOSED_STATUSES if status != "discarded")


def figures_of(transaction: Transaction, item: Deployment) -> dict[str, Any]:
    """Return how a release did since it came into its state, as JSON values.

    Returns
    -------
    ``against``: the release that is active now, empty where none is; ``runs`` that ended and
    ``failures`` among them; ``agreement`` with that release (`governance.agreement`).
    """
    active = [
        other.release_digest
        for other in transaction.deployments(item.plugin)
        if other.site == item.site and other.state == "active"
    ]
    against = active[0] if active else ""
    counts = transaction.run_outcomes(item.release_digest, item.since)
    pairs = [
        row.pair
        for row in transaction.comparisons(item.release_digest, item.since)
        if row.against_digest == against
    ]
    return {
        "state": item.state,
        "since": item.since.isoformat(),
        "against": against,
        "runs": sum(counts.get(status, 0) for status in ENDED),
        "failures": counts.get("failed", 0),
        "agreement": encode(summarise(pairs)),
    }
