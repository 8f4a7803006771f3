"""What can show that a change lacks an effect: measured evidence, and statements of persons.

Every effect of a kind of change is taken to be there until one of its proofs is.  Evidence
is computed here from signed files (equal outputs case by case, routing tried again); a
statement is a sentence that a person signs for, and is kept with its reason.

Source: REGULATORY.md section 4 (columns Conditions and Evidence).

Read next: `kinds.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SMALLEST_REPLAY = 59
"""Cases that a golden replay needs where no plan says another number: without a failure in
59 cases the share of equal outputs is at least 95 % at 95 % confidence (0.95^59 = 0.0485)."""

ROUTING_DAYS = 90
"""Days of studies over which a changed routing is tried again."""

EVIDENCE: Mapping[str, str] = {
    "golden_replay": "outputs of both releases equal on every case of the golden set",
    "numeric_tolerance": "outputs within the plan's numeric tolerance on the golden set",
    "routing_replay": "routing tried again on the last 90 days admits nothing unvalidated",
    "expansion_in_plan": "the plan names this input beforehand, with bounds",
}
STATEMENTS: Mapping[str, str] = {
    "clinical_meaning_unchanged": "the operating point means the same to the clinician",
    "coverage_inside": "new training data lie inside the declared coverage",
    "site_validation": "validated at the site with at least the declared number of cases",
    "extra_organ_at_risk": "one organ at risk more, inside the same purpose and validated band",
    "review_unchanged": "how target contours are reviewed stays the same (usability shown)",
    "label_not_widened": "instructions or warnings say no more than before",
    "label_tightened": "instructions or warnings only became stricter",
    "guard_tightened": "the guard refuses everything that it refused before, or more",
    "article_12_coverage": "every event of Art. 12 is recorded as before",
    "not_significant_design_change": "no significant change of design (Art. 111(2))",
    "legacy_end_accepted": "it is known and accepted that this change ends legacy status",
}


@dataclass(frozen=True, slots=True)
class GoldenReplay:
    """Outputs of two releases on the same cases, by digest.

    Parameters
    ----------
    old_digest, new_digest : of the two releases that were run.
    outputs : case id -> (digest of the old output, digest of the new one).
    largest_differences : measure -> largest value over all cases, e.g. voxels.
    """

    old_digest: str
    new_digest: str
    outputs: Mapping[str, tuple[str, str]]
    largest_differences: Mapping[str, float] = field(default_factory=dict)

    @property
    def case_count(self) -> int:
        """Return how many cases were run."""
        return len(self.outputs)

    @property
    def equal_count(self) -> int:
        """Return how many cases gave the same output."""
        return sum(old == new and old != "" for old, new in self.outputs.values())


@dataclass(frozen=True, slots=True)
class RoutingReplay:
    """Routing of two releases tried on past studies.

    Parameters
    ----------
    admitted_unvalidated : studies that only the new rules admit and that no validated
        stratum holds.
    """

    old_digest: str
    new_digest: str
    days: int
    study_count: int
    admitted_unvalidated: int


def replay_proofs(
    replay: GoldenReplay | None,
    digests: tuple[str, str],
    smallest: int,
    tolerance: Mapping[str, float],
) -> frozenset[str]:
    """Return which of golden_replay and numeric_tolerance a replay of these releases shows."""
    if replay is None or (replay.old_digest, replay.new_digest) != digests:
        return frozenset()
    if replay.case_count < max(smallest, 1):
        return frozenset()
    if replay.equal_count == replay.case_count:
        return frozenset(("golden_replay", "numeric_tolerance"))
    measured = replay.largest_differences
    inside = bool(tolerance) and all(
        name in measured and abs(measured[name]) <= limit for name, limit in tolerance.items()
    )
    return frozenset(("numeric_tolerance",)) if inside else frozenset()


def routing_proofs(replay: RoutingReplay | None, digests: tuple[str, str]) -> frozenset[str]:
    """Return routing_replay where a replay of these releases shows it."""
    if replay is None or (replay.old_digest, replay.new_digest) != digests:
        return frozenset()
    shown = (
        replay.days >= ROUTING_DAYS and replay.study_count > 0 and not replay.admitted_unvalidated
    )
    return frozenset(("routing_replay",)) if shown else frozenset()
