"""The periodic report of a release: one set of facts, for PSUR, trend report and Art. 72.

    runs         how they ended, each rate with exact interval and the rate of the plan  MDR Art. 88
    alarms       what was raised, who decided what, how long it took         AI Act Art. 72, 9(2)(c)
    agreement    what reviewers changed, by structure                        AI Act Art. 72(2)
    charts       numbers of the studies with control limits                  AI Act Art. 72(2)
    plan         what is watched, and what each metric cannot see            AI Act Art. 72(3)

`facts` are JSON values; `report` lays them out.  Both are functions of their arguments alone, so
that the same log gives the same bytes.

Source: Regulation (EU) 2024/1689 Art. 72; Regulation (EU) 2017/745 Art. 83 to 88, Annex III;
Clopper and Pearson 1934.

Read next: `adapters/monitoring/reporting.py`, which reads the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from governance.monitoring import plan as plans
from governance.monitoring.charts import FIRST_CASES, chart
from governance.monitoring.plan import LABEL_FREE, RATE, Plan, cannot_see
from governance.monitoring.reevaluation import Fatigue
from governance.oversight.rates import rate
from governance.report import (
    Bullets,
    Code,
    Column,
    Notice,
    Number,
    Paragraph,
    Plot,
    Report,
    Section,
    Series,
    Status,
    Table,
)

SCHEMA = "osteon.pms_report/1"
CHARTED = 12
"""Charts that a report draws at most; the facts hold every number."""
_NOT_ENOUGH = f"fewer than {FIRST_CASES} cases"


def facts(
    about: Mapping[str, Any],
    plan: Plan,
    statuses: Sequence[str],
    alarms: Sequence[Mapping[str, Any]],
    fatigue: Fatigue,
    figures: Mapping[str, Mapping[str, Sequence[float]]],
    numbers: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """Return the facts of a report as JSON values.

    Parameters
    ----------
    about : site, plugin, release digest, size and root hash of the log, time of its last record.
    statuses : how each run ended.
    figures : by structure and name, in order of the log.
    numbers : of the studies by name, in order of the log.
    """
    limits = {name: item.rate for item in plan.items if item.metric == RATE for name in item.data}
    n = len(statuses)
    rates = []
    for name in sorted(set(statuses) | set(limits)):
        found = rate(sum(status == name for status in statuses), n)
        rates.append({"name": name, **asdict(found), "limit": limits.get(name)})
    return {
        "schema": SCHEMA,
        **about,
        "runs": n,
        "rates": rates,
        "alarms": [dict(item) for item in alarms],
        "fatigue": {**asdict(fatigue), "false_share": fatigue.false_share},
        "agreement": {
            structure: {name: _summary(values) for name, values in sorted(found.items())}
            for structure, found in sorted(figures.items())
        },
        "numbers": {name: list(values) for name, values in sorted(numbers.items())},
        "plan": plans.encode(plan),
    }


def _summary(values: Sequence[float]) -> dict[str, float]:
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return {"n": len(values), "median": median, "q1": low, "q3": high}


def report(content: Mapping[str, Any]) -> Report:
    """Return the report that the facts make."""
    log = content["log"]
    open_count = sum(item["state"] == "open" for item in content["alarms"])
    standing = Status(f"{open_count} open", "bad") if open_count else Status("none open", "good")
    return Report(
        str(content["plugin"]),
        "Post-market monitoring report",
        "en",
        (
            ("Release", Code(str(content["release_digest"]))),
            ("Site", str(content["site"])),
            ("Log", f"{log['size']} records until {log['until']}"),
            ("Root hash of the log", Code(str(log["root_hash"]))),
        ),
        (
            _rates(content),
            _alarms(content),
            _agreement(content),
            _charts(content["numbers"]),
            _plan(plans.decode(content["plan"])),
        ),
        standing,
    )


def _rates(content: Mapping[str, Any]) -> Section:
    rows = tuple(
        (
            item["name"],
            str(item["k"]),
            str(item["n"]),
            _share(item),
            "" if item["limit"] is None else f"{100 * item['limit']:g} %",
        )
        for item in content["rates"]
    )
    table = Table(
        "How runs ended",
        (Column("End"), Column("Runs"), Column("Of"), Column("Share", "%"), Column("Plan")),
        rows,
        "Clopper-Pearson, 95 %. The plan's share is what its monitor counts as unchanged.",
    )
    return Section("Rates and trend", (table,), key="rates")


def _share(item: Mapping[str, Any]) -> Number | str:
    if item["value"] is None or item["lower"] is None or item["upper"] is None:
        return "–"
    return Number(100 * item["value"], 1, 100 * item["lower"], 100 * item["upper"])


def _alarms(content: Mapping[str, Any]) -> Section:
    rows = tuple(
        (
            item["item"], item["reason"], item["owner"], item["opened_at"][:10],
            item["deadline"][:10], item.get("decision", ""),
        )
        for item in content["alarms"]
    )  # fmt: skip
    weight = content["fatigue"]
    share = weight["false_share"]
    words = (
        f"{weight['opened']} opened, {weight['decided']} decided, {weight['false']} of them false"
        f"{'' if share is None else f' ({100 * share:.0f} %)'}, {weight['overdue']} overdue"
    )
    columns = ("Item", "What moved", "Owner", "Opened", "Decide by", "Decision")
    table = Table("Alarms and re-evaluations", tuple(map(Column, columns)), rows)
    return Section("Alarms", (Paragraph(words), table), key="alarms")


def _agreement(content: Mapping[str, Any]) -> Section:
    rows = tuple(
        (structure, name, str(int(s["n"])), Number(s["median"], 3, s["q1"], s["q3"]))
        for structure, found in content["agreement"].items()
        for name, s in found.items()
    )
    columns = tuple(map(Column, ("Structure", "Measure", "n", "Median (quartiles)")))
    return Section(
        "Agreement with reviewers", (Table("Ours against approved", columns, rows),), key="agree"
    )


def _charts(numbers: Mapping[str, Sequence[float]]) -> Section:
    drawn = [(name, chart(v)) for name, v in numbers.items() if len(v) >= FIRST_CASES][:CHARTED]
    few = [name for name, values in numbers.items() if len(values) < FIRST_CASES]
    blocks: list[Plot | Bullets | Notice] = [
        Plot(
            name,
            "Study",
            name,
            (
                Series("value", tuple(enumerate(found.values, 1))),
                Series("EWMA", tuple(enumerate(found.ewma, 1)), "line"),
            ),
            (
                (found.centre, "centre"),
                (found.centre + 3 * found.sigma, "+3 sigma"),
                (found.centre - 3 * found.sigma, "-3 sigma"),
            ),
            f"{len(found.values)} values of {name}, {len(found.beyond)} beyond three sigma",
        )
        for name, found in drawn
    ]
    note = "Limits from the first cases are drawn and raise no alarm; alarms come from tests."
    if few:
        blocks.append(Bullets((f"Not drawn, {_NOT_ENOUGH}: {', '.join(few)}",)))
    return Section("Control charts", (Notice(note, "plain"), *blocks), key="charts")


def _plan(plan: Plan) -> Section:
    rows = tuple(
        (
            item.name, item.metric, ", ".join(item.data), item.window, f"{item.limit:g}",
            item.action, item.owner,
        )
        for item in plan.items
    )  # fmt: skip
    columns = ("Item", "Metric", "Data", "Window", "Run length", "Action", "Owner")
    metrics = sorted({item.metric for item in plan.items})
    blind = tuple(
        f"{metric}{' (no label: no monitor of performance)' if metric in LABEL_FREE else ''}: "
        f"{cannot_see(metric)}"
        for metric in metrics
    )
    return Section(
        "Plan, and what it cannot see",
        (Table("Items", tuple(map(Column, columns)), rows), Bullets(blind)),
        key="plan",
    )
