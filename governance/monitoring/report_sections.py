"""The parts of a periodic report: each lays out some of its facts.

Read next: `periodic.py`, which says which report has which parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from governance.monitoring.charts import FIRST_CASES, chart
from governance.monitoring.plan import LABEL_FREE, Plan, cannot_see
from governance.report import (
    Block,
    Bullets,
    Column,
    Notice,
    Number,
    Paragraph,
    Plot,
    Section,
    Series,
    Table,
)

CHARTED = 12
"""Charts that a report draws at most; the facts hold every number."""
_NOT_ENOUGH = f"fewer than {FIRST_CASES} cases"


def rates(content: Mapping[str, Any]) -> Section:
    """Return the rates of the period, each with its count and interval."""
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


def alarms(content: Mapping[str, Any]) -> Section:
    """Return the alarms of the period with owner, deadline and decision."""
    rows = tuple(
        (
            item["item"], item["reason"], item["owner"], item["opened_at"][:10],
            item["deadline"][:10], item.get("decision", ""),
        )
        for item in content["alarms"]
    )  # fmt: skip
    weight = content["fatigue"]
    words = (
        f"{weight['opened']} in {weight['weeks']:.1f} weeks ({weight['per_week']:.2f} per week), "
        f"{weight['decided']} decided, {weight['false']} of them false, {weight['overdue']} overdue"
    )
    shares = tuple(
        (name, str(weight[key]["k"]), str(weight[key]["n"]), _share(weight[key]))
        for name, key in (
            ("Acknowledged late", "late_rate"), ("Decided without action", "no_action_rate"),
        )
    )  # fmt: skip
    weighed = Table(
        "Alarm fatigue", tuple(map(Column, ("", "Alarms", "Of", "Share, %"))), shares,
        "Clopper-Pearson, 95 %. Late: after the time stated when the alarm was raised.",
    )  # fmt: skip
    columns = ("Item", "What moved", "Owner", "Opened", "Decide by", "Decision")
    table = Table("Alarms and re-evaluations", tuple(map(Column, columns)), rows)
    return Section("Alarms", (Paragraph(words), weighed, table), key="alarms")


def chain(feeding: Sequence[Mapping[str, Any]]) -> Section:
    """Return the releases whose results fed this one."""
    rows = tuple(
        (
            one["plugin"], str(one["release_digest"])[7:19], str(one["runs"].get("direct", 0)),
            str(one["runs"].get("approved", 0)),
            "; ".join(f"{alarm['reason']} ({alarm['state']})" for alarm in one["alarms"]) or "none",
        )
        for one in feeding
    )  # fmt: skip
    if not rows:
        none = "No run of this release was fed by another release of this site."
        return Section("Chains", (Paragraph(none),), key="chains")
    columns = ("Plugin", "Release", "Runs fed directly", "Runs by an approval", "Its alarms")
    words = "What these releases made, or what was approved in its place, was an input here."
    table = Table("Releases that feed this one", tuple(map(Column, columns)), rows)
    return Section("Chains", (Paragraph(words), table), key="chains")


def performance(found: Sequence[Mapping[str, Any]]) -> tuple[Section, ...]:
    """Return a section for each outcome that was imported: AUC and slope over time."""
    sections = []
    for one in found:
        rows = tuple(
            (f"{b['first']} to {b['last']}", str(b["events"]), _known(b["auc"]), _known(b["slope"]))
            for b in one["blocks"]
        )
        words = (
            f"{one['known']} outcomes known, {one['waiting']} whose horizon is not over, "
            f"{one['missing']} never reported. Blocks are full ones, in order of entry."
        )
        columns = tuple(map(Column, ("Patients", "Events", "AUC", "Calibration slope")))
        table = Table("Blocks", columns, rows, "95 %: Newcombe's method 5; Wald.")
        title = f"Labelled performance: {one['item']}"
        blocks: tuple[Block, ...] = (Paragraph(words), table, *_curves(one["blocks"]))
        sections.append(Section(title, blocks, key=f"outcomes-{one['item']}"))
    return tuple(sections)


def _curves(blocks: Sequence[Mapping[str, Any]]) -> tuple[Plot, ...]:
    found = []
    for key, name, line in (("auc", "AUC", 0.5), ("slope", "Calibration slope", 1.0)):
        known = [(float(b["last"]), b[key]) for b in blocks if b[key] is not None]
        if not known:
            continue
        points = tuple((at, value["value"]) for at, value in known)
        bars = tuple((value["lower"], value["upper"]) for _, value in known)
        told = "; ".join(f"{at:g}: {value['value']:.2f}" for at, value in known)
        series = Series(name, points, "both", bars)
        found.append(Plot(name, "Patients", name, (series,), ((line, ""),), told))
    return tuple(found)


def _known(estimate: Mapping[str, float] | None) -> Number | str:
    if estimate is None:
        return "too few"
    return Number(estimate["value"], 2, estimate["lower"], estimate["upper"])


def agreement(content: Mapping[str, Any]) -> Section:
    """Return how approved contours agree with the release, by structure."""
    rows = tuple(
        (structure, name, str(int(s["n"])), Number(s["median"], 3, s["q1"], s["q3"]))
        for structure, found in content["agreement"].items()
        for name, s in found.items()
    )
    columns = tuple(map(Column, ("Structure", "Measure", "n", "Median (quartiles)")))
    return Section(
        "Agreement with reviewers", (Table("Ours against approved", columns, rows),), key="agree"
    )


def charts(numbers: Mapping[str, Sequence[float]]) -> Section:
    """Return the charts of the numbers of an answer, with limits from the first cases."""
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


def plan_section(plan: Plan) -> Section:
    """Return the plan in force, item by item."""
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


def usage(content: Mapping[str, Any]) -> Section:
    """Return how much the release was used, and for whom."""
    months = content["months"]
    points = tuple((float(number), float(m["n"])) for number, m in enumerate(months, 1))
    drawn = Plot(
        "Runs by month", "Month", "Runs", (Series("runs", points, "both"),),
        described="; ".join(f"{m['month']}: {m['n']}" for m in months),
    )  # fmt: skip
    rows = tuple((m["month"], str(m["n"]), *map(str, (m["done"], m["other"]))) for m in months)
    columns = tuple(map(Column, ("Month", "Runs", "Results", "Refused, abstained or failed")))
    people = tuple(
        (name, value, str(count))
        for name, counts in content["subjects"].items()
        for value, count in counts.items()
    )
    groups = Table(
        "For whom", tuple(map(Column, ("Group", "Value", "Runs"))), people,
        "Groups of fewer than five runs are not told apart.",
    )  # fmt: skip
    blocks = (Table("Use by month", columns, rows), *((drawn,) if len(months) > 1 else ()), groups)
    return Section("Use and population", blocks, key="usage")


def trends(content: Mapping[str, Any]) -> Section:
    """Return what happened how often by month, with limits set beforehand and the verdict."""
    parts = tuple(_trend(one) for one in content["trends"])
    words = (
        "A rate has risen when the sequential test of the plan says so, at the run length that the "
        "plan states. Months and intervals are for people to look at."
    )
    return Section("Trends", (Paragraph(words),), parts, key="trends")


def _trend(one: Mapping[str, Any]) -> Section:
    limit = one["limit"]
    months = one["months"]
    rows = tuple((m["month"], str(m["k"]), str(m["n"]), _share(m)) for m in months)
    columns = (Column("Month"), Column("Events"), Column("Of"), Column("Share", "%"))
    if limit is None:
        verdict = Notice("No limit was set beforehand: nothing is decided.", "wait")
    elif one["risen_in"]:
        verdict = Notice(
            f"Risen above {100 * limit['rate']:g} %: in {one['risen_in']}, after case "
            f"{one['after_case']} of {one['n']} (item {limit['item']}).", "bad",
        )  # fmt: skip
    else:
        verdict = Notice(
            f"Not risen above {100 * limit['rate']:g} % (item {limit['item']}; evidence at most "
            f"{100 * one['of_threshold']:.0f} % of its threshold).", "good",
        )  # fmt: skip
    blocks: list[Notice | Table | Plot] = [
        verdict, Table(f"{one['name']} by month", columns, rows, "Clopper-Pearson, 95 %."),
    ]  # fmt: skip
    known = [(i, m) for i, m in enumerate(months, 1) if m["value"] is not None]
    if len(known) > 1:
        points = tuple((float(i), 100 * m["value"]) for i, m in known)
        bars = tuple((100 * m["lower"], 100 * m["upper"]) for _, m in known)
        lines = () if limit is None else ((100 * limit["rate"], "limit"),)
        blocks.append(
            Plot(f"{one['name']} by month", "Month", "%",
                 (Series(one["name"], points, "both", bars),), lines,
                 "; ".join(f"{m['month']}: {m['k']} of {m['n']}" for _, m in known))
        )  # fmt: skip
    return Section(str(one["name"]), tuple(blocks), key=f"trend-{one['name']}")


def incidents(content: Mapping[str, Any]) -> Section:
    """Return incidents by severity and state, and what was done about the release."""
    rows = tuple((one["severity"], one["state"], str(one["count"])) for one in content["incidents"])
    told = Table("Incidents", tuple(map(Column, ("Severity", "State", "Number"))), rows)
    acts = tuple(
        (one["at"][:10], one["action"], one["from"], one["to"], one["role"])
        for one in content["acts"]
    )
    columns = tuple(map(Column, ("Day", "Act", "From", "To", "By")))
    done = Table("Acts on the release", columns, acts)
    none = () if rows else (Paragraph("No incident is on record."),)
    return Section("Incidents and corrective action", (*none, told, done), key="incidents")
