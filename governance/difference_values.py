"""One statement that differs between two releases, and how JSON values are compared.

Read next: `difference_statements.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StatedChange:
    """One statement that differs.

    Parameters
    ----------
    code : stable, e.g. ENVELOPE_WIDENED.
    path : dotted path in the manifest, or member and path: ``inputs.pet``.
    old, new : JSON values; None where it is not stated.
    """

    code: str
    path: str
    old: Any
    new: Any


def same(old: Any, new: Any) -> bool:
    """Tell whether two JSON values are the same; ``true`` is not 1, a missing one is null."""
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


def leaves(code: str, path: str, old: Any, new: Any) -> Iterator[StatedChange]:
    """Yield one change for each value that differs in two JSON values, by its path."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from leaves(code, f"{path}.{key}", old.get(key), new.get(key))
    elif not same(old, new):
        yield StatedChange(code, path, old, new)


def listed(value: Any) -> list[Any]:
    """Return a JSON list, or none where a manifest of another shape has something else."""
    return value if isinstance(value, list) else []
