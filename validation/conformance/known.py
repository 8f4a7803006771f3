"""A question whose answer is known, and how it is asked.

Read next: `shapes.py`, `doses.py`, `curves.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """Hold one case of the pack.

    Parameters
    ----------
    case : in words what is measured.
    exact : metric -> value, worked out by hand.
    measure : the installed metrics on it, by name; more of them than `exact` has is allowed.
    tolerance : absolute, for double precision unless the shape itself is digital.
    why : where the values come from.
    """

    case: str
    exact: Mapping[str, float]
    measure: Callable[[], Mapping[str, float]]
    why: str
    tolerance: float = 1e-9
