"""Sections about what was stated, changed and repeated: calibration, robustness, repeatability.

Read next: `words.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from governance.report import (
    Block,
    Column,
    Number,
    Paragraph,
    Plot,
    Series,
    Table,
    number_text,
)
from validation.harness.conditions import SWEEPS
from validation.report.figures import ALL
from validation.report.terms import Terms, described
from validation.report.words import roles


def calibration(terms: Terms) -> Iterator[Block]:
    """Yield predicted beside found metrics, and how often stated bounds held."""
    t, rows = terms.t, terms.results["calibration"]
    for given, metric in dict.fromkeys((row["given"], row["metric"]) for row in rows):
        bins = [row for row in rows if (row["given"], row["metric"]) == (given, metric)]
        title, digits = terms.title(metric), terms.digits(metric)
        ends = sorted(v for row in bins for v in (row["predicted"], row["low"], row["high"]))
        diagonal = ((ends[0], ends[0]), (ends[-1], ends[-1]))
        words = [
            (number_text(Number(row["predicted"], digits), terms.language),
             number_text(Number(row["found"], digits, row["low"], row["high"], row["n"]),
                         terms.language))
            for row in bins
        ]  # fmt: skip
        yield Plot(
            t["reliability"].format(title=title, given=roles(given), bins=len(bins)),
            f"{terms.named(metric)}, {t['predicted']}", f"{terms.named(metric)}",
            (
                Series(t["bins_found"], tuple((r["predicted"], r["found"]) for r in bins), "dots",
                       tuple((r["low"], r["high"]) for r in bins)),
                Series(t["perfect"], diagonal, "line"),
            ),
            described=t["reliability_described"].format(pairs=described(words)),
        )  # fmt: skip
        yield Table(
            "", (Column(t["predicted"]), Column(t["mean"]), Column(t["n"])),
            tuple(
                (Number(r["predicted"], digits), Number(r["found"], digits, r["low"], r["high"]),
                 Number(r["n"], 0))
                for r in bins
            ),
            t["intervals"],
        )  # fmt: skip
    covered = terms.results["coverage"]
    if covered:
        yield Table(
            t["coverage"],
            tuple(Column(t[name]) for name in ("given", "metric", "share", "n")),
            tuple(
                (roles(r["given"]), terms.title(r["metric"]),
                 Number(r["share"], 3, r["low"], r["high"]), Number(r["n"], 0))
                for r in covered
            ),
            t["exact"],
        )  # fmt: skip
    if not rows and not covered:
        yield Paragraph(t["no_calibration"])


def robustness(terms: Terms) -> Iterator[Block]:
    """Yield a curve of the headline metric for each change of the input, and its paired change."""
    t = terms.t
    rows = [row for row in terms.results["sweeps"] if row["metric"] == terms.headline]
    if not rows:
        yield Paragraph(t["no_sweeps"])
        return
    title, digits = terms.title(terms.headline), terms.digits(terms.headline)
    for sweep in dict.fromkeys(row["sweep"] for row in rows):
        found = [row for row in rows if row["sweep"] == sweep]
        if len({row["level"] for row in found}) < 2:
            continue
        series, words, lines = [], [], []
        neutral = SWEEPS[sweep].neutral if sweep in SWEEPS else 0.0
        for given in dict.fromkeys(row["given"] for row in found):
            plain = [r for r in terms.figures(given, terms.headline) if r["stratum"] == ALL]
            curve = sorted(
                (level, r["mean"], r["low"], r["high"])
                for level, r in (
                    *((r["level"], r) for r in found if r["given"] == given),
                    *((neutral, r) for r in plain if neutral is not None),
                )
            )
            if neutral is None:
                lines += [_unchanged(terms, r) for r in plain]
            series.append(
                Series(roles(given), tuple((level, mean) for level, mean, _, _ in curve), "both",
                       tuple((low, high) for _, _, low, high in curve))
            )  # fmt: skip
            ends = ", ".join(
                f"{level:g} {number_text(Number(mean, digits), terms.language)}"
                for level, mean, _, _ in curve
            )
            words.append((roles(given), ends))
        caption = t["sweep"].format(title=title, sweep=sweep)
        yield Plot(caption, f"{sweep}: {t['level']}", terms.named(terms.headline), tuple(series),
                   tuple(lines), described(words))  # fmt: skip
    yield Table(
        t["sweep_table"].format(title=title),
        tuple(Column(t[name]) for name in (
            "condition", "level", "given", "mean", "n", "change", "pairs", "done")),
        tuple(
            (r["sweep"], Number(r["level"], 0 if float(r["level"]).is_integer() else 2),
             roles(r["given"]), Number(r["mean"], digits, r["low"], r["high"]), Number(r["n"], 0),
             Number(r["change"], digits, r["change_low"], r["change_high"], signed=True),
             Number(r["pairs"], 0), f"{r['answered']} / {r['cases']}")
            for r in rows
        ),
        t["intervals"],
    )  # fmt: skip


def _unchanged(terms: Terms, row: Mapping[str, Any]) -> tuple[float, str]:
    """Return the mean of the unchanged input as a line with its label."""
    value = number_text(Number(row["mean"], terms.digits(terms.headline)), terms.language)
    return row["mean"], terms.t["unchanged"].format(given=roles(row["given"]), value=value)


def repeats(terms: Terms) -> Iterator[Block]:
    """Yield how many repeats gave the same answer."""
    t, rows = terms.t, terms.results["repeats"]
    if not rows:
        yield Paragraph(t["no_repeats"])
        return
    yield Table(
        t["repeat"],
        tuple(Column(t[name]) for name in ("condition", "given", "same", "n", "share")),
        tuple(
            (r["condition"], roles(r["given"]), Number(r["count"], 0), Number(r["n"], 0),
             Number(r["share"], 3, r["low"], r["high"]))
            for r in rows
        ),
        t["exact"],
    )  # fmt: skip
