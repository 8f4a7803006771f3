"""A commissioning as a report to read: plan, checks, baseline, and what it does not say.

The values are those of the signed document (`adapters/validation/commissioning.py`); who signs
what the report says stands on the page of validation and in the log, not in the report.

Read next: `adapters/documents/report_html.py`, which draws it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

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
    Tone,
)

FILE = Path(__file__).with_name("words.json")
TONES: Mapping[str, Tone] = {"pass": "good", "insufficient": "wait", "fail": "bad"}
Values = Mapping[str, Any]


@cache
def texts(language: Language) -> Mapping[str, str]:
    """Return every text in one language by its key."""
    pairs: Mapping[str, tuple[str, str]] = json.loads(FILE.read_text("utf-8"))
    return {key: pair[0 if language == "en" else 1] for key, pair in pairs.items()}


def commissioning_report(values: Values, language: Language) -> Report:
    """Return the report of a commissioning in one language."""
    t = texts(language)
    facts: tuple[tuple[str, Cell], ...] = (
        (t["site"], str(values["site"])),
        (t["release_digest"], Code(str(values["release_digest"]))),
        (t["plan_id"], Code(str(values["plan_id"]))),
        (t["cohort_digest"], Code(str(values["cohort_digest"]))),
        (t["criteria_digest"], Code(str(values["criteria_digest"]))),
        (t["run"], Code(str(values["run_id"]))),
        (t["ran_by"], str(values["ran_by"])),
        (t["at"], str(values["at"])),
    )
    limits = Bullets(tuple(t[f"limit_{number}"] for number in range(1, 5)))
    sections = (
        Section(t["s_checks"], tuple(_checks(values["checks"], t)), key="checks"),
        Section(t["s_plan"], tuple(_plan(values["plan"], t)), key="plan"),
        Section(t["s_found"], tuple(_found(values["checks"], t)), key="found"),
        Section(t["s_baseline"], tuple(_baseline(values, t)), key="baseline"),
        Section(t["s_limits"], (limits,), key="limits"),
    )
    verdict = str(values["verdict"])
    standing = Status(t[f"v_{verdict}"], TONES[verdict])
    title = f"{values['plugin']} {values['version']}"
    return Report(title, t["kind"], language, facts, sections, standing)


def _checks(checks: Sequence[Values], t: Mapping[str, str]) -> list[Block]:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (t[f"c_{c['name']}"], Status(t[f"v_{c['verdict']}"], TONES[c["verdict"]]),
         Code(c["reason"]) if c["reason"] else "–")
        for c in checks
    )  # fmt: skip
    columns = (Column(t["check"]), Column(t["verdict"]), Column(t["reason"]))
    missed = [c for c in checks if c["verdict"] != "pass"]
    blocks: list[Block] = [Table(t["s_checks"], columns, rows, note=t["checks_note"])]
    if missed:
        blocks.insert(0, Notice(t["not_to_be_signed"], "bad"))
    return blocks


def _plan(plan: Values, t: Mapping[str, str]) -> list[Block]:
    scanners = tuple(" ".join(item.values()) for item in plan["scanners"])
    return [
        Paragraph(t["plan_note"]),
        Facts(
            (
                (t["protocol"], str(plan["protocol"])),
                (t["cases"], Number(float(plan["cases"]), 0)),
                (t["cases_reason"], str(plan["cases_reason"])),
                (t["end_to_end"], str(plan["end_to_end"])),
                (t["refused_share"], Number(float(plan["refused_share"]), 2)),
                (t["trained"], Number(float(plan["trained"]), 0)),
                (t["lasts_days"], Number(float(plan["lasts_days"]), 0)),
                (t["routine_days"], Number(float(plan["routine_days"]), 0)),
            )
        ),
        Paragraph(t["scanners"]),
        Bullets(scanners),
    ]


def _found(checks: Sequence[Values], t: Mapping[str, str]) -> list[Block]:
    """Return the figures of every check, as they were measured."""
    rows: list[tuple[Cell, ...]] = [
        (t[f"c_{check['name']}"], name.replace("_", " "), _cell(value))
        for check in checks
        for name, value in check["figures"].items()
    ]
    columns = (Column(t["check"]), Column(t["figure"]), Column(t["found"]))
    return [Table(t["s_found"], columns, tuple(rows), note=t["found_note"])]


def _cell(value: Any) -> Cell:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, (int, float)):
        return Number(float(value), 0 if isinstance(value, int) else 3)
    if isinstance(value, Mapping):
        parts = (f"{key}: {_plain(item)}" for key, item in value.items())
        return "; ".join(parts) or "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return str(value)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {count}" for key, count in value.items()) or "–"
    return str(value)


def _baseline(values: Values, t: Mapping[str, str]) -> list[Block]:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            str(item["case_id"]), str(item["given"]), Code(str(item["output_digest"])[7:19]),
            "–" if item["headline"] is None else Number(float(item["headline"]), 3),
        )
        for item in values["baseline"]
    )  # fmt: skip
    columns = (Column(t["case"]), Column(t["given"]), Column(t["answer"]), Column(t["headline"]))
    return [Paragraph(t["baseline_note"]), Table(t["s_baseline"], columns, rows)]
