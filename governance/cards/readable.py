"""The model card for people: one page after Mitchell et al., as a report.

Source: Mitchell et al., Model Cards for Model Reporting, FAT* 2019, doi 10.1145/3287560.3287596.

Read next: `facts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from governance.accuracy import accuracy_forest, accuracy_table
from governance.cards.facts import MISSING, CardFacts
from governance.report import (
    Block,
    Bullets,
    Code,
    Facts,
    Language,
    Notice,
    Paragraph,
    Report,
    Section,
    Status,
)

_TITLES: Mapping[str, tuple[str, str]] = {
    "kind": ("Model card", "Modellkarte"),
    "purpose": ("Intended use", "Bestimmungsgemäßer Gebrauch"),
    "not_meant_for": ("Not meant for", "Nicht bestimmt für"),
    "input": ("Input and output", "Eingabe und Ausgabe"),
    "method": ("Method", "Methode"),
    "data": ("Data", "Daten"),
    "accuracy": ("Accuracy", "Genauigkeit"),
    "groups": ("Accuracy by group", "Genauigkeit nach Gruppen"),
    "limits": ("Limits", "Grenzen"),
    "risks": ("Risks", "Risiken"),
    "digest": ("Release digest", "Release-Digest"),
    "provider": ("Provider", "Anbieter"),
    "class": ("Class", "Klasse"),
}


def readable_card(facts: CardFacts, language: Language) -> Report:
    """Return the card in one language; what the plugin's author wrote is quoted in English."""
    t = {key: pair[0 if language == "en" else 1] for key, pair in _TITLES.items()}
    sections = (
        Section(t["purpose"], _purpose(facts, t["not_meant_for"]), key="purpose"),
        Section(t["input"], _texts(facts.text("input"), facts.text("output")), key="input"),
        Section(t["accuracy"], _accuracy(facts, language), key="accuracy"),
        Section(t["groups"], _groups(facts, language), key="groups"),
        Section(t["method"], _texts(facts.text("method")), key="method"),
        Section(t["data"], _texts(facts.text("data")), key="data"),
        Section(t["limits"], _list(facts.limits), key="limits"),
        Section(t["risks"], _list(facts.hazards), key="risks"),
    )
    return Report(
        title=f"{facts.title} {facts.version}",
        kind=t["kind"],
        language=language,
        facts=(
            (t["digest"], Code(facts.release_digest)),
            (t["provider"], _or_missing(facts.developer)),
            (t["class"], _or_missing(facts.risk_class)),
        ),
        sections=sections,
        standing=Status(facts.stage, "wait"),
    )


def _purpose(facts: CardFacts, not_meant_for: str) -> tuple[Block, ...]:
    excluded = facts.text("not meant for")
    return (*_texts(facts.purpose), Notice(f"{not_meant_for}: {excluded}"))


def _accuracy(facts: CardFacts, language: Language) -> tuple[Block, ...]:
    measured = facts.accuracy
    if measured is None:
        return _texts(MISSING)
    table = accuracy_table(measured, measured.overall(), language, overall=True)
    origin = Facts((("report", Code(measured.report_sha256)),))
    return (table, origin)


def _groups(facts: CardFacts, language: Language) -> tuple[Block, ...]:
    measured = facts.accuracy
    if measured is None or not measured.by_group():
        return _texts(MISSING)
    return (
        accuracy_forest(measured, measured.overall()[0].given, language),
        accuracy_table(measured, measured.by_group(), language, overall=False),
    )


def _texts(*texts: str) -> tuple[Block, ...]:
    return tuple(
        Notice(MISSING, "bad") if text == MISSING else Paragraph(paragraph, language="en")
        for text in texts
        for paragraph in text.split("\n\n")
    )


def _list(rows: tuple[str, ...]) -> tuple[Block, ...]:
    return (Bullets(rows, "en"),) if rows else _texts(MISSING)


def _or_missing(text: str) -> Status | str:
    return Status(MISSING, "bad") if text == MISSING else text
