"""The log guide of the instructions for use: what is recorded, where, and how to read it.

Generated from the schema in `audit/kinds.py`; a kind or field that nobody described prints
MISSING, and a test holds that none does.

Source: Regulation (EU) 2024/1689 Art. 12, 13(3)(f), 19, 26(6); REGULATORY.md AIA-13.3c.

Read next: `instructions.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from audit.kinds import KINDS, Kind
from governance import log_fields
from governance.report import Bullets, Code, Column, Language, Paragraph, Report, Section, Table

MISSING = "MISSING"
_TEXTS: Mapping[str, tuple[str, str]] = {
    "title": ("Audit log", "Audit-Log"),
    "kind": ("Log guide", "Protokoll-Leitfaden"),
    "about": (
        "Every event is one record: canonical JSON (RFC 8785) without patient data, a leaf of a "
        "tree (RFC 9162) whose root is signed. Nothing leaves before its record is durable.",
        "Jedes Ereignis ist ein Eintrag: kanonisches JSON (RFC 8785) ohne Patientendaten, ein "
        "Blatt eines Baums (RFC 9162), dessen Wurzel signiert ist. Nichts verlässt das System, "
        "bevor sein Eintrag dauerhaft ist.",
    ),
    "use": ("How to collect, store and read it", "Sammeln, Aufbewahren und Lesen"),
    "head": ("Fields of every record", "Felder jedes Eintrags"),
    "kinds": ("Kinds of record", "Arten von Einträgen"),
    "field": ("Field", "Feld"),
    "meaning": ("Meaning", "Bedeutung"),
    "serves": ("Art. 12(2)", "Art. 12(2)"),
}
_USE = {
    "en": (
        "The log is kept in the site database; `osteon audit verify` recomputes the tree over "
        "every record and checks the signature.",
        "It is kept for ten years unless the section retention says longer or shorter, and never "
        "under 183 days (Art. 26(6)); `osteon audit purge` lets go of it by two persons, "
        "`osteon backup` keeps a copy.",
        "`osteon audit export` writes it as CSV, NDJSON, Parquet, FHIR AuditEvents or DICOM "
        "messages; audit repositories get it by themselves (docs/keep-the-log.md).",
        "Each run's page lists its records; `osteon audit` reads the log, and each reading is "
        "itself recorded.",
    ),
    "de": (
        "Das Protokoll liegt in der Datenbank des Standorts; `osteon audit verify` berechnet den "
        "Baum über alle Einträge neu und prüft die Signatur.",
        "Es wird zehn Jahre aufbewahrt, wenn der Abschnitt retention nichts anderes sagt, und nie "
        "unter 183 Tagen (Art. 26(6)); `osteon audit purge` löscht durch zwei Personen, "
        "`osteon backup` sichert eine Kopie.",
        "`osteon audit export` schreibt es als CSV, NDJSON, Parquet, FHIR AuditEvents oder "
        "DICOM-Nachrichten; Audit-Repositories erhalten es von selbst (docs/keep-the-log.md).",
        "Die Seite jedes Laufs führt seine Einträge; `osteon audit` liest das Protokoll, und "
        "jedes Lesen wird selbst eingetragen.",
    ),
}


def log_guide(language: Language) -> Report:
    """Return the guide in one language; fields are described in English."""
    t = {key: pair[0 if language == "en" else 1] for key, pair in _TEXTS.items()}
    kinds = tuple(_section(name, kind, t, language) for name, kind in KINDS.items())
    return Report(
        title=t["title"],
        kind=t["kind"],
        language=language,
        facts=(),
        sections=(
            Section(t["use"], (Paragraph(t["about"]), Bullets(_USE[language])), key="use"),
            Section(t["head"], (_head(t),), key="head"),
            Section(t["kinds"], (), kinds, key="kinds"),
        ),
    )


def kinds_table(language: Language) -> Table:
    """Return the kinds of record in one table."""
    index = 0 if language == "en" else 1
    columns = (
        Column(_TEXTS["kinds"][index]), Column(_TEXTS["meaning"][index]),
        Column(_TEXTS["serves"][index]),
    )  # fmt: skip
    rows = tuple(
        (Code(name), _meaning(name, language), ", ".join(kind.art12))
        for name, kind in KINDS.items()
    )
    return Table("", columns, rows)


def undescribed() -> tuple[str, ...]:
    """Return the kinds and fields of the schema that the guide does not explain."""
    kinds = [name for name in KINDS if name not in log_fields.KINDS]
    fields = [
        f"{name}.{field}"
        for name, kind in KINDS.items()
        for field in _fields(kind)
        if not log_fields.describe(name, field)
    ]
    return tuple(kinds + fields)


def _section(name: str, kind: Kind, t: Mapping[str, str], language: Language) -> Section:
    rows = tuple(
        (Code(field), log_fields.describe(name, field) or MISSING) for field in _fields(kind)
    )
    table = Table("", (Column(t["field"]), Column(t["meaning"])), rows)
    meaning = Paragraph(f"{_meaning(name, language)} {t['serves']}: {', '.join(kind.art12)}.")
    return Section(name, (meaning, table), key=f"kind-{name}")


def _head(t: Mapping[str, str]) -> Table:
    rows = tuple((Code(name), text) for name, text in log_fields.HEAD.items())
    return Table("", (Column(t["field"]), Column(t["meaning"])), rows)


def _meaning(name: str, language: Language) -> str:
    pair = log_fields.KINDS.get(name, (MISSING, MISSING))
    return pair[0 if language == "en" else 1]


def _fields(kind: Kind) -> Iterator[str]:
    for field in kind.required:
        if field in kind.groups:
            yield from (f"{field}.{part}" for part in kind.groups[field])
        else:
            yield field
