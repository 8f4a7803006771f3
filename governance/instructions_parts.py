"""What fills each section of the instructions for use; a part without a source says MISSING.

Read next: `instructions_texts.py`.
"""

from __future__ import annotations

from typing import Any

from governance import classification, risk
from governance.accuracy import (
    Accuracy,
    accuracy_forest,
    accuracy_table,
    given_text,
    held_against,
)
from governance.instructions_texts import localised, words
from governance.log_guide import kinds_table
from governance.provider import PROVIDER, read_provider
from governance.release import MANIFEST
from governance.report import (
    Block,
    Bullets,
    Cell,
    Column,
    Facts,
    Language,
    Notice,
    Paragraph,
    Status,
    Table,
)
from governance.technical_file.card_text import items, part
from governance.technical_file.contents_evidence import accuracy_of
from governance.technical_file.contents_office import register_of
from governance.technical_file.contents_release import LIMITS, input_specification
from governance.technical_file.found import Missing
from governance.technical_file.sources import CARD, CRITERIA, OVERSEERS, PLAN, Sources
from governance.technical_file.statements import KIND as STATEMENT

MISSING = "MISSING"
Blocks = tuple[Block, ...]


def provider(sources: Sources, language: Language) -> Blocks:
    """Return who places it on the market."""
    document = sources.content(PROVIDER)
    if document is None:
        return _missing("provider")
    t, found = words(language), read_provider(document)
    facts: list[tuple[str, Cell]] = [
        (t["name"], found.name), (t["address"], found.address), (t["contact"], found.email),
    ]  # fmt: skip
    if found.representative:
        facts.append((t["representative"], found.representative))
    return (Facts(tuple(facts)),)


def purpose(sources: Sources, language: Language) -> Blocks:
    """Return the intended purpose as the release states it, and what it is not meant for."""
    manifest = sources.content(MANIFEST)
    if manifest is None or not manifest.get("intended_purpose"):
        return _missing("intended_purpose")
    t, excluded = words(language), part(sources.content(CARD), "not meant for")
    blocks: Blocks = (_quoted(" ".join(str(manifest["intended_purpose"]).split())),)
    if excluded:
        blocks += (Notice(f"{t['not_meant_for']}: {excluded}"),)
    return blocks


def accuracy(sources: Sources, language: Language) -> Blocks:
    """Return the measured accuracy over all patients, and the criteria fixed beforehand."""
    measured = accuracy_of(sources)
    if isinstance(measured, Missing):
        return _missing(measured.reason)
    blocks: Blocks = (accuracy_table(measured, measured.overall(), language, overall=True),)
    return blocks + _criteria(measured, sources, language)


def groups(sources: Sources, language: Language) -> Blocks:
    """Return the accuracy of each group; without groups of persons the section is open."""
    measured = accuracy_of(sources)
    if isinstance(measured, Missing):
        return _missing(measured.reason)
    if not measured.by_group():
        return _missing("p3.accuracy_by_group")
    given = measured.overall()[0].given
    blocks: Blocks = (
        accuracy_forest(measured, given, language),
        accuracy_table(measured, measured.by_group(), language, overall=False),
    )
    return blocks if measured.covers_persons() else blocks + _missing("p3.accuracy_by_group")


def robustness(sources: Sources, language: Language) -> Blocks:
    """Return what a person stated on cybersecurity and robustness."""
    del language  # a statement is in the language of its author
    document = sources.content(f"{STATEMENT}/p2.h.cybersecurity")
    return (_quoted(str(document["text"])),) if document else _missing("p2.h.cybersecurity")


def risks(sources: Sources, language: Language) -> Blocks:
    """Return the limits of the card and what the user does about each hazard."""
    t, limits = words(language), items(part(sources.content(CARD), *LIMITS))
    if not limits or sources.content(risk.KIND) is None:
        return _missing("risk_register, card")
    rows = tuple(
        (hazard.title, hazard.harm, t[hazard.severity], control.text)
        for hazard in register_of(sources).hazards
        for control in hazard.controls
        if control.kind == "inform"
    )
    columns = tuple(Column(t[key]) for key in ("hazard", "harm", "severity", "what_to_do"))
    return (Table("", columns, rows), Paragraph(f"{t['limits']}:"), Bullets(limits, "en"))


def explanation(sources: Sources, language: Language) -> Blocks:
    """Return what the card says of explanations."""
    del language
    text = part(sources.content(CARD), "explanation")
    return (_quoted(text),) if text else _missing("card: explanation")


def input_data(sources: Sources, language: Language) -> Blocks:
    """Return what is checked of the input before anything is computed."""
    manifest = sources.content(MANIFEST)
    if manifest is None:
        return _missing(MANIFEST)
    t, specification = words(language), input_specification(manifest)
    columns = (Column(t["input"]), Column(t["modality"]), Column(t["required"]))
    rows = tuple(
        (row["role"], row["modality"], t[row["required"]]) for row in specification["inputs"]
    )
    facts: tuple[tuple[str, Cell], ...] = tuple(
        (t[key], localised(str(value), language))
        for key, value in specification.items()
        if key != "inputs"
    )
    return (Table("", columns, rows), Facts(facts), Paragraph(t["refused"]))


def interpretation(sources: Sources, language: Language) -> Blocks:
    """Return what the output is, and that a person decides on it."""
    t, text = words(language), part(sources.content(CARD), "output")
    if not text:
        return _missing("card: output")
    return (_quoted(text), Paragraph(t["unapproved"]), Paragraph(t["abstains"]))


def changes(sources: Sources, language: Language) -> Blocks:
    """Return the pre-determined changes, or that there are none."""
    t, plan = words(language), sources.content(PLAN)
    absent = sources.content(f"{STATEMENT}/p2.f.predetermined_changes")
    if plan is None and absent is None:
        return _missing("change_plan")
    if plan is None:
        return (Paragraph(t["no_changes"]),)
    content: dict[str, Any] = plan.get("plan", plan)
    rows = tuple(f"{row['id']}: {row['rationale']}" for row in content["modification"])
    return (Paragraph(f"{t['plan']} {content.get('version', '')}".strip()), Bullets(rows, "en"))


def oversight(sources: Sources, language: Language) -> Blocks:
    """Return who is in charge and what protects against a wrong result."""
    t, named = words(language), sources.content(OVERSEERS)
    if named is None or sources.content(risk.KIND) is None:
        return _missing("overseers, risk_register")
    rows = tuple(
        (control.control_id, control.text)
        for hazard in register_of(sources).hazards
        for control in hazard.controls
        if control.kind == "protect"
    )
    persons = tuple(_inline(item) for item in named["overseers"])
    return (
        Paragraph(t["unapproved"]),
        Paragraph(t["stop"]),
        Paragraph(f"{t['overseers']}:"),
        Bullets(persons),
        Table(t["measures"], (Column(""), Column(t["measure"])), rows),
    )


def resources(sources: Sources, language: Language) -> Blocks:
    """Return what one case may take, and how the release is kept."""
    manifest = sources.content(MANIFEST)
    if manifest is None:
        return _missing(MANIFEST)
    t, limits = words(language), manifest.get("limits", {})
    facts: tuple[tuple[str, Cell], ...] = (
        (t["processor"], f"{limits.get('threads', '?')} threads"),
        (t["memory"], f"{limits.get('memory_mb', '?')} MB"),
        (t["time"], f"{limits.get('wall_time_s', 0):g} s"),
        (t["python"], str(manifest.get("runtime", {}).get("python", ""))),
    )
    return (Facts(facts), Paragraph(t["maintenance"]))


def logs(sources: Sources, language: Language) -> Blocks:
    """Return what is recorded; the log guide has the fields."""
    if sources.content(MANIFEST) is None:
        return _missing(MANIFEST)
    return (Paragraph(words(language)["log_guide"]), kinds_table(language))


def intended_class(sources: Sources) -> Status:
    """Return the class that the instructions may name; a gap while nothing is classified."""
    document = sources.content(classification.KIND)
    return Status(str(document["mdr_class"])) if document else Status(MISSING, "bad")


def _criteria(measured: Accuracy, sources: Sources, language: Language) -> Blocks:
    document = sources.content(CRITERIA)
    if document is None:
        return ()
    t = words(language)
    heads = ("criterion", "given", "bound", "measured", "verdict", "reason")
    rows = tuple(_criterion(row, measured, language) for row in document["criteria"])
    return (Table(t["criteria"], tuple(Column(t[key]) for key in heads), rows),)


def _criterion(row: dict[str, Any], measured: Accuracy, language: Language) -> tuple[Cell, ...]:
    t, judged = words(language), held_against(measured, row)
    figure: Cell = "–" if judged is None else judged[0]
    verdict = Status(t["elsewhere"])
    if judged is not None:
        verdict = Status(t["met"], "good") if judged[1] else Status(t["missed"], "bad")
    return (
        f"{row['metric']}, {row['statistic']}",
        given_text(row["given"]),
        localised(_bound(row), language),
        figure,
        verdict,
        row.get("reason", ""),
    )


def _bound(row: dict[str, Any]) -> str:
    return f"≥ {row['at_least']:g}" if "at_least" in row else f"≤ {row['at_most']:g}"


def _missing(what: str) -> Blocks:
    return (Notice(f"{MISSING}: {what}", "bad"),)


def _quoted(text: str) -> Paragraph:
    return Paragraph(text, language="en")


def _inline(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_inline(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_inline(item)}" for key, item in sorted(value.items()))
    return str(value)
