"""The EU declaration of conformity as a page, in English or German.

Source: Regulation (EU) 2024/1689 Annex V; the wording of items 3 to 5 follows the Regulation.

Read next: `declaration.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.declaration import open_items
from governance.report import (
    Block,
    Bullets,
    Cell,
    Code,
    Facts,
    Language,
    Notice,
    Paragraph,
    Report,
    Section,
    Status,
)

_TEXTS: Mapping[str, tuple[str, str]] = {
    "kind": ("EU declaration of conformity", "EU-Konformitätserklärung"),
    "item_1": ("AI system", "KI-System"),
    "item_2": ("Provider", "Anbieter"),
    "item_3": ("Responsibility", "Verantwortung"),
    "item_4": ("Conformity", "Konformität"),
    "item_5": ("Personal data", "Personenbezogene Daten"),
    "item_6": ("Standards and specifications", "Normen und Spezifikationen"),
    "item_7": ("Notified body", "Notifizierte Stelle"),
    "item_8": ("Signature", "Unterschrift"),
    "responsible": (
        "This EU declaration of conformity is issued under the sole responsibility of the "
        "provider.",
        "Die alleinige Verantwortung für die Ausstellung dieser EU-Konformitätserklärung trägt "
        "der Anbieter.",
    ),
    "complies": (
        "The AI system complies with Regulations (EU) 2016/679 and (EU) 2018/1725 and with "
        "Directive (EU) 2016/680.",
        "Das KI-System entspricht den Verordnungen (EU) 2016/679 und (EU) 2018/1725 und der "
        "Richtlinie (EU) 2016/680.",
    ),
    "no_personal_data": (
        "The AI system does not process personal data.",
        "Das KI-System verarbeitet keine personenbezogenen Daten.",
    ),
    "class_I": (
        "Class I: no notified body takes part.",
        "Klasse I: Keine notifizierte Stelle ist beteiligt.",
    ),
    "conforms": (
        "The AI system is in conformity with:",
        "Das KI-System entspricht:",
    ),
    "draft": ("Draft: not signed, no declaration", "Entwurf: nicht unterzeichnet, keine Erklärung"),
    "revoked": ("Revoked: {reason}", "Widerrufen: {reason}"),
    "signed": ("Signed", "Unterzeichnet"),
    "missing": ("MISSING", "FEHLT"),
}
_LABELS: Mapping[str, str] = {
    "name": "Name", "type": "Typ", "version": "Version", "release_digest": "Release-Digest",
    "basic_udi_di": "Basis-UDI-DI", "udi_di": "UDI-DI", "address": "Anschrift",
    "representative": "Bevollmächtigter", "number": "Kennnummer", "procedure": "Verfahren",
    "certificate_id": "Bescheinigung", "place": "Ort", "date": "Datum", "function": "Funktion",
    "on_behalf_of": "Im Namen von",
}  # fmt: skip


def declaration_report(content: Mapping[str, Any], language: Language) -> Report:
    """Return a draft or a signed declaration as a report; a draft says that it is none."""
    t = {key: pair[0 if language == "en" else 1] for key, pair in _TEXTS.items()}
    standing = Status(t["draft"], "bad")
    if content.get("revoked"):
        standing = Status(t["revoked"].format(reason=content["revoked"]), "bad")
    elif not open_items(content):
        standing = Status(t["signed"], "good")
    sections = tuple(
        Section(t[f"item_{number}"], _item(number, content, t, language), key=f"item-{number}")
        for number in range(1, 9)
    )
    facts: tuple[tuple[str, Cell], ...] = (
        (_label("release_digest", language), Code(str(content["release_digest"]))),
    )
    title = f"{content['plugin']} {content['version']}"
    return Report(title, t["kind"], language, facts, sections, standing)


def _item(
    number: int, content: Mapping[str, Any], t: Mapping[str, str], language: Language
) -> tuple[Block, ...]:
    value = content.get(f"item_{number}")
    if not value:
        return (Notice(t["missing"], "bad"),)
    if number == 3:
        return (Paragraph(t["responsible"]),)
    if isinstance(value, Mapping):
        rows = [(key, item) for key, item in value.items() if item]
        return (Facts(tuple((_label(key, language), _cell(item)) for key, item in rows)),)
    if number == 4:
        return (Paragraph(t["conforms"]), Bullets(tuple(value)))
    if isinstance(value, list):
        rows = [(row["reference"], _standard(row)) for row in value]
        return (Facts(tuple(rows)),)
    return (Paragraph(t[str(value)]),)


def _standard(row: Mapping[str, Any]) -> str:
    cited = f" ({row['oj_reference']})" if row["oj_reference"] else ""
    return f"{row['title']}, {row['extent']}{cited}"


def _cell(value: Any) -> Cell:
    text = str(value)
    return Code(text) if text.startswith("sha256:") else text


def _label(key: str, language: Language) -> str:
    return _LABELS.get(key, key) if language == "de" else key.replace("_", " ")
