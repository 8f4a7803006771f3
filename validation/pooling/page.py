"""The pooled report as a value to be drawn: forests of the headline, figures, what is withheld.

Every number is one that the sites told or that `effects.py` made of them; a prediction interval
says where the mean of a further site is expected, and is missing below three sites.

Read next: `adapters/documents/report_html.py`, which draws it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from governance.report import (
    Block,
    Cell,
    Code,
    Column,
    Facts,
    Forest,
    Interval,
    Language,
    Notice,
    Number,
    Paragraph,
    Report,
    Section,
    Table,
)
from validation.report.figures import ALL
from validation.report.words import roles

FILE = Path(__file__).with_name("words.json")
_DIGITS = {"mm": 1, "ml": 1, "%": 1, "s": 1, "Gy": 2}
Found = Mapping[str, Any]


@cache
def texts(language: Language) -> Mapping[str, str]:
    """Return every text in one language by its key."""
    pairs: Mapping[str, tuple[str, str]] = json.loads(FILE.read_text("utf-8"))
    return {key: pair[0 if language == "en" else 1] for key, pair in pairs.items()}


def pooled_report(found: Found, language: Language) -> Report:
    """Return what `pooled.pool_reports` found, in one language."""
    t = texts(language)
    headline = [row for row in found["pooled"] if row["metric"] == found["headline"]]
    sections = (
        Section(t["s_headline"], tuple(_forests(found, headline, t)), key="headline"),
        Section(t["s_figures"], tuple(_figures(found, t)), key="figures"),
        Section(t["s_withheld"], tuple(_withheld(found, t)), key="withheld"),
        Section(t["s_method"], tuple(_method(found, t)), key="method"),
    )
    patients = max((row["n"] for row in headline if row["stratum"] == ALL), default=0)
    facts: tuple[tuple[str, Cell], ...] = (
        (t["sites"], ", ".join(found["sites"])),
        (t["patients"], Number(patients, 0)),
        (t["release_digest"], Code(found["release_digest"])),
    )
    title = f"{found['plugin']} {found['version']}"
    return Report(title=title, kind=t["kind"], language=language, facts=facts, sections=sections)


def _forests(found: Found, rows: list[Found], t: Mapping[str, str]) -> Iterator[Block]:
    """Yield a forest of each input and group: the sites, all together, and a further site."""
    if len(found["sites"]) < 3:
        yield Notice(t["few_sites"])
    for row in sorted(rows, key=lambda item: (item["stratum"] != ALL, item["stratum"])):
        digits = _digits(found, row["metric"])
        lines = [
            Interval(item["site"], Number(item["mean"], digits, item["low"], item["high"],
                                          item["patients"]))
            for item in row["sites"]
        ]  # fmt: skip
        together = Number(row["value"], digits, row["low"], row["high"], row["n"])
        lines.append(Interval(t["together"], together, emphasised=True))
        if row["predicted"]:
            low, high = row["predicted"]
            lines.append(Interval(t["further"], Number(row["value"], digits, low, high)))
        group = t["all"] if row["stratum"] == ALL else row["stratum"]
        caption = f"{_title(found, row['metric'])}, {roles(row['given'])}, {group}"
        yield Forest(caption, _named(found, row["metric"]), tuple(lines))
        yield Paragraph(
            t["heterogeneity"].format(
                i2=_percent(row["i2"]), low=_percent(row["i2_low"]), high=_percent(row["i2_high"]),
                p=f"{row['q_p']:.3f}",
            ),
            small=True,
        )  # fmt: skip
    if not rows:
        yield Paragraph(t["nothing"])


def _figures(found: Found, t: Mapping[str, str]) -> Iterator[Block]:
    names = ("metric", "given", "group", "mean", "i2", "predicted", "sites", "patients")
    yield Table(
        t["s_figures"], tuple(Column(t[name]) for name in names),
        tuple(_line(found, row, t) for row in found["pooled"]), t["intervals"],
    )  # fmt: skip


def _line(found: Found, row: Found, t: Mapping[str, str]) -> tuple[Cell, ...]:
    digits = _digits(found, row["metric"])
    predicted: Cell = "–"
    if row["predicted"]:
        predicted = Number(row["value"], digits, row["predicted"][0], row["predicted"][1])
    return (
        _named(found, row["metric"]), roles(row["given"]),
        t["all"] if row["stratum"] == ALL else row["stratum"],
        Number(row["value"], digits, row["low"], row["high"]),
        Number(100 * row["i2"], 0, 100 * row["i2_low"], 100 * row["i2_high"]),
        predicted, Number(len(row["sites"]), 0), Number(row["n"], 0),
    )  # fmt: skip


def _withheld(found: Found, t: Mapping[str, str]) -> Iterator[Block]:
    yield Paragraph(t["withheld"])
    yield Facts(
        tuple((site, ", ".join(names) or "–") for site, names in sorted(found["withheld"].items()))
    )


def _method(found: Found, t: Mapping[str, str]) -> Iterator[Block]:
    yield Paragraph(t["method"])
    yield Facts((
        (t["criteria_digest"], Code(found["criteria_digest"])),
        (t["metric_pack"], Code(found["metric_pack"])),
        *((f"{t['report_of']} {site}", Code(digest))
          for site, digest in sorted(found["reports"].items())),
    ))  # fmt: skip


def _title(found: Found, metric: str) -> str:
    return str(found["metrics"].get(metric, {}).get("title", metric))


def _named(found: Found, metric: str) -> str:
    unit = found["metrics"].get(metric, {}).get("unit", "")
    return f"{_title(found, metric)} ({unit})" if unit else _title(found, metric)


def _digits(found: Found, metric: str) -> int:
    return _DIGITS.get(found["metrics"].get(metric, {}).get("unit", ""), 3)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
