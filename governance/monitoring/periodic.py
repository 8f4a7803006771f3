"""The periodic reports of a release, out of one set of facts: PSUR, trend report, Art. 72.

    psur          use, population, incidents, acts, agreement, outcomes, alarms    MDR Art. 86
    trend         frequencies by month against limits set beforehand              MDR Art. 88
    post-market   rates, alarms, chains, agreement, outcomes, charts, the plan
                  and what it cannot see                                           AI Act Art. 72

`facts` are JSON values; `report` lays them out.  Both are functions of their arguments alone, so
that the same log gives the same bytes.  What people have to judge (benefit and risk, the need to
act) is not written by software: the PSUR is a data pack and says so.

Source: Regulation (EU) 2024/1689 Art. 72; Regulation (EU) 2017/745 Art. 83 to 88, Annex III;
REGULATORY.md row MDR-PMS; Clopper and Pearson 1934.

Read next: `report_sections.py`; `adapters/monitoring/reporting.py`, which reads the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from governance.monitoring import fatigue as weights
from governance.monitoring import plan as plans
from governance.monitoring import report_sections as sections
from governance.monitoring.fatigue import Fatigue
from governance.monitoring.plan import RATE, Plan
from governance.monitoring.trend import Limit, trend
from governance.oversight.rates import rate
from governance.report import Code, Notice, Report, Section, Status

SCHEMA = "osteon.pms_report/2"
PSUR, TREND, POST_MARKET = "psur", "trend", "post-market"
KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    PSUR: (
        "Periodic safety update: data pack",
        ("months", "subjects", "rates", "incidents", "acts", "agreement", "performance", "alarms",
         "fatigue", "plan"),
    ),
    TREND: ("Trend report", ("trends", "incidents", "acts", "alarms", "fatigue", "plan")),
    POST_MARKET: (
        "Post-market monitoring report",
        ("rates", "alarms", "fatigue", "chain", "agreement", "performance", "numbers", "plan"),
    ),
}  # fmt: skip
"""Title of each report, and which facts stand in it."""
OVERRIDE = "override"
"""A result was rejected, or edited with consequence (`governance/oversight/rates.py`)."""
LEAST_CELL = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the log says of a release, in its order.

    Parameters
    ----------
    runs : (month, how it ended) of each run.
    overrides : (month, whether) of each review that was decided.
    figures : by structure and name.
    numbers : of the studies by name.
    subjects : how many runs each group had, by group and value.
    incidents : severity and state of each incident as it last was.
    acts : what was done about the release: at, action, from, to, role.
    """

    runs: Sequence[tuple[str, str]]
    alarms: Sequence[Mapping[str, Any]]
    fatigue: Fatigue
    figures: Mapping[str, Mapping[str, Sequence[float]]]
    numbers: Mapping[str, Sequence[float]]
    overrides: Sequence[tuple[str, bool]] = ()
    subjects: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    incidents: Sequence[tuple[str, str]] = ()
    acts: Sequence[Mapping[str, str]] = ()
    chain: Sequence[Mapping[str, Any]] = ()
    performance: Sequence[Mapping[str, Any]] = ()


def facts(
    about: Mapping[str, Any], plan: Plan, found: Evidence, kind: str = POST_MARKET
) -> dict[str, Any]:
    """Return the facts of a report as JSON values.

    Parameters
    ----------
    about : site, plugin, release digest, size and root hash of the log, time of its last record.
    kind : one of `KINDS`.
    """
    every = {
        "rates": _rates(plan, found),
        "months": _months(found),
        "trends": _trends(plan, found),
        "subjects": {name: _grouped(counts) for name, counts in sorted(found.subjects.items())},
        "incidents": [
            {"severity": severity, "state": state, "count": count}
            for (severity, state), count in sorted(Counter(found.incidents).items())
        ],
        "acts": [dict(act) for act in found.acts],
        "alarms": [_nameless(item) for item in found.alarms],
        "fatigue": weights.document(found.fatigue),
        "agreement": {
            structure: {name: _summary(values) for name, values in sorted(by_name.items())}
            for structure, by_name in sorted(found.figures.items())
        },
        "numbers": {name: list(values) for name, values in sorted(found.numbers.items())},
        "chain": [dict(one) for one in found.chain],
        "performance": [dict(one) for one in found.performance],
        "plan": plans.encode(plan),
    }
    _, parts = KINDS[kind]
    kept = {name: every[name] for name in parts}
    return {"schema": SCHEMA, "kind": kind, **about, "runs": len(found.runs), **kept}


def _rates(plan: Plan, found: Evidence) -> list[dict[str, Any]]:
    limits = _limits(plan)
    statuses = [status for _, status in found.runs]
    told = []
    for name in sorted({*statuses, *limits}):
        value = rate(sum(status == name for status in statuses), len(statuses))
        limit = limits[name].rate if name in limits else None
        told.append({"name": name, **asdict(value), "limit": limit})
    return told


def _limits(plan: Plan) -> dict[str, Limit]:
    """Return what the plan stated of each rate as a whole; items that are split do not count."""
    return {
        name: Limit(item.name, item.rate, item.limit, 1 / len(item.data))
        for item in plan.items
        if item.metric == RATE and not item.by
        for name in item.data
    }


def _months(found: Evidence) -> list[dict[str, Any]]:
    rows = []
    for month in sorted({at for at, _ in found.runs}):
        ends = [status for at, status in found.runs if at == month]
        done = ends.count("done")
        rows.append({"month": month, "n": len(ends), "done": done, "other": len(ends) - done})
    return rows


def _trends(plan: Plan, found: Evidence) -> list[dict[str, Any]]:
    limits = _limits(plan)
    told = [
        trend(name, [(month, status == name) for month, status in found.runs], limit)
        for name, limit in sorted(limits.items())
        if name != "done"
    ]
    return [*told, trend(OVERRIDE, found.overrides, None)] if found.overrides else told


def _grouped(counts: Mapping[str, int]) -> dict[str, int | str]:
    """Return counts by value; values of few runs stand together."""
    kept: dict[str, int | str] = {n: c for n, c in sorted(counts.items()) if c >= LEAST_CELL}
    rest = sum(count for count in counts.values() if count < LEAST_CELL)
    if rest:
        kept["others"] = rest if rest >= LEAST_CELL else f"fewer than {LEAST_CELL}"
    return kept


def _nameless(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """Return an alarm without the accounts of who was told and who took it up."""
    kept = {key: value for key, value in alarm.items() if key != "acknowledged_by"}
    steps = [{key: step[key] for key in ("step", "at")} for step in alarm.get("told", ())]
    return {**kept, "told": steps}


def _summary(values: Sequence[float]) -> dict[str, float]:
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return {"n": len(values), "median": median, "q1": low, "q3": high}


def report(content: Mapping[str, Any]) -> Report:
    """Return the report that the facts make."""
    log, kind = content["log"], str(content["kind"])
    open_count = sum(item["state"] == "open" for item in content["alarms"])
    standing = Status(f"{open_count} open", "bad") if open_count else Status("none open", "good")
    return Report(
        str(content["plugin"]),
        KINDS[kind][0],
        "en",
        (
            ("Release", Code(str(content["release_digest"]))),
            ("Site", str(content["site"])),
            ("Log", f"{log['size']} records until {log['until']}"),
            ("Period", f"from record {log['after'] + 1}, {content['runs']} runs closed"),
            ("Root hash of the log", Code(str(log["root_hash"]))),
        ),
        _laid_out(kind, content),
        standing,
    )


def _laid_out(kind: str, content: Mapping[str, Any]) -> tuple[Section, ...]:
    plan = sections.plan_section(plans.decode(content["plan"]))
    if kind == TREND:
        return (sections.trends(content), sections.incidents(content), sections.alarms(content),
                plan)  # fmt: skip
    if kind == PSUR:
        words = (
            "These are the data. The conclusion on benefit and risk, and what follows from it, is "
            "written by the person responsible for regulatory compliance."
        )
        return (
            Section("What this is", (Notice(words),), key="purpose"),
            sections.usage(content), sections.rates(content), sections.incidents(content),
            sections.agreement(content), *sections.performance(content["performance"]),
            sections.alarms(content), plan,
        )  # fmt: skip
    return (
        sections.rates(content), sections.alarms(content), sections.chain(content["chain"]),
        sections.agreement(content), *sections.performance(content["performance"]),
        sections.charts(content["numbers"]), plan,
    )  # fmt: skip
