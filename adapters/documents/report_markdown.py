"""A report as Markdown (CommonMark with tables): for a repository, a mail, a small screen.

Read next: `report_html.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from governance.report import (
    Block,
    Bullets,
    Facts,
    Forest,
    Language,
    Notice,
    Paragraph,
    Picture,
    Plot,
    Report,
    Section,
    Table,
    cell_text,
    number_text,
)

_ACTIVE = re.compile(r"([\\`*_{}\[\]<>#|])")


def report_markdown(report: Report) -> str:
    """Return the report as Markdown; figures become the numbers that they draw."""
    lines = [f"# {_text(report.kind)}: {_text(report.title)}", ""]
    if report.standing.text:
        lines += [f"**{_text(report.standing.text)}**", ""]
    lines += list(_block(Facts(report.facts), report.language))
    for section in report.sections:
        lines += list(_section(section, 2, report.language))
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section, level: int, language: Language) -> Iterator[str]:
    yield f"{'#' * min(level, 6)} {_text(section.title)}"
    yield ""
    for block in section.blocks:
        yield from _block(block, language)
    for part in section.sections:
        yield from _section(part, level + 1, language)


def _block(block: Block, language: Language) -> Iterator[str]:
    match block:
        case Paragraph():
            yield _text(block.text)
        case Notice():
            yield f"> **{_text(block.text)}**"
        case Bullets():
            yield from (f"- {_text(item)}" for item in block.items)
        case Facts():
            yield from (
                f"- {_text(name)}: {_text(cell_text(cell, language))}" for name, cell in block.items
            )
        case Table():
            yield from _table(block, language)
        case Forest():
            yield f"{_text(block.caption)} ({_text(block.axis)}):"
            yield ""
            for row in block.rows:
                yield f"- {_text(row.label)}: {number_text(row.number, language)}"
        case Plot():
            counts = ", ".join(f"{s.label}: {len(s.points)}" for s in block.series)
            yield f"{_text(block.caption)} ({_text(block.described or counts)})"
        case Picture():
            yield f"{_text(block.caption)} ({_text(block.described)})"
    yield ""


def _table(table: Table, language: Language) -> Iterator[str]:
    if table.caption:
        yield f"**{_text(table.caption)}**"
        yield ""
    titles = [f"{c.title} ({c.unit})" if c.unit else c.title for c in table.columns]
    yield "| " + " | ".join(_text(title) for title in titles) + " |"
    yield "|" + "---|" * len(titles)
    for row in table.rows:
        yield "| " + " | ".join(_text(cell_text(cell, language)) for cell in row) + " |"
    if table.note:
        yield ""
        yield _text(table.note)


def _text(text: str) -> str:
    """Return text that Markdown prints as it is, on one line."""
    return _ACTIVE.sub(r"\\\1", " ".join(text.split()))
