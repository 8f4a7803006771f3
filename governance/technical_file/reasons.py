"""Reasons of a field in the reader's language: the phrases that rules use, in German.

What a person wrote, and what a faulty document says of itself, stays as it is.

Read next: `file_report.py`.
"""

from __future__ import annotations

import re

_GERMAN: tuple[tuple[str, str], ...] = (
    (r"^a person has to write and sign it$", "eine Person muss es schreiben und unterzeichnen"),
    (
        r"^a person has to complete and sign it$",
        "eine Person muss es vervollständigen und unterzeichnen",
    ),
    (r"^no source: (.*)$", r"keine Quelle: \1"),
    (
        r"^sections of the instructions are open: (.*)$",
        r"Abschnitte der Gebrauchsanweisung sind offen: \1",
    ),
    (
        r"^no accuracy was recorded: (.*)$",
        r"es wurde keine Genauigkeit eingetragen: \1",
    ),
    (
        r"^no groups of persons were measured, or not the group (.*)$",
        r"es wurden keine Personengruppen gemessen, oder nicht die Gruppe \1",
    ),
    (
        r"^no other version of this plugin is known at this site$",
        "an diesem Standort ist keine andere Version dieses Plugins bekannt",
    ),
    (
        r"^this is the first version that is known at this site$",
        "dies ist die erste Version, die an diesem Standort bekannt ist",
    ),
    (r"^the classification expired on (.*)$", r"die Einstufung ist am \1 abgelaufen"),
    (r"^not mapped or overdue: (.*)$", r"nicht zugeordnet oder überfällig: \1"),
    (r"^a source cannot be read: (.*)$", r"eine Quelle ist nicht lesbar: \1"),
)


def reason_text(reason: str, language: str) -> str:
    """Return a reason in a language; one that has no translation is returned as it is."""
    if language == "de":
        for english, german in _GERMAN:
            if re.match(english, reason, re.DOTALL):
                return re.sub(english, german, reason, count=1, flags=re.DOTALL)
    return reason
