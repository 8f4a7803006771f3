"""What a rule finds for a field: a value and the sources that it comes from, or why there is none.

Read next: `contents_release.py`, `contents_evidence.py`, `contents_office.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from audit.errors import SuiteError
from governance.technical_file.sources import Sources

MALFORMED = (KeyError, TypeError, AttributeError, ValueError, SuiteError)
"""What a rule raises where a source is not what it should be: foreign data enters there."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value for a field.

    Parameters
    ----------
    value : JSON values.
    names : the sources that it was made from.
    """

    value: Any
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Absent:
    """The field does not apply, by what the sources say; the reason is quoted."""

    reason: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """There is nothing to fill the field with; ``reason`` says what would."""

    reason: str


Answer = Found | Absent | Missing
Rule = Callable[[Sources], Answer]


def needs(*names: str) -> Callable[[Rule], Rule]:
    """Return a decorator: the rule is asked only where all these sources are there."""

    def decorate(rule: Rule) -> Rule:
        def asked(sources: Sources) -> Answer:
            absent = [name for name in names if sources.content(name) is None]
            if absent:
                return Missing(f"no source: {', '.join(absent)}")
            return rule(sources)

        return asked

    return decorate
