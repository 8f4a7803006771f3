"""Labelled performance of a release over time, for its page and its reports.

Read next: `governance/monitoring/performance.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.monitoring.reading import arrivals
from governance.monitoring.labels import Arrivals
from governance.monitoring.performance import Block, blocks
from governance.monitoring.plan import OUTCOME, Plan

if TYPE_CHECKING:
    from adapters.database import Transaction


@dataclass(frozen=True, slots=True)
class Performance:
    """What the outcomes of one item of the plan show, and how many they are."""

    item: str
    arrivals: Arrivals
    blocks: tuple[Block, ...]


def performance_of(
    transaction: Transaction,
    release_digest: str,
    plan: Plan,
    now: datetime,
    files: Collection[str] | None = None,
) -> tuple[Performance, ...]:
    """Return the blocks of every outcome item of a plan.

    Parameters
    ----------
    now : outcomes that entered until then count.
    files : digests of the imports that count; all without.
    """
    found = []
    for item in plan.items:
        if item.metric != OUTCOME:
            continue
        told = arrivals(transaction, release_digest, item, now, files)
        stated = [case.probability for case in told.cases]
        labels = [case.label for case in told.cases]
        found.append(Performance(item.name, told, blocks(stated, labels)))
    return tuple(found)
