"""Trends: how often something happened by month, against the limit that was set beforehand.

The months are for people to look at, each with its exact interval.  Whether the frequency has
risen is decided by the sequential test of the plan's item (`rates.py`), folded over all cases in
their order, at the item's own run length: a significant increase is an alarm of it, and the month
is that of the case at which it came.  Where no limit was set beforehand nothing is decided.

Source: Regulation (EU) 2017/745 Art. 88 (statistically significant increase in the frequency or
severity; methodology specified in the plan); Clopper and Pearson 1934.

Read next: `periodic.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from governance.monitoring.rates import Rate
from governance.monitoring.sums import Sums, evidence, follow, threshold
from governance.oversight.rates import rate


@dataclass(frozen=True, slots=True)
class Limit:
    """What the plan stated beforehand of a rate.

    Parameters
    ----------
    item : of the plan.
    share : of the item's bound that this rate has.
    """

    item: str
    rate: float
    run_length: float
    share: float


def trend(name: str, happened: Sequence[tuple[str, bool]], limit: Limit | None) -> dict[str, Any]:
    """Return the months of something that happened or not, and the verdict of the plan's test.

    Parameters
    ----------
    happened : (month ``YYYY-MM``, whether) of each case, in order.

    Examples
    --------
    >>> found = trend("failed", [("2026-01", True)] * 9, Limit("failures", 0.05, 2000.0, 1.0))
    >>> found["risen_in"], found["months"][0]["k"]
    ('2026-01', 9)
    """
    months = {
        month: rate(sum(hit for at, hit in happened if at == month),
                    sum(at == month for at, _ in happened))
        for month in sorted({at for at, _ in happened})
    }  # fmt: skip
    found: dict[str, Any] = {
        "name": name,
        "n": len(happened),
        "k": sum(hit for _, hit in happened),
        "months": [{"month": month, **asdict(value)} for month, value in months.items()],
        "limit": None if limit is None else asdict(limit),
        "risen_in": "",
        "after_case": 0,
        "of_threshold": 0.0,
    }
    return found if limit is None else {**found, **_verdict(happened, limit)}


def _verdict(happened: Sequence[tuple[str, bool]], limit: Limit) -> Mapping[str, Any]:
    detector, at = Rate(limit.rate), threshold(limit.run_length, limit.share)
    sums, most = Sums.start(len(detector.weights)), 0.0
    for number, (month, hit) in enumerate(happened, 1):
        sums = follow(detector, sums, float(hit))
        most = max(most, evidence(detector, sums) / at)
        if most >= 1:
            return {"risen_in": month, "after_case": number, "of_threshold": most}
    return {"of_threshold": most}
