"""Typed values out of a decoded document (TOML or JSON) that a person wrote.

A missing or wrong value is named by its path, so that whoever wrote the file finds it; a
key that nothing reads is refused by `only`, so that a slip of the pen cannot silently
switch off a limit.

Read next: `change/plan.py`, which reads a plan with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from audit.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a document, with the path that names it in messages.

    Parameters
    ----------
    path : e.g. ``plan.modification[0]``.
    content : the decoded table.
    """

    path: str
    content: Mapping[str, Any]

    def fault(self, key: str, expected: str) -> ConfigurationError:
        """Return the error that says what was expected under a key."""
        found = type(self.content.get(key)).__name__ if key in self.content else "nothing"
        return ConfigurationError(
            f"expected {expected} at {self.path}.{key}, found {found}",
            advice="Correct the named value in the file.",
        )

    def only(self, keys: Iterable[str]) -> Table:
        """Return the table when it has no key but these; ConfigurationError names a stranger."""
        strange = sorted(set(self.content) - set(keys))
        if strange:
            raise ConfigurationError(
                f"expected known keys at {self.path}, found {strange[0][:40]!r}",
                advice=f"Known are: {', '.join(sorted(keys))}.",
            )
        return self

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty, or the default where the key is missing."""
        value = self.content.get(key, default)
        if not isinstance(value, str) or (not value.strip() and value != default):
            raise self.fault(key, "a text")
        return value

    def word(self, key: str, words: tuple[str, ...]) -> str:
        """Return one of the known words."""
        value = self.content.get(key)
        if not isinstance(value, str) or value not in words:
            raise self.fault(key, f"one of {', '.join(words)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; a missing one is empty."""
        value = self.content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            raise self.fault(key, "a list of texts")
        return tuple(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value, or the default where the key is missing."""
        value = self.content.get(key, default)
        if not isinstance(value, bool):
            raise self.fault(key, "true or false")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a finite number."""
        value = self.content.get(key, default)
        if not _is_number(value):
            raise self.fault(key, "a finite number")
        return float(value)

    def count(self, key: str, default: int | None = None) -> int:
        """Return a whole number from 0."""
        value = self.content.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.fault(key, "a whole number from 0")
        return value

    def numbers(self, key: str) -> dict[str, float]:
        """Return a table of finite numbers; a missing one is empty."""
        value = self.content.get(key, {})
        if not isinstance(value, Mapping) or not all(_is_number(v) for v in value.values()):
            raise self.fault(key, "a table of finite numbers")
        return {str(name): float(number) for name, number in value.items()}

    def day(self, key: str, default: date | None = None) -> date:
        """Return a date, written as a TOML date or as ISO 8601 text."""
        value = self.content.get(key, default)
        try:
            return date.fromisoformat(value) if isinstance(value, str) else _plain_date(value)
        except ValueError as error:
            raise self.fault(key, "a date YYYY-MM-DD") from error

    def table(self, key: str) -> Table:
        """Return a table inside; a missing one is empty."""
        value = self.content.get(key, {})
        if not isinstance(value, Mapping):
            raise self.fault(key, "a table")
        return Table(f"{self.path}.{key}", value)

    def tables(self, key: str) -> tuple[Table, ...]:
        """Return a list of tables; a missing one is empty."""
        value = self.content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, Mapping) for v in value):
            raise self.fault(key, "a list of tables")
        return tuple(Table(f"{self.path}.{key}[{n}]", item) for n, item in enumerate(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _plain_date(value: Any) -> date:
    if type(value) is not date:
        raise ValueError("no date")
    return value
