"""The technical file as a report: a page that an assessor reads from front to back.

Every field shows its status, its value as it is in ``annex_iv.json``, where it comes from and
who signed it.  Values are laid out by their form: texts, lists, tables; nothing is rephrased.

Read next: `adapters/documents/report_html.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from governance.accuracy import given_text
from governance.report import (
    Block,
    Bullets,
    Cell,
    Code,
    Column,
    Facts,
    Language,
    Notice,
    Number,
    Paragraph,
    Report,
    Section,
    Status,
    Table,
)
from governance.technical_file.fields import POINTS, head_of
from governance.technical_file.file import Field, TechnicalFile
from governance.technical_file.indexes import MDR_SECTIONS, point_counts
from governance.technical_file.reasons import reason_text

_TEXTS: Mapping[str, tuple[str, str]] = {
    "kind": ("Technical documentation", "Technische Dokumentation"),
    "digest": ("Release digest", "Release-Digest"),
    "law": ("Law", "Recht"),
    "laws": (
        "Regulation (EU) 2024/1689 Annex IV; Regulation (EU) 2017/745 Annex II and III",
        "Verordnung (EU) 2024/1689 Anhang IV; Verordnung (EU) 2017/745 Anhang II und III",
    ),
    "blocked": ("Blocked: {count} of {all} fields are missing",
                "Gesperrt: {count} von {all} Feldern fehlen"),
    "whole": ("Complete", "Vollständig"),
    "overview": ("Completeness", "Vollständigkeit"),
    "point": ("Point", "Punkt"),
    "complete": ("complete", "vollständig"),
    "n/a": ("not applicable", "entfällt"),
    "missing": ("MISSING", "FEHLT"),
    "gaps": ("What is missing", "Was fehlt"),
    "field": ("Field", "Feld"),
    "reason": ("Reason", "Grund"),
    "draft": ("Draft, not signed", "Entwurf, nicht unterzeichnet"),
    "drafted": ("Generated from the sources", "Aus den Quellen erzeugt"),
    "source": ("Source", "Quelle"),
    "signed": ("signed by {author} at {at}", "unterzeichnet von {author} am {at}"),
    "sources": ("Sources", "Quellen"),
    "sha256": ("Digest", "Digest"),
    "mdr": ("Index after the MDR", "Verzeichnis nach der MDR"),
    "section": ("Section", "Abschnitt"),
    "title": ("Title", "Titel"),
    "fields": ("Fields", "Felder"),
}  # fmt: skip
_SENTENCE = 60
"""A longer item of a list stands on a line of its own."""


def file_report(file: TechnicalFile, language: Language) -> Report:
    """Return the whole file as a report in one language."""
    t = {key: pair[0 if language == "en" else 1] for key, pair in _TEXTS.items()}
    missing, every = len(file.missing()), len(file.fields)
    standing = Status(t["whole"], "good")
    if missing:
        standing = Status(t["blocked"].format(count=missing, all=every), "bad")
    return Report(
        title=f"{file.plugin} {file.version}".strip() or t["missing"],
        kind=t["kind"],
        language=language,
        facts=(
            (t["digest"], Code(file.release_digest or t["missing"])),
            (t["law"], t["laws"]),
        ),
        sections=(
            Section(t["overview"], tuple(_overview(file, t, language)), key="overview"),
            *(_point(point, file, t, language) for point in POINTS),
            Section(t["mdr"], (_mdr(file, t, language),), key="mdr-index"),
            Section(t["sources"], (_sources(file, t),), key="sources"),
        ),
        standing=standing,
    )


def _overview(file: TechnicalFile, t: Mapping[str, str], language: Language) -> Iterator[Block]:
    counts = point_counts(file)
    columns = (
        Column(t["point"]), Column(""), Column(t["complete"]), Column(t["n/a"]),
        Column(t["missing"]),
    )  # fmt: skip
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            point,
            _point_title(point, language),
            *(Number(float(count), 0) for count in counts[point].values()),
        )
        for point in POINTS
    )
    yield Table("", columns, rows)
    gaps = [item for item in file.fields if item.status == "missing"]
    if gaps:
        yield Table(
            t["gaps"],
            (Column(t["point"]), Column(t["field"]), Column(t["reason"])),
            tuple((g.rule.point, Code(g.rule.path), reason_text(g.reason, language)) for g in gaps),
        )


def _point(point: str, file: TechnicalFile, t: Mapping[str, str], language: Language) -> Section:
    inside = tuple(
        _field(item, t, language) for item in file.fields if head_of(item.rule.point) == point
    )
    mark = f"IV ({point})" if point.isdigit() else point
    return Section(_point_title(point, language), (), inside, f"point-{point}", mark)


def _field(item: Field, t: Mapping[str, str], language: Language) -> Section:
    title = item.rule.en if language == "en" else item.rule.de
    blocks: list[Block] = []
    if item.status == "missing":
        blocks.append(Notice(f"{t['missing']}: {reason_text(item.reason, language)}", "bad"))
    elif item.status == "n/a":
        blocks.append(Notice(f"{t['n/a']}: {reason_text(item.reason, language)}", "plain"))
    blocks += list(_value(item.value, item.status, t))
    blocks.append(Paragraph(_origin(item, t), small=True))
    key = f"field-{item.rule.path.replace('.', '-')}"
    return Section(title, tuple(blocks), key=key, mark=item.rule.point)


def _value(value: Any, status: str, t: Mapping[str, str]) -> Iterator[Block]:
    if isinstance(value, Mapping) and set(value) <= {"draft", "statement"} and value:
        if "statement" in value:
            yield from (Paragraph(text) for text in str(value["statement"]).split("\n\n"))
        if "draft" in value:
            word = t["draft"] if status == "missing" else t["drafted"]
            yield Paragraph(f"{word}:", small=True)
            yield from layout(value["draft"])
    elif value is not None:
        yield from layout(value)


def layout(value: Any) -> Iterator[Block]:
    """Yield the blocks that show JSON values: a text, a list, a table, facts."""
    if isinstance(value, Mapping):
        plain = {key: item for key, item in value.items() if not _stands_alone(item)}
        if plain:
            yield Facts(tuple((_name(key), _cell(item)) for key, item in plain.items()))
        for key, item in value.items():
            if _is_rows(item):
                yield from _rows(item, _name(key))
            elif _stands_alone(item):
                yield Paragraph(f"{_name(key)}:")
                yield Bullets(tuple(_text(part) for part in item))
    elif _is_rows(value):
        yield from _rows(value, "")
    elif isinstance(value, list):
        yield Bullets(tuple(_text(item) for item in value))
    else:
        yield from (Paragraph(text) for text in _text(value).split("\n\n"))


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _stands_alone(value: Any) -> bool:
    """Return whether a value is too long for a line of facts: rows, or sentences."""
    sentences = isinstance(value, list) and any(len(str(item)) > _SENTENCE for item in value)
    return _is_rows(value) or sentences


def _rows(rows: Sequence[Mapping[str, Any]], caption: str) -> Iterator[Block]:
    if {"given", "group", "n", "about"} <= set(rows[0]):
        yield _figures(rows, caption)
        return
    keys = list(dict.fromkeys(key for row in rows for key in row))
    columns = tuple(Column(_name(key)) for key in keys)
    cells = tuple(tuple(_cell(row.get(key, "–")) for key in keys) for row in rows)
    yield Table(caption, columns, cells)


def _figures(rows: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Return measured figures as one line for each group, one column for each metric."""
    titles = {row["metric"]: Column(row["title"], row["unit"]) for row in rows if "metric" in row}
    groups: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["given"], row["group"]), {})[row.get("metric", "")] = row
    lines = []
    for (given, group), found in groups.items():
        n = next(iter(found.values()))["n"]
        few = found.get("", {}).get("verdict", "–")
        cells = [_figure(found[key]) if key in found else few for key in titles]
        lines.append((given_text(given), group, Number(float(n), 0), *cells))
    heads = (Column("given"), Column("group"), Column("n"))
    return Table(caption, heads + tuple(titles.values()), tuple(lines))


def _figure(row: Mapping[str, Any]) -> Number:
    n = None if row["measured_n"] == row["n"] else row["measured_n"]
    return Number(row["value"], row["digits"], row["low"], row["high"], n, row["signed"])


def _digits(value: float) -> int:
    return min(4, len(f"{value:.4f}".rstrip("0").partition(".")[2]))


def _cell(value: Any) -> Cell:
    if isinstance(value, Number):
        return value
    if isinstance(value, bool) or value is None:
        return _text(value)
    if isinstance(value, (int, float)):
        return Number(float(value), 0 if float(value).is_integer() else _digits(value))
    if isinstance(value, str) and value.startswith("sha256:"):
        return Code(value)
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{_name(key)}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "–"
    if value is None or value == "":
        return "–"
    return str(value)


def _name(key: str) -> str:
    return key.replace("_", " ")


def _origin(item: Field, t: Mapping[str, str]) -> str:
    """Return where a field comes from, in one line: its path, status, sources and signature."""
    text = f"{item.rule.path}: {t[item.status]}"
    if item.sources:
        rows = (f"{name} ({digest[:19]})" for name, digest in sorted(item.sources.items()))
        text += f"; {t['source']}: {', '.join(rows)}"
    if item.signed_at:
        at = item.signed_at[:16].replace("T", " ") + " UTC"
        text += f"; {t['signed'].format(author=item.author, at=at)}"
    return text


def _sources(file: TechnicalFile, t: Mapping[str, str]) -> Table:
    rows = tuple((name, Code(digest)) for name, digest in file.sources.items())
    return Table("", (Column(t["source"]), Column(t["sha256"])), rows)


def _mdr(file: TechnicalFile, t: Mapping[str, str], language: Language) -> Table:
    index = 0 if language == "en" else 1
    rows = []
    for section, titles in MDR_SECTIONS.items():
        fields = [item for item in file.fields if item.rule.mdr == section]
        open_count = sum(item.status == "missing" for item in fields)
        names = ", ".join(item.rule.path for item in fields)
        rows.append((section, titles[index], names, Number(float(open_count), 0)))
    columns = (
        Column(t["section"]), Column(t["title"]), Column(t["fields"]), Column(t["missing"]),
    )  # fmt: skip
    return Table("", columns, tuple(rows))


def _point_title(point: str, language: Language) -> str:
    return POINTS[point][0 if language == "en" else 1]
