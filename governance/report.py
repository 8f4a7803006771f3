"""A report as a value: sections of paragraphs, tables and figures, before any layout.

Who makes a report (technical file, instructions for use, validation, monitoring) states
content; `adapters/documents/report_html.py` draws it, with one style sheet for all.  A number
keeps its value, its interval and its n, so that the same number can be compared wherever it is
printed; a figure is data, and only what cannot be redrawn is a picture.

`encode` gives the JSON values of a report, for digests and for machines.

Read next: `adapters/documents/report_html.py`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from audit.errors import RecordError

Language = Literal["en", "de"]
Tone = Literal["plain", "good", "wait", "bad"]
LANGUAGES: tuple[Language, ...] = ("en", "de")
_WORDS = {"en": ("to", "n"), "de": ("bis", "n")}
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Number:
    """A measured or stated number.

    Parameters
    ----------
    low, high : ends of its interval, both or neither; the table says of which level.
    n : what it was measured on, where that is not said by the row.
    digits : decimal places that are printed; the value itself is not rounded.
    signed : a plus sign is printed too.
    """

    value: float
    digits: int = 2
    low: float | None = None
    high: float | None = None
    n: int | None = None
    signed: bool = False

    def __post_init__(self) -> None:
        ends = [end for end in (self.low, self.high) if end is not None]
        if len(ends) == 1 or not all(math.isfinite(end) for end in (self.value, *ends)):
            raise RecordError("expected a finite number with both ends of its interval or none")


@dataclass(frozen=True, slots=True)
class Status:
    """A word with a tone: MISSING is bad, complete is good."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Code:
    """Text that is a code, digest or identifier and is set as one."""

    text: str


Cell = str | Number | Status | Code


@dataclass(frozen=True, slots=True)
class Column:
    """Head of a column; ``unit`` stands in brackets behind the title."""

    title: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; every row has one cell for each column.

    Parameters
    ----------
    note : where the numbers come from, and what their intervals are.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        odd = [len(row) for row in self.rows if len(row) != len(self.columns)]
        if odd:
            raise RecordError(
                f"expected {len(self.columns)} cells in each row of a table, found {odd[0]}"
            )


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text.

    Parameters
    ----------
    language : given where it is not that of the report (a quotation).
    small : a note beside the text, e.g. where it comes from.
    """

    text: str
    language: str = ""
    small: bool = False


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of short texts."""

    items: tuple[str, ...]
    language: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """What must not be overlooked: a gap, a limit, a warning."""

    text: str
    tone: Tone = "wait"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values beside each other."""

    items: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """One row of a `Forest`: a number with its interval and n, under a label."""

    label: str
    number: Number
    emphasised: bool = False


@dataclass(frozen=True, slots=True)
class Forest:
    """Numbers with intervals on one axis, e.g. the accuracy of each subgroup.

    Parameters
    ----------
    limit : a criterion, drawn as a line across all rows, with ``limit_label``.
    """

    caption: str
    axis: str
    rows: tuple[Interval, ...]
    limit: float | None = None
    limit_label: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """Points of a plot, joined by a line or not.

    Parameters
    ----------
    intervals : (low, high) around each point, drawn as a whisker; none, or one for each point.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    drawn: Literal["line", "dots", "both"] = "dots"
    intervals: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.intervals and len(self.intervals) != len(self.points):
            raise RecordError(
                f"expected an interval for each of {len(self.points)} points or none, found "
                f"{len(self.intervals)}"
            )


@dataclass(frozen=True, slots=True)
class Plot:
    """Series over two axes: a curve over time, a Bland-Altman plot, a calibration.

    Parameters
    ----------
    limits : (value, label) of horizontal lines.
    described : what the figure shows, in a sentence, for who does not see it.
    """

    caption: str
    x_axis: str
    y_axis: str
    series: tuple[Series, ...]
    limits: tuple[tuple[float, str], ...] = ()
    described: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that no data can redraw: a slice with outlines.

    Parameters
    ----------
    name : its file name, unique in the report; no word about a patient.
    described : what is to be seen, for who does not see it.
    png : the bytes (ISO/IEC 15948).
    """

    name: str
    caption: str
    described: str
    png: bytes


Block = Paragraph | Bullets | Notice | Facts | Table | Forest | Plot | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part.

    Parameters
    ----------
    key : names it for links and for what refers to it, e.g. ``limits``.
    mark : stands before the title in place of its number, e.g. a point of the law.
    """

    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()
    key: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A document.

    Parameters
    ----------
    kind : what it is, above the title: "Technical documentation", "Validation report".
    facts : what it is about: release, digest, dates.
    standing : in one line what the document is worth, e.g. "Draft: 12 fields are missing".
    """

    title: str
    kind: str
    language: Language
    facts: tuple[tuple[str, Cell], ...]
    sections: tuple[Section, ...]
    standing: Status = Status("")


def number_text(number: Number, language: Language) -> str:
    """Return a number as it is printed: ``0.817 (0.790 to 0.840, n = 34)``.

    Examples
    --------
    >>> number_text(Number(0.8167, 3, 0.7904, 0.8395), "en")
    '0.817 (0.790 to 0.840)'
    >>> number_text(Number(3.4, 1, n=7, signed=True), "de")
    '+3,4 (n = 7)'
    """
    to, count = _WORDS[language]
    inside = []
    if number.low is not None and number.high is not None:
        inside.append(f"{_plain(number.low, number)} {to} {_plain(number.high, number)}")
    if number.n is not None:
        inside.append(f"{count} = {number.n}")
    text = _plain(number.value, number)
    text = f"{text} ({', '.join(inside)})" if inside else text
    return text.replace("\N{FULL STOP}", ",") if language == "de" else text


def cell_text(cell: Cell, language: Language) -> str:
    """Return the text of any cell."""
    if isinstance(cell, Number):
        return number_text(cell, language)
    return cell if isinstance(cell, str) else cell.text


def encode(value: Any) -> Any:
    """Return a report, or any part of it, as JSON values; each part names its class.

    Of a picture the digest of its bytes is given.
    """
    if isinstance(value, bytes):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    if is_dataclass(value) and not isinstance(value, type):
        parts = {item.name: encode(getattr(value, item.name)) for item in fields(value)}
        return {"is": type(value).__name__} | parts
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return value


def every_section(report: Report) -> Iterator[Section]:
    """Yield the sections of a report, each before its own, in order."""
    waiting = list(report.sections)
    while waiting:
        section = waiting.pop(0)
        yield section
        waiting = [*section.sections, *waiting]


def numbers(report: Report) -> Iterator[Number]:
    """Yield every number of a report in order, from tables, facts and forests."""
    for section in every_section(report):
        for block in section.blocks:
            if isinstance(block, Table):
                yield from (c for row in block.rows for c in row if isinstance(c, Number))
            elif isinstance(block, Facts):
                yield from (cell for _, cell in block.items if isinstance(cell, Number))
            elif isinstance(block, Forest):
                yield from (row.number for row in block.rows)


def _plain(value: float, number: Number) -> str:
    text = f"{value:{'+' if number.signed else ''}.{number.digits}f}"
    # "-0.0" says a direction that the printed digits do not have.
    if float(text) == 0.0:
        text = text.lstrip("+-")
    return text.replace("-", _MINUS)
