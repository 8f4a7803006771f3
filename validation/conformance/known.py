"""A question whose answer is known, and how it is asked.

Read next: `shapes.py`, `doses.py`, `curves.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


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
    since : number of the first pack that has the case.
    later : metric -> number of the first pack that asks it of this case, where that is later.
    """

    case: str
    exact: Mapping[str, float]
    measure: Callable[[], Mapping[str, float]]
    why: str
    tolerance: float = 1e-9
    since: int = 1
    later: Mapping[str, int] = field(default_factory=dict)

    def asked_in(self, number: int) -> dict[str, float]:
        """Return the exact values that a pack asks for."""
        return {
            name: value
            for name, value in self.exact.items()
            if max(self.since, self.later.get(name, 1)) <= number
        }
