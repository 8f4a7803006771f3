"""What a clinician did with one structure of a result (REGULATORY.md 5.1).

Semantics are those of IHE RAD AIRAI: a result is accepted, rejected, or supplemented (the
person went on from it).  A deferred result is not assessed yet.

Source: Regulation (EU) 2024/1689 Art. 14(4); IHE RAD AI Result Assessment Integration.

Read next: `comparison.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from audit.errors import ConfigurationError

ACTIONS = ("accept", "edit", "reject", "defer")
REASONS = (
    "anatomy", "artefact", "wrong-side", "missing-extension", "over-extension",
    "protocol-preference", "registration", "other",
)  # fmt: skip
NO_REASON = "none"
NOT_STATED = "not-stated"
"""Reason of what was found and not typed: the approved set does not say why."""
SEVERITIES = ("none", "minor", "major")
SOURCES = ("page", "rtstruct", "plan", "import")
REVIEWERS = ("clinician", "physicist")
"""Roles that may assess on the page."""
AIRAI: Mapping[str, str] = MappingProxyType(
    {"accept": "accepted", "edit": "supplemented", "reject": "rejected", "defer": "not-assessed"}
)
"""Action -> assessment of IHE AIRAI."""
PLANNING = 0
"""Fraction number of a result that belongs to no fraction."""
_LIMIT_FRACTION = 60


@dataclass(frozen=True, slots=True)
class Viewing:
    """What of a result was on somebody's screen before the decision.

    Parameters
    ----------
    known : False where the decision was made outside these pages.
    active_seconds : time between views, where a pause counts as a minute at most.
    """

    known: bool = False
    active_seconds: float = 0.0
    slices_visited: int = 0
    slices_total: int = 0
    explanation_viewed: bool = False
    uncertainty_viewed: bool = False

    @property
    def share(self) -> float | None:
        """Return the share of slices that were visited; None where that is unknown."""
        return self.slices_visited / self.slices_total if self.known and self.slices_total else None


@dataclass(frozen=True, slots=True)
class Figures:
    """How a result differs from what was approved instead (`models.physics.agreement`).

    Parameters
    ----------
    shift_x_mm, shift_y_mm, shift_z_mm : signed, from our centre of mass to that of what was
        approved, along the patient axes (LPS), to half the distance of planes along their normal;
        None in assessments from before they were kept.
    """

    dsc: float
    surface_dice: float | None
    tolerance_mm: float
    hd95_mm: float | None
    added_path_length_mm: float
    volume_difference_ml: float
    volume_ml: float
    shift_x_mm: float | None = None
    shift_y_mm: float | None = None
    shift_z_mm: float | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """One decision of one person about one structure of one run.

    Parameters
    ----------
    structure : name of the structure (AAPM TG-263).
    fraction : number of the fraction, `PLANNING` where there is none.
    reviewer : pseudonym of the person; never the account.
    seeded : in training sets only: whether an error was put in on purpose.
    adjudicated : judged right or wrong later, by others; empty where nobody did.
    version : counts from 1 for the same run, structure, fraction and reviewer.

    Raises
    ------
    ConfigurationError : a word is not one of the lists, or an edit or rejection has no reason.
    """

    assessment_id: str
    run_id: str
    structure: str
    action: str
    source: str
    reviewer: str
    reviewer_role: str
    decided_at: datetime
    reason: str = NO_REASON
    severity: str = "none"
    fraction: int = PLANNING
    viewing: Viewing = Viewing()
    figures: Figures | None = None
    edited_sop_uid_p: str = ""
    inference_event_id: str = ""
    second_reviewer: str = ""
    blinded: bool = False
    seeded: bool | None = None
    adjudicated: str = ""
    version: int = 1

    def __post_init__(self) -> None:
        _one_of("an action", self.action, ACTIONS)
        _one_of("a reason", self.reason, (*REASONS, NO_REASON, NOT_STATED))
        _one_of("a severity", self.severity, SEVERITIES)
        _one_of("a source", self.source, SOURCES)
        _one_of("an adjudication", self.adjudicated, ("", "right", "wrong"))
        if self.action in ("edit", "reject") and self.reason == NO_REASON:
            raise ConfigurationError(f"expected a reason for {self.action}, found none")
        if self.reason == NOT_STATED and self.source == "page":
            raise ConfigurationError("expected a reason that the reviewer states, found none")
        if self.action == "accept" and self.reason != NO_REASON:
            raise ConfigurationError("expected no reason with an acceptance, found one")
        if not 0 <= self.fraction <= _LIMIT_FRACTION:
            raise ConfigurationError(f"expected a fraction from 0 to {_LIMIT_FRACTION}")
        if not self.structure:
            raise ConfigurationError("expected the name of a structure, found none")

    @property
    def is_override(self) -> bool:
        """Return whether the result was replaced: rejected, or edited with consequence."""
        return self.action == "reject" or (self.action == "edit" and self.severity == "major")

    @property
    def is_unseen_approval(self) -> bool:
        """Return whether it was accepted although no slice was ever on the screen."""
        return self.action == "accept" and self.viewing.known and not self.viewing.slices_visited


def is_target(structure: str) -> bool:
    """Return whether a TG-263 name is that of a target volume.

    Examples
    --------
    >>> [is_target(name) for name in ("GTVp", "PTV_5000", "CTVn_Low", "ITV", "Femur_L")]
    [True, True, True, True, False]
    """
    return structure.upper().lstrip("Z_")[:3] in ("GTV", "CTV", "PTV", "ITV", "IGT")


def encode(assessment: Assessment) -> dict[str, Any]:
    """Return an assessment as JSON values; inverse of `decode`."""
    return asdict(assessment) | {"decided_at": assessment.decided_at.isoformat()}


def decode(values: Mapping[str, Any]) -> Assessment:
    """Return the assessment that `encode` wrote."""
    figures = values["figures"]
    return Assessment(
        **{
            **values,
            "decided_at": datetime.fromisoformat(values["decided_at"]),
            "viewing": Viewing(**values["viewing"]),
            "figures": Figures(**figures) if figures else None,
        }
    )


def _one_of(what: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise ConfigurationError(f"expected {what} in {', '.join(words)}, found {word[:40]!r}")
