"""Strata of a cohort: who is judged apart, in the same terms that guard a run.

A rule is a `governance.strata.Stratum` before it has a number and a verdict, so that what a
certificate says of a group and whom the run-time gate takes for a member are one thing.  Three
groups are always there, whether a patient of theirs is in the cohort or not: under 18, where
osteosarcoma and Ewing sarcoma peak; 75 and over; and pregnant patients.  With none, or too few,
they are "insufficient".

Source: Regulation (EU) 2024/1689 Art. 9(9) (minors and vulnerable groups); REGULATORY.md
AIA-9.9; ICH E7(R1) 2010, III (75 and over is examined as a group of its own).

Read next: `coverage.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from governance.strata import CaseFacts, Stratum, belongs

if TYPE_CHECKING:
    from validation.cohort.manifest import CohortCase, CohortFacts

MINIMUM_N = 8
"""Patients that a stratum needs, unless it states more: at 8 an exact 95 % interval of "all
met" begins at 0.63 (Clopper-Pearson); with fewer, half of the patients could fail unseen."""
BANDS: Mapping[str, tuple[float, float]] = {
    "0-17": (0, 18),
    "18-39": (18, 40),
    "40-64": (40, 65),
    "65-74": (65, 75),
    "75-89": (75, 90),
    "90+": (90, 150),
}
"""Age band -> years [from, below)."""
AGE_BANDS = (*BANDS, "unknown")


@dataclass(frozen=True, slots=True)
class StratumRule:
    """One group of patients that is judged apart.

    Parameters
    ----------
    where : conditions of `governance.strata.Stratum`; all hold for a member.
    minimum_n : patients below which the verdict is "insufficient".
    reason : why this group is looked at.

    Raises
    ------
    RefusalError : it is malformed (CERTIFICATE_MALFORMED).
    """

    name: str
    where: Mapping[str, Any] = field(default_factory=dict)
    minimum_n: int = MINIMUM_N
    reason: str = ""

    def __post_init__(self) -> None:
        self.judged(0, "insufficient")
        if self.minimum_n < 1 or not self.where:
            raise ValueError("a stratum has conditions and a least number of patients above 0")

    def judged(self, n: int, verdict: str) -> Stratum:
        """Return the stratum of a certificate: this group with its number and verdict."""
        return Stratum(self.name, n, verdict, dict(self.where))


MANDATORY = (
    StratumRule("under-18", {"age_years": [0, 18]}, MINIMUM_N, "AI Act Art. 9(9): minors"),
    StratumRule("75-and-over", {"age_years": [75, 150]}, MINIMUM_N, "Art. 9(9): the very old"),
    StratumRule("pregnant", {"flag": "pregnant"}, MINIMUM_N, "Art. 9(9): pregnant patients"),
)


def with_mandatory(rules: Sequence[StratumRule]) -> tuple[StratumRule, ...]:
    """Return the rules with the mandatory ones before them, each name once.

    A mandatory stratum keeps its conditions; a rule of the same name may only ask for more
    patients.
    """
    stated = {rule.name: rule for rule in rules}
    must = tuple(
        StratumRule(
            rule.name,
            rule.where,
            max(rule.minimum_n, stated[rule.name].minimum_n) if rule.name in stated else MINIMUM_N,
            rule.reason,
        )
        for rule in MANDATORY
    )
    names = {rule.name for rule in must}
    return (*must, *(rule for rule in rules if rule.name not in names))


def age_band(years: float) -> str:
    """Return the band of an age.

    Examples
    --------
    >>> age_band(17.9), age_band(18), age_band(95)
    ('0-17', '18-39', '90+')
    """
    return next((name for name, (low, high) in BANDS.items() if low <= years < high), "unknown")


def member(rule: StratumRule, facts: CohortFacts, given: Sequence[str]) -> bool | None:
    """Return whether a case is in a stratum; None where a fact that decides is unknown.

    Parameters
    ----------
    given : roles that the release gets of the case.
    """
    ends: tuple[float | None, ...] = (facts.age_years,)
    if facts.age_years is None and facts.age_band in BANDS:
        low, high = BANDS[facts.age_band]
        ends = (low, high - 1e-6)
    stratum = rule.judged(0, "insufficient")
    answers = {
        belongs(
            stratum,
            CaseFacts(
                years, facts.sex, facts.body_part, facts.flags, tuple(sorted(given)),
                facts.manufacturer, facts.model, facts.station,
            ),
        )
        for years in ends
    }  # fmt: skip
    return answers.pop() if len(answers) == 1 else None


def strata_of(
    rules: Sequence[StratumRule], case: CohortCase, given: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the names of the strata that a case is surely in, sorted.

    Parameters
    ----------
    given : roles that the release gets; all of the case where it is empty.
    """
    roles = tuple(given) or tuple(case.inputs)
    return tuple(sorted(rule.name for rule in rules if member(rule, case.facts, roles)))
