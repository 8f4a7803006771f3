"""The first page of a pack: what is in it, by article, in words.

Read next: `governance/report.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.evidence import ARTICLES, QUOTED
from governance.log_fields import KINDS as MEANINGS
from governance.ports import GovernedDocument
from governance.report import (
    Code,
    Column,
    Language,
    Notice,
    Number,
    Paragraph,
    Report,
    Section,
    Table,
)

_WORDS: Mapping[str, tuple[str, str]] = {
    "kind": ("Evidence pack", "Nachweispaket"),
    "title": ("Records and documents by article", "Einträge und Dokumente nach Artikel"),
    "site": ("Site", "Standort"),
    "window": ("Window", "Zeitraum"),
    "whole": ("the whole log", "das ganze Log"),
    "made": ("Made", "Erstellt"),
    "by": ("by", "von"),
    "size": ("Records in the log", "Einträge im Log"),
    "check": ("Check it yourself", "Selbst prüfen"),
    "check_how": (
        "python3 PACK.zip --key KEY needs Python 3.9 or newer and nothing else. KEY is the public "
        "key of the log as you were given it before; do not trust the one in this file for that.",
        "python3 PACK.zip --key KEY braucht Python 3.9 oder neuer und sonst nichts. KEY ist der "
        "öffentliche Schlüssel des Logs, wie Sie ihn früher erhielten; dem in dieser Datei trauen "
        "Sie dafür nicht.",
    ),
    "anchor": (
        "With a checkpoint that you or a witness kept (--anchor NOTE) a log that was cut or "
        "written anew is found too.",
        "Mit einem Prüfpunkt, den Sie oder ein Zeuge aufbewahrt haben (--anchor NOTE), zeigt sich "
        "auch ein gekürztes oder neu geschriebenes Log.",
    ),
    "kinds": ("Records by kind", "Einträge nach Art"),
    "record_kind": ("Kind", "Art"),
    "meaning": ("Meaning", "Bedeutung"),
    "count": ("Count", "Anzahl"),
    "article": ("Article", "Artikel"),
    "records": ("Records", "Einträge"),
    "first": ("The first of them", "Die ersten davon"),
    "leaf": ("Leaf", "Blatt"),
    "at": ("Recorded (UTC)", "Eingetragen (UTC)"),
    "documents": ("Documents", "Dokumente"),
    "name": ("Name", "Name"),
    "revision": ("Revision", "Fassung"),
    "digest": ("Digest", "Digest"),
    "quoted": ("Quoted", "Enthalten"),
    "yes": ("yes", "ja"),
    "no": ("by digest", "als Digest"),
    "reports": ("Reports", "Berichte"),
    "no_patient": (
        "Patients stand here under pseudonyms; the way back lies in the hospital's vault.",
        "Patienten stehen hier unter Pseudonymen; der Weg zurück liegt im Tresor des Hauses.",
    ),
}


def index_report(
    stated: Mapping[str, Any],
    kinds: Mapping[str, int],
    first: Mapping[str, list[tuple[int, str, str]]],
    documents: tuple[GovernedDocument, ...],
    language: Language,
) -> Report:
    """Return the index of a pack as a document."""
    words = {key: pair[language == "de"] for key, pair in _WORDS.items()}
    window = " – ".join((stated["from"] or "…", stated["to"] or "…"))
    whole = not stated["from"] and not stated["to"]
    return Report(
        title=words["title"],
        kind=words["kind"],
        language=language,
        facts=(
            (words["site"], stated["site"]),
            (words["window"], words["whole"] if whole else window),
            (words["made"], f"{stated['made_at'][:19]}Z {words['by']} {stated['made_by']}"),
            (words["size"], Number(float(stated["tree_size"]), 0)),
            ("Log", Code(stated["origin"])),
        ),
        sections=(
            Section(
                words["check"],
                (
                    Paragraph(words["check_how"]),
                    Paragraph(words["anchor"]),
                    Notice(words["no_patient"], "plain"),
                ),
            ),
            *(
                _article(name, kinds, first.get(name, []), documents, words, language)
                for name in stated["articles"]
            ),
            Section(words["kinds"], (_kinds(kinds, words, language),)),
        ),
    )


def _article(
    name: str,
    kinds: Mapping[str, int],
    first: list[tuple[int, str, str]],
    documents: tuple[GovernedDocument, ...],
    words: Mapping[str, str],
    language: Language,
) -> Section:
    article = ARTICLES[name]
    count = sum(n for kind, n in kinds.items() if not article.kinds or kind in article.kinds)
    reports = ", ".join(f"reports/{item}.json" for item in article.reports)
    rows = tuple((Number(float(index), 0), at, kind) for index, at, kind in first[:50])
    columns = (Column(words["leaf"]), Column(words["at"]), Column(words["record_kind"]))
    blocks = [
        Paragraph(article.demands[language == "de"]),
        Paragraph(f"{words['records']}: {count}. {words['reports']}: {reports or '–'}."),
    ]
    tables: list[Table] = []
    if rows:
        tables.append(Table(words["first"], columns, rows))
    found = [item for item in documents if item.kind in article.documents]
    if found:
        tables.append(_documents(found, words))
    title = f"{words['article']} {name}: {article.title[language == 'de']}"
    return Section(title, (*blocks, *tables), key=f"article-{name}")


def _documents(found: list[GovernedDocument], words: Mapping[str, str]) -> Table:
    names = ("record_kind", "name", "revision", "digest", "quoted")
    return Table(
        words["documents"],
        tuple(Column(words[name]) for name in names),
        tuple(
            (
                item.kind,
                item.name,
                Number(float(item.revision), 0),
                Code(item.digest),
                words["yes" if item.kind in QUOTED else "no"],
            )
            for item in found
        ),
    )


def _kinds(kinds: Mapping[str, int], words: Mapping[str, str], language: Language) -> Table:
    return Table(
        words["kinds"],
        (Column(words["record_kind"]), Column(words["meaning"]), Column(words["count"])),
        tuple(
            (
                Code(kind),
                MEANINGS.get(kind, ("", ""))[language == "de"],
                Number(float(count), 0),
            )
            for kind, count in sorted(kinds.items())
        ),
    )
