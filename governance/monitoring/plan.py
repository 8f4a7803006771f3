"""The monitoring plan of a release, as something that runs: `pmm_plan`.

Each item says what is watched (metric, data), against what (window), from when an alarm is raised
(limit: the mean run length A), what follows (action) and who owns it.  An item whose monitor has
not run within its `every_hours` is stopped, and that is an alarm of its own.

    metric      data
    input       acquisition, intensity, geometry, quality, embedding of each study
    rate        share of studies that end as `refused`, `abstained` or `failed`
    agreement   dsc, surface_dice, added_path_length_mm, shift_x_mm ... of each assessed structure
    operations  seconds of a run
    resources   of each day the longest wait, the most memory and disk (a day is one case)
    oversight   accepted, active_seconds, slices_share of each review: do people still look?
    outcome     stated risk against what was found later
    plan        dose_mae_gy, dvh_mae_gy, outside_share ... of each approved plan that came back

Source: Regulation (EU) 2024/1689 Art. 72(3); Regulation (EU) 2017/745 Annex III 1.1; REGULATORY.md
row AIA-72.3.

Read next: `default_plan.py`, then `watch.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from audit.errors import ConfigurationError
from governance.reading import Table

KIND = "pmm_plan"
"""Governed document by release digest; each revision is a change record of the plan."""
ATTACHMENT = "monitoring_plan.json"
SCHEMA = "osteon.pmm_plan/1"
INPUT, RATE, AGREEMENT, OPERATIONS, OUTCOME, RESOURCES, OVERSIGHT, PLANNED = (
    "input", "rate", "agreement", "operations", "outcome", "resources", "oversight", "plan",
)  # fmt: skip
METRICS = (INPUT, RATE, AGREEMENT, OPERATIONS, OUTCOME, RESOURCES, OVERSIGHT, PLANNED)
LABEL_FREE = (INPUT, RATE, OPERATIONS, RESOURCES, OVERSIGHT)
"""Metrics that see no label: never called monitors of performance."""
RELEASE, FIRST, STATED = "release", "first", "stated"
WINDOWS = (RELEASE, FIRST, STATED)
NOTIFY, SUSPEND, ROLLBACK = "notify", "suspend", "ask-rollback"
ACTIONS = (NOTIFY, SUSPEND, ROLLBACK)
OWNERS = ("physicist", "clinician", "engineer", "compliance")
LEAST_FIRST = 20
SCANNER, SITE, STRUCTURE, AGE_BAND, SEX, TUMOUR_SITE = (
    "scanner", "site", "structure", "age_band", "sex", "tumour_site",
)  # fmt: skip
DIMENSIONS = (SCANNER, SITE, STRUCTURE, AGE_BAND, SEX, TUMOUR_SITE)
"""What an item may be split by (`strata.py`)."""
HIGH, LOW = "high", "low"
SIDES = {
    OPERATIONS: {"seconds": HIGH},
    RESOURCES: dict.fromkeys(
        ("queue_age_s", "turnaround_s", "worker_memory_mb", "staging_mb", "outbox_growth_mb"), HIGH
    ),
    OVERSIGHT: {"accepted": HIGH, "active_seconds": LOW, "slices_share": LOW},
    PLANNED: dict.fromkeys(("dose_mae_gy", "dvh_mae_gy", "outside_share"), HIGH),
}
"""On which side a number of a metric is watched; both where it is not named."""
RISK = "risk"
"""Data of an outcome item: the stated probability."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the plan.

    Parameters
    ----------
    data : names that are watched; a name that ends with ``*`` stands for all that start so.
    window : ``release`` (the attached window), ``first`` (the first ``first_cases`` here), or
        ``stated`` for rates, which are held against ``rate``.
    limit : mean run length A in cases of this metric; for rates also ``rate``, the greatest
        share that counts as unchanged.
    decide_days : time in which somebody decides on an alarm of this item.
    horizon_days, grace_days : of an outcome (`labels.py`).
    by : dimensions that the item is split by, all parts under its one limit (`strata.py`).
    """

    name: str
    metric: str
    data: tuple[str, ...]
    window: str
    limit: float
    action: str
    owner: str
    first_cases: int = 60
    rate: float = 0.1
    every_hours: float = 24.0
    decide_days: float = 7.0
    horizon_days: float = 365.0
    grace_days: float = 60.0
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no monitor could run."""
        words = (
            (self.metric, METRICS), (self.window, WINDOWS), (self.action, ACTIONS),
            (self.owner, OWNERS),
        )  # fmt: skip
        wrong = [found for found, known in words if found not in known]
        if not _NAME.fullmatch(self.name):
            wrong.append(self.name[:40])
        if not self.data or self.limit < 1 or self.first_cases < LEAST_FIRST:
            wrong.append("data, limit or first_cases")
        if (self.metric == RATE) != (self.window == STATED):
            wrong.append("a stated window for what is no rate, or another for a rate")
        if self.metric == OUTCOME and (self.window != FIRST or self.data != (RISK,)):
            wrong.append("an outcome that is not the risk against its first cases")
        if self.metric == RESOURCES and self.by:
            wrong.append("a split of what belongs to the whole site")
        if set(self.by) - set(DIMENSIONS) or len(set(self.by)) != len(self.by):
            wrong.append("a dimension that nothing is split by, or one twice")
        if self.by and (self.window == RELEASE or "embedding" in self.data):
            wrong.append("a split of what has one reference for all")
        if self.horizon_days <= 0 or self.grace_days < 0:
            wrong.append("horizon_days or grace_days")
        if not 0 < self.rate < 1 or self.every_hours <= 0 or self.decide_days <= 0:
            wrong.append("rate, every_hours or decide_days")
        if wrong:
            raise ConfigurationError(
                f"expected an item that a monitor can run, found {', '.join(map(str, wrong))}"
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a plugin's release; item names differ."""

    plugin: str
    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        """Refuse an empty plan, and one name for two items."""
        names = [item.name for item in self.items]
        if not names or len(set(names)) != len(names):
            raise ConfigurationError("expected a plan of items with different names")


def encode(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON values; inverse of `decode`."""
    return {"schema": SCHEMA, "plugin": plan.plugin, "items": list(map(stated, plan.items))}


def stated(item: Item) -> dict[str, Any]:
    """Return an item as JSON values; ``by`` stands only where it is split."""
    found = {**asdict(item), "data": list(item.data), "by": list(item.by)}
    return found if item.by else {key: found[key] for key in found if key != "by"}


def decode(document: Mapping[str, Any]) -> Plan:
    """Return the plan of a document; ConfigurationError names what is wrong."""
    table = Table("plan", document).only(("schema", "plugin", "items"))
    if table.text("schema") != SCHEMA or not isinstance(document.get("items"), list):
        raise ConfigurationError(f"expected a plan of schema {SCHEMA} with items")
    items = []
    for index, given in enumerate(document["items"]):
        known = tuple(Item.__dataclass_fields__)
        Table(f"plan.items[{index}]", given).only(known)
        try:
            lists = {key: tuple(map(str, given.get(key, ()))) for key in ("data", "by")}
            items.append(Item(**{**given, **lists}))
        except (TypeError, KeyError) as error:
            raise ConfigurationError(f"expected a whole item at plan.items[{index}]") from error
    return Plan(table.text("plugin"), tuple(items))


def cannot_see(metric: str) -> str:
    """Return what monitors of a metric cannot see, as the page says it."""
    return {
        INPUT: "Sees what comes in and goes out, not whether the result is right: no label.",
        RATE: "Sees how often the release declines or fails, not whether answers are right.",
        AGREEMENT: "Sees what reviewers change; blind where they accept without looking.",
        OPERATIONS: "Sees time and failures, nothing of the results.",
        RESOURCES: "Sees how much the site uses, a day late; nothing of the results.",
        OVERSIGHT: "Sees that people accept more and look less, not whether they are wrong to.",
        PLANNED: "Sees approved plans that came back with their dose; blind to the rest.",
        OUTCOME: "Sees patients whose outcome was reported; months late, blind to the rest.",
    }[metric]
