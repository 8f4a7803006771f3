"""Strata: for which patients a certificate says something, and whom it leaves uncovered.

A stratum states its members in checkable terms (``where``).  One with too few patients is
``insufficient``: its patients are refused in clinical mode and marked in research mode; it
does not fail the rest.  Where a fact is unknown, membership cannot be ruled out, and
counts.

    {"name": "under-18", "n": 3, "verdict": "insufficient", "where": {"age_years": [0, 18]}}

Source: SEAMS, Certificate; REGULATORY.md AIA-9.9, AIA-10.3 (uncovered cells are not
processed silently).

Read next: `certificate.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.errors import RefusalError

VERDICTS = ("pass", "fail", "insufficient")
UNCOVERED = "STRATUM_INSUFFICIENT"
UNKNOWN = "STRATUM_UNKNOWN"
EQUIPMENT = ("manufacturer", "model", "station")
"""Facts of the machine that made the reference image, compared by letters and digits alone."""
_KEYS = ("age_years", "sex", "body_part", "flag", "inputs", *EQUIPMENT)


@dataclass(frozen=True, slots=True)
class Stratum:
    """One group of patients with its number and verdict.

    Parameters
    ----------
    where : conditions that all hold for a member; empty means everybody.  ``age_years``:
        [from, below); ``sex`` and ``body_part``: permitted values; ``flag``: a quality flag
        such as ``metal`` that is there; ``inputs``: exactly these roles were read;
        ``manufacturer``, ``model``, ``station``: permitted values, the last one as the word
        that reading makes of a Station Name.

    Raises
    ------
    RefusalError : it is malformed (CERTIFICATE_MALFORMED).
    """

    name: str
    n: int
    verdict: str
    where: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = self.where.get("age_years", (0, 0))
        well = (
            self.verdict in VERDICTS
            and 0 < len(self.name) <= 64
            and all(letter.isalnum() or letter in "-_.+" for letter in self.name)
            and isinstance(self.n, int)
            and self.n >= 0
            and set(self.where) <= set(_KEYS)
            and len(numbers) == 2
            and all(isinstance(number, (int, float)) for number in numbers)
        )
        if not well:
            raise RefusalError(
                "expected a stratum with name, n, verdict and known conditions, found another",
                reasons=("CERTIFICATE_MALFORMED",),
            )


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What decides to which strata a case belongs; None and empty where it is unknown.

    Parameters
    ----------
    flags : quality flags of the case.
    inputs : roles that were read, sorted.
    manufacturer, model, station : of the reference image's scanner.
    """

    age_years: float | None = None
    sex: str | None = None
    body_part: str = ""
    flags: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    manufacturer: str = ""
    model: str = ""
    station: str = ""


def belongs(stratum: Stratum, facts: CaseFacts) -> bool | None:
    """Return whether a case is a member; None where a fact that decides is unknown."""
    answers = [_holds(key, value, facts) for key, value in stratum.where.items()]
    if False in answers:
        return False
    return None if None in answers else True


def uncovered(strata: Sequence[Stratum], facts: CaseFacts) -> tuple[str, ...]:
    """Return a reason for each stratum without a pass that the case is, or may be, in.

    A reason is a code, the stratum's name and its n; it states no fact of the patient.
    """
    reasons = []
    for stratum in strata:
        member = belongs(stratum, facts)
        if stratum.verdict != "pass" and member is not False:
            code = UNCOVERED if member else UNKNOWN
            reasons.append(f"{code} {stratum.name} {stratum.n}")
    return tuple(reasons)


def _holds(key: str, wanted: Any, facts: CaseFacts) -> bool | None:
    if key == "age_years":
        return None if facts.age_years is None else wanted[0] <= facts.age_years < wanted[1]
    if key == "sex":
        return None if facts.sex is None else facts.sex in _values(wanted)
    if key == "body_part" or key in EQUIPMENT:
        found = str(getattr(facts, key))
        known = {_letters(item) for item in _values(wanted)}
        return None if not found else _letters(found) in known
    if key == "flag":
        return all(item in facts.flags for item in _values(wanted))
    return tuple(sorted(_values(wanted))) == tuple(sorted(facts.inputs))


def _values(wanted: Any) -> tuple[str, ...]:
    return (wanted,) if isinstance(wanted, str) else tuple(str(item) for item in wanted)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.upper() if letter.isalnum())
