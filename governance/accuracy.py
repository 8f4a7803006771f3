"""Measured accuracy of a release, as every document quotes it: one source, the same numbers.

The validation report (or, before there is one, the cross-validation of the training recipe)
is brought into this form once and kept as the governed document ``accuracy`` of the release
digest.  It names the digest of the report that it comes from and the weights that were judged;
figures keep full precision, and who prints them rounds.

A group of persons with too few of them is ``insufficient``: it has an n and no verdict, and it
is named rather than left out (REGULATORY.md AIA-10.2fg, AIA-9.9).

Source: Regulation (EU) 2024/1689 Annex IV point 3 and Art. 13(3)(b).

Read next: `technical_file/evidence.py`, `instructions.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import ConfigurationError
from governance.reading import Table as Reading
from governance.report import Cell, Column, Forest, Interval, Language, Number, Table

KIND = "accuracy"
SCHEMA = "osteon.accuracy/1"
ABOUT = ("all", "finding", "person", "device")
MINORS = "under 18"
"""Name of the group that a report of persons cannot leave out (Art. 9(9))."""
_WORDS = {
    "en": ("given", "group", "insufficient", "Accuracy over all patients", "Accuracy by group"),
    "de": ("gegeben", "Gruppe", "zu wenige", "Genauigkeit über alle Patienten",
           "Genauigkeit nach Gruppen"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metric:
    """What a figure means: its name, unit, and how many decimal places are printed."""

    key: str
    title: str
    unit: str
    digits: int
    signed: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured mean with its interval and the number of patients behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of one group under one condition.

    Parameters
    ----------
    given : what the release was given, e.g. ``ct+pet``.
    name : ``all``, or the group.
    about : what makes the group: all | finding | person | device.
    insufficient : there are too few for a verdict.
    """

    given: str
    name: str
    about: str
    n: int
    figures: Mapping[str, Figure]
    insufficient: bool


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Everything that was measured of a release's accuracy.

    Parameters
    ----------
    report_sha256 : digest of the report file that the figures are taken from.
    weights : digests of the weights that were judged.
    interval : how the intervals were made and at which level.
    smallest_group : a group with fewer is insufficient.
    """

    release_digest: str
    report_sha256: str
    weights: tuple[str, ...]
    method: str
    interval: str
    smallest_group: int
    metrics: tuple[Metric, ...]
    groups: tuple[Group, ...]

    def overall(self) -> tuple[Group, ...]:
        """Return the figures over all patients, one entry for each condition."""
        return tuple(group for group in self.groups if group.about == "all")

    def by_group(self) -> tuple[Group, ...]:
        """Return the figures of every group that is not all patients."""
        return tuple(group for group in self.groups if group.about != "all")

    def covers_persons(self) -> bool:
        """Return whether groups of persons were looked at, minors among them."""
        persons = {group.name for group in self.groups if group.about == "person"}
        return MINORS in persons and len(persons) > 1


def read_accuracy(document: Mapping[str, Any]) -> Accuracy:
    """Return the accuracy that a document states.

    Raises
    ------
    ConfigurationError : a value is missing or wrong; the message names its path.
    """
    top = Reading("accuracy", document)
    if top.text("schema") != SCHEMA:
        raise top.fault("schema", SCHEMA)
    metrics = tuple(
        Metric(
            row.text("key"), row.text("title"), row.text("unit", ""), row.count("digits"),
            row.flag("signed", False),
        )
        for row in top.tables("metrics")
    )  # fmt: skip
    smallest = top.count("smallest_group")
    found = Accuracy(
        release_digest=top.text("release_digest"),
        report_sha256=top.text("report_sha256"),
        weights=top.texts("weights"),
        method=top.text("method"),
        interval=top.text("interval"),
        smallest_group=smallest,
        metrics=metrics,
        groups=tuple(_group(row, smallest) for row in top.tables("groups")),
    )
    if not found.metrics or not found.overall():
        raise ConfigurationError("expected metrics and a group `all` in accuracy, found none")
    return found


def given_text(given: str) -> str:
    """Return what a release was given as it is printed: modalities in capitals."""
    return re.sub(r"\b(ct|pet|mr|cbct)\b", lambda found: found.group().upper(), given)


def fits_weights(accuracy: Accuracy, manifest: Mapping[str, Any]) -> bool:
    """Return whether the weights that were judged are the weights of the release."""
    released = {
        digest for name, digest in manifest["members"].items() if name.startswith("weights/")
    }
    return set(accuracy.weights) == released


def held_against(accuracy: Accuracy, criterion: Mapping[str, Any]) -> tuple[Number, bool] | None:
    """Return the figure that a criterion is about and whether it is met; None where none is.

    Only means and the lower ends of their intervals are judged here; what else a criterion asks
    for (times, geometry, faithfulness) is judged by the validation report.
    """
    key, statistic = str(criterion["metric"]), criterion["statistic"]
    place = (criterion["given"], criterion["stratum"])
    group = next((g for g in accuracy.groups if (g.given, g.name) == place), None)
    figure = group.figures.get(key) if group and not group.insufficient else None
    if figure is None or statistic not in ("mean", "interval_low"):
        return None
    value = figure.value if statistic == "mean" else figure.low
    low, high = criterion.get("at_least", -math.inf), criterion.get("at_most", math.inf)
    metric = next(item for item in accuracy.metrics if item.key == key)
    return Number(value, metric.digits, signed=metric.signed), low <= value <= high


def figure_number(accuracy: Accuracy, key: str, figure: Figure, *, n: int | None) -> Number:
    """Return a figure as the number that is printed; ``n`` where the row does not say it."""
    metric = next(item for item in accuracy.metrics if item.key == key)
    return Number(figure.value, metric.digits, figure.low, figure.high, n, metric.signed)


def accuracy_table(
    accuracy: Accuracy, groups: tuple[Group, ...], language: Language, *, overall: bool
) -> Table:
    """Return groups as a table of a report, one column for each metric."""
    given, group_word, few, all_title, group_title = _WORDS[language]
    heads = (Column(given), Column(group_word), Column("n"))
    columns = heads + tuple(Column(metric.title, metric.unit) for metric in accuracy.metrics)
    rows = tuple(_row(accuracy, group, few) for group in groups)
    note = f"{accuracy.method}. {accuracy.interval}."
    return Table(all_title if overall else group_title, columns, rows, note)


def accuracy_forest(accuracy: Accuracy, given: str, language: Language) -> Forest:
    """Return the first metric of one condition, group by group, as a figure."""
    metric = accuracy.metrics[0]
    rows = tuple(
        Interval(
            group.name,
            figure_number(accuracy, metric.key, group.figures[metric.key], n=group.n),
            emphasised=group.about == "all",
        )
        for group in accuracy.groups
        if group.given == given and metric.key in group.figures and not group.insufficient
    )
    axis = f"{metric.title} ({metric.unit})" if metric.unit else metric.title
    return Forest(f"{metric.title}, {_WORDS[language][0]}: {given_text(given)}", axis, rows)


def _group(row: Reading, smallest: int) -> Group:
    about, n = row.word("about", ABOUT), row.count("n")
    figures = row.table("figures")
    return Group(
        given=row.text("given"),
        name=row.text("name"),
        about=about,
        n=n,
        figures={key: _figure(figures.table(key), n) for key in figures.content},
        insufficient=about != "all" and n < smallest,
    )


def _figure(row: Reading, n: int) -> Figure:
    return Figure(row.number("value"), row.number("low"), row.number("high"), row.count("n", n))


def _row(accuracy: Accuracy, group: Group, few: str) -> tuple[Cell, ...]:
    head: tuple[Cell, ...] = (given_text(group.given), group.name, Number(float(group.n), 0))
    if group.insufficient:
        return head + tuple(few for _ in accuracy.metrics)
    return head + tuple(_cell(accuracy, group, metric.key) for metric in accuracy.metrics)


def _cell(accuracy: Accuracy, group: Group, key: str) -> Cell:
    figure = group.figures.get(key)
    if figure is None:
        return "–"
    return figure_number(accuracy, key, figure, n=None if figure.n == group.n else figure.n)
