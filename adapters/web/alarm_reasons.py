"""Reasons of alarms in the reader's language: the record keeps the English that was written.

    DETECTOR after N cases [of K sites]    ·    not run for H hours

What was watched and by what stays as the plan names it; what a person wrote stays as it is.

Read next: `alarms.py`, `adapters/monitoring/alarming.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SHAPES = {
    "alarm_after_cases_of_sites": re.compile(
        r"(?P<what>.+) after (?P<cases>\d+) cases of (?P<sites>\d+) sites"
    ),
    "alarm_after_cases": re.compile(r"(?P<what>.+) after (?P<cases>\d+) cases"),
    "alarm_not_run": re.compile(r"(?P<what>.+): not run for (?P<hours>\S+) hours"),
}
"""Key of the text -> how monitors write it."""


def in_words(reason: str, t: Mapping[str, str]) -> str:
    """Return a reason in the words of a language; as it is where no monitor wrote it."""
    for key, shape in SHAPES.items():
        found = shape.fullmatch(reason)
        if found is not None:
            return t[key].format(**found.groupdict())
    return reason
