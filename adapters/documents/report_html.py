"""A report as one HTML page, with its style sheet inside: to read, to print, to archive.

Every text is escaped; the page loads nothing from anywhere (pictures stand inside it) and has no
script.  The same report gives the same bytes.  `report_markdown.py` is the plain sister,
`report_pdf.py` prints this one.

Read next: `governance/report.py` (the value), `report_figures.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from adapters.documents.report_figures import forest_svg, plot_svg
from governance.report import (
    Block,
    Bullets,
    Cell,
    Code,
    Column,
    Facts,
    Forest,
    Language,
    Notice,
    Number,
    Paragraph,
    Picture,
    Plot,
    Report,
    Section,
    Status,
    Table,
    cell_text,
)

STYLE = Path(__file__).with_name("report.css")
_CONTENTS = {"en": "Contents", "de": "Inhalt"}
_PAGE = Markup(
    "<!doctype html>\n"
    '<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    "<title>{title}</title>\n<style>\n{style}</style>\n</head>\n"
    '<body><main class="report">\n{body}\n</main></body>\n</html>\n'
)


def report_html(report: Report) -> str:
    """Return the whole page of a report."""
    title = f"{report.kind}: {report.title}"
    style = Markup(STYLE.read_text("utf-8"))  # ours, and without a closing style tag
    return str(
        _PAGE.format(language=report.language, title=title, style=style, body=report_body(report))
    )


Source = Callable[[Picture], str]
"""Gives the address of a picture."""


def inside(picture: Picture) -> str:
    """Return the address that holds the picture itself (RFC 2397), for a page of one file."""
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"


def report_body(report: Report) -> Markup:
    """Return what stands inside ``main``: head, contents, sections."""
    return Markup("\n").join((report_head(report), report_sections(report)))


def report_head(report: Report) -> Markup:
    """Return kind, title, standing and facts of a report."""
    standing = Markup("")
    if report.standing.text:
        standing = Markup('<p class="standing {}">{}</p>').format(
            report.standing.tone, report.standing.text
        )
    return Markup('<header class="title"><p class="kind">{}</p><h1>{}</h1>{}{}</header>').format(
        report.kind, report.title, standing, _facts(Facts(report.facts), report.language)
    )


def report_sections(report: Report, source: Source = inside) -> Markup:
    """Return contents and sections of a report.

    Parameters
    ----------
    source : where a page of a site finds its pictures, whose policy forbids those inside it.
    """
    numbered = [(str(index), section) for index, section in enumerate(report.sections, 1)]
    parts = [_contents(numbered, report.language)] if len(numbered) > 2 else []
    drawn = _Drawn(report.language, source)
    parts += [_section(section, number, 2, drawn) for number, section in numbered]
    return Markup("\n").join(parts)


def anchor(section: Section, number: str) -> str:
    """Return the fragment that names a section: its key, else its number."""
    return section.key or f"section-{number}"


def _contents(numbered: list[tuple[str, Section]], language: Language) -> Markup:
    lines = [
        Markup('<li><a href="#{}"><span class="mark">{}</span> {}</a></li>').format(
            anchor(section, number), section.mark or number, section.title
        )
        for number, section in numbered
    ]
    return Markup('<nav class="contents" aria-label="{0}"><h2>{0}</h2><ol>{1}</ol></nav>').format(
        _CONTENTS[language], Markup("").join(lines)
    )


@dataclass(frozen=True, slots=True)
class _Drawn:
    """In which language blocks are drawn, and where their pictures are."""

    language: Language
    source: Source


def _section(section: Section, number: str, level: int, drawn: _Drawn) -> Markup:
    head = Markup('<section id="{0}"><h{1}><span class="mark">{2}</span> {3}</h{1}>').format(
        anchor(section, number), min(level, 6), section.mark or number, section.title
    )
    blocks = [_block(block, drawn) for block in section.blocks]
    inner = [
        _section(part, f"{number}.{index}", level + 1, drawn)
        for index, part in enumerate(section.sections, 1)
    ]
    return Markup("\n").join([head, *blocks, *inner, Markup("</section>")])


def _block(block: Block, drawn: _Drawn) -> Markup:
    language = drawn.language
    match block:
        case Paragraph():
            look = Markup(' class="note"') if block.small else Markup("")
            return Markup("<p{}{}>{}</p>").format(look, _lang(block.language), block.text)
        case Bullets():
            items = Markup("").join(Markup("<li>{}</li>").format(item) for item in block.items)
            return Markup("<ul{}>{}</ul>").format(_lang(block.language), items)
        case Notice():
            return Markup('<p class="notice {}" role="note">{}</p>').format(block.tone, block.text)
        case Facts():
            return _facts(block, language)
        case Table():
            return _table(block, language)
        case Forest():
            return _figure(block.caption, forest_svg(block, language))
        case Plot():
            return _figure(block.caption, plot_svg(block, language))
        case Picture():
            return _picture(block, drawn.source)


def _facts(block: Facts, language: Language) -> Markup:
    rows = [
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, _cell(cell, language))
        for name, cell in block.items
    ]
    return Markup('<dl class="facts">{}</dl>').format(Markup("").join(rows))


def _table(table: Table, language: Language) -> Markup:
    kinds = [_kind(table, index) for index in range(len(table.columns))]
    head = Markup("").join(
        Markup('<th scope="col" class="{}">{}</th>').format(kind, _title(column))
        for kind, column in zip(kinds, table.columns, strict=True)
    )
    rows = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup('<td class="{}">{}</td>').format(kind, _cell(cell, language))
                for kind, cell in zip(kinds, row, strict=True)
            )
        )
        for row in table.rows
    )
    caption = Markup("<caption>{}</caption>").format(table.caption) if table.caption else ""
    note = Markup('<p class="note">{}</p>').format(table.note) if table.note else ""
    return Markup(
        '<div class="table" tabindex="0" role="group" aria-label="{}"><table>{}<thead><tr>{}</tr>'
        "</thead><tbody>{}</tbody></table>{}</div>"
    ).format(table.caption or table.columns[0].title, caption, head, rows, note)


def _title(column: Column) -> str:
    return f"{column.title} ({column.unit})" if column.unit else column.title


def _kind(table: Table, index: int) -> str:
    cells = [row[index] for row in table.rows]
    return "number" if cells and any(isinstance(cell, Number) for cell in cells) else "text"


def _cell(cell: Cell, language: Language) -> Markup:
    text = cell_text(cell, language)
    if isinstance(cell, Number):
        value, _, interval = text.partition(" (")
        if interval:  # a line may end between the two, and not inside them
            return Markup('<span>{}</span> <span class="interval">({}</span>').format(
                value, interval
            )
    if isinstance(cell, Status):
        return Markup('<span class="status {}">{}</span>').format(cell.tone, text)
    if isinstance(cell, Code):
        return Markup("<code>{}</code>").format(text)
    return Markup("<br>").join(_lines(text))


def _lines(text: str) -> Iterator[Markup]:
    yield from (Markup("{}").format(line) for line in text.split("\n"))


def _figure(caption: str, drawing: Markup) -> Markup:
    return Markup(
        '<figure><div class="drawing" tabindex="0" role="group" aria-label="{0}">{1}</div>'
        "<figcaption>{0}</figcaption></figure>"
    ).format(caption, drawing)


def _picture(picture: Picture, source: Source) -> Markup:
    return Markup('<figure><img src="{}" alt="{}"><figcaption>{}</figcaption></figure>').format(
        source(picture), picture.described, picture.caption
    )


def _lang(language: str) -> Markup:
    return Markup(' lang="{}"').format(language) if language else Markup("")
