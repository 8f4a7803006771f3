"""Sections about single cases: case by case, volumes, failures, the worst.

Read next: `content_conditions.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from governance.report import (
    Block,
    Cell,
    Column,
    Number,
    Paragraph,
    Plot,
    Series,
    Table,
    number_text,
)
from validation.harness.plan import PHANTOM
from validation.report.figures import ALL
from validation.report.terms import Terms
from validation.report.words import roles


def cases(terms: Terms) -> Iterator[Block]:
    """Yield a plot of the headline metric of every case for each input."""
    t, title = terms.t, terms.title(terms.headline)
    for given in terms.inputs():
        rows = [row for row in terms.results["per_case"] if row["given"] == given]
        rows.sort(key=lambda row: (row["value"], row["case"]))
        if not rows:
            continue
        series = []
        for label, kept in (("answered", True), ("withheld", False)):
            part = [
                (float(rank), row)
                for rank, row in enumerate(rows, 1)
                if (row["outcome"] == "done") == kept
            ]
            series.append(
                Series(
                    f"{t[label]} (n = {len(part)})",
                    tuple((rank, row["value"]) for rank, row in part),
                    intervals=tuple((row["low"], row["high"]) for _, row in part),
                )
            )
        mean = next(r["mean"] for r in terms.figures(given, terms.headline) if r["stratum"] == ALL)
        digits = terms.digits(terms.headline)
        ends = [number_text(Number(value, digits), terms.language)
                for value in (rows[0]["value"], rows[-1]["value"], mean)]  # fmt: skip
        yield Plot(
            t["by_case"].format(title=title, given=roles(given)), t["rank"],
            terms.named(terms.headline), tuple(s for s in series if s.points),
            ((mean, t["mean_line"].format(value=ends[2])),),
            t["cases_described"].format(
                n=len(rows), title=title, low=ends[0], high=ends[1], mean=ends[2],
                withheld=len(series[1].points),
            ),
        )  # fmt: skip
    yield Paragraph(t["whisker"], small=True)


def volumes(terms: Terms) -> Iterator[Block]:
    """Yield a Bland-Altman plot of volumes for each input, and its numbers."""
    t = terms.t
    for row in terms.results["volumes"]:
        points = tuple(
            ((pair["volume_ml"] + pair["reference_ml"]) / 2,
             pair["volume_ml"] - pair["reference_ml"])
            for pair in terms.results["volume_pairs"]
            if pair["given"] == row["given"]
        )  # fmt: skip
        words = {key: number_text(Number(row[key], 1), terms.language)
                 for key in ("bias", "lower", "upper")}  # fmt: skip
        yield Plot(
            t["altman"].format(given=roles(row["given"])), t["mean_volume"], t["difference"],
            (Series(roles(row["given"]), points),),
            tuple((row[key], f"{t[key]} {words[key]}") for key in ("upper", "bias", "lower")),
            t["altman_described"].format(n=row["n"], **words),
        )  # fmt: skip
    if terms.results["volumes"]:
        yield Table(
            t["agreement"],
            (Column(t["given"]), *(Column(t[key], "ml") for key in ("bias", "lower", "upper")),
             Column(t["n"])),
            tuple(
                (roles(row["given"]),
                 *(Number(row[key], 1, row[f"{key}_low"], row[f"{key}_high"], signed=True)
                   for key in ("bias", "lower", "upper")),
                 Number(row["n"], 0))
                for row in terms.results["volumes"]
            ),
            t["agreement_note"],
        )  # fmt: skip
    else:
        yield Paragraph("–")


def failures(terms: Terms) -> Iterator[Block]:
    """Yield how the runs ended, and why there was no answer."""
    t = terms.t
    names = ("done", "abstained", "refused", "failed")
    yield Table(
        t["outcomes"],
        (Column(t["condition"]), Column(t["level"]), Column(t["given"]),
         *(Column(t[name]) for name in names), Column(t["n"])),
        tuple(
            (row["condition"], Number(row["level"], _places(row["level"])), roles(row["given"]),
             *(Number(row[name], 0) for name in names), Number(row["n"], 0))
            for row in _joined(terms.results["outcomes"])
        ),
    )  # fmt: skip
    if not terms.results["reasons"]:
        yield Paragraph(t["no_reasons"])
        return
    columns = ("code", "outcome", "condition", "level", "given", "count", "n")
    yield Table(
        t["reasons"], tuple(Column(t[name]) for name in columns),
        tuple(
            (row["code"], t[row["outcome"]], row["condition"],
             Number(row["level"], _places(row["level"])), roles(row["given"]),
             Number(row["count"], 0), Number(row["n"], 0))
            for row in terms.results["reasons"]
        ),
    )  # fmt: skip


def _joined(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows with the presentations of the geometry test as one."""
    shown = [row for row in rows if row["condition"] == PHANTOM]
    kept = [row for row in rows if row["condition"] != PHANTOM]
    if shown:
        names = ("done", "abstained", "refused", "failed", "n")
        sums = {name: sum(row[name] for row in shown) for name in names}
        kept.append({**shown[0], **sums, "level": 0.0})
    return kept


def worst(terms: Terms) -> Iterator[Block]:
    """Yield the cases with the worst headline metric and everything measured of them."""
    t, title = terms.t, terms.title(terms.headline)
    word = "worst" if terms.higher(terms.headline) else "worst_high"
    for given in terms.inputs():
        rows = [row for row in terms.results["worst"] if row["given"] == given]
        if not rows:
            continue
        metrics = _few(terms, rows[0]["metrics"])
        yield Table(
            t[word].format(count=len(rows), title=title, given=roles(given)),
            (Column(t["case"]), *(Column(terms.named(name)) for name in metrics),
             Column(t["outcome"]), Column(t["strata"])),
            tuple(
                (row["case"], *(_value(row["metrics"].get(name), name, terms)
                                      for name in metrics),
                 t[row["outcome"]], ", ".join(row["strata"]) or "–")
                for row in rows
            ),
        )  # fmt: skip


def _few(terms: Terms, found: dict[str, float]) -> list[str]:
    """Return the headline first and at most five further metrics that were measured."""
    others = [name for name in terms.results["metrics"] if name != terms.headline and name in found]
    wanted = ("nsd_3mm", "hd95_mm", "volume_ml", "reference_ml", "absolute_volume_error_percent")
    chosen = [name for name in wanted if name in others] or others[:5]
    return [terms.headline, *chosen]


def _value(value: float | None, metric: str, terms: Terms) -> Cell:
    return "–" if value is None else Number(value, terms.digits(metric))


def _places(level: float) -> int:
    return 0 if float(level).is_integer() else 2
