"""Reporting checklists, pre-filled: every item points somewhere, does not apply, or is a person's.

The numbers are those of the published lists, the words are ours (`checklists.json`):

    at      keys of sections of this report, or ``card``: model card and technical file
    na      why the item does not apply, in English and German
    open    only the author can answer it

Source: CLAIM 2024 (44 items), TRIPOD+AI (27 items, 52 with their parts), DECIDE-AI (17 items of
its own in 28 parts, and 10 general ones); REGULATORY.md RPT-1.

Read next: `content.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from governance.report import Cell, Column, Language, Section, Status, Table
from validation.report.words import texts

FILE = Path(__file__).with_name("checklists.json")
CARD = "card"
_CARD = {
    "en": "model card of the release; technical file, Annex IV 1 and 2",
    "de": "Modellkarte des Releases; Technische Dokumentation, Anhang IV 1 und 2",
}


def checklists() -> Sequence[Mapping[str, Any]]:
    """Return the lists with their items, as they are kept."""
    found: Sequence[Mapping[str, Any]] = json.loads(FILE.read_text("utf-8"))
    return found


def answers(language: Language) -> dict[str, dict[str, str]]:
    """Return the answer to every item by list and number, for machines."""
    return {
        item["key"]: {row["n"]: _words(row, language) for row in item["items"]}
        for item in checklists()
    }


def checklist_sections(results: Mapping[str, Any], language: Language) -> tuple[Section, ...]:
    """Return one section for each list; ``results`` decide what is said of external data."""
    t = texts(language)
    sections = []
    for item in checklists():
        rows = tuple(
            (row["n"], row[language], _answer(row, language)) for row in _of(item, results)
        )
        columns = (Column(t["item"]), Column(t["about"]), Column(t["where"]))
        table = Table(item["title"], columns, rows, item["source"])
        sections.append(Section(item["title"], (table,), key=f"checklist-{item['key']}"))
    return tuple(sections)


def _of(item: Mapping[str, Any], results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the items of a list; several sites answer what one site leaves open."""
    several = len(results.get("sites", ())) > 1
    return [
        {**row, "at": ["method", "accuracy"]}
        if several and (item["key"], row["n"]) == ("claim", "33")
        else row
        for row in item["items"]
    ]


def _answer(row: Mapping[str, Any], language: Language) -> Cell:
    words = _words(row, language)
    return Status(words, "wait") if row.get("open") else words


def _words(row: Mapping[str, Any], language: Language) -> str:
    t = texts(language)
    if row.get("open"):
        return t["open"]
    if "na" in row:
        return f"{t['not_applicable']} {row['na'][0 if language == 'en' else 1]}"
    parts = [key for key in row["at"] if key != CARD]
    named = [f"{t['section']} “{_title(key, t)}”" for key in parts]
    if CARD in row["at"]:
        named.append(_CARD[language])
    return "; ".join(named)


def _title(key: str, t: Mapping[str, str]) -> str:
    """Return the title of a section of the report by its key."""
    return t[{"accuracy": "s_figures", "repeatability": "s_repeats"}.get(key, f"s_{key}")]
