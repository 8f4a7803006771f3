"""When a release may go on from shadow to canary and from canary to active: the figures decide.

The act puts the figures into the governed document ``comparison`` of the release; this
gate reads them.  Where a release was active beside it, the mean agreement has to be sure
(lower end of its interval) to reach the floor.  Where none was, there is nothing to agree
with: enough runs without a failure are asked for, and the document says so.

An alarm is the governed document ``alarm`` of a release, ``state`` open or closed.

Read next: `gates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance.gates import Objection, Passage
from governance.ports import GovernedStore

KIND = "comparison"
ALARM = "alarm"
_STEPS = (("shadow", "canary"), ("canary", "active"))


@dataclass(frozen=True, slots=True)
class Policy:
    """What a site asks of a release before it goes on.

    Parameters
    ----------
    minimum_pairs : studies that both releases saw (or that it saw, where none was active).
    agreement_floor : that the mean agreement surely reaches.
    """

    minimum_pairs: int = 20
    agreement_floor: float = 0.8


@dataclass(frozen=True, slots=True)
class PromotionGate:
    """Objects to the next step of a release whose figures do not permit it; fulfils `Gate`."""

    policy: Policy

    def __call__(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Return what the figures and the open alarms say against a passage."""
        if (passage.before, passage.after) not in _STEPS or "expires_at" in passage.evidence:
            return ()
        found = [_alarm(item.name) for item in _open_alarms(passage, documents)]
        document = documents.governed(KIND, passage.release_digest)
        if document is None or document.digest != passage.evidence.get("comparison"):
            return (*found, _missing())
        return (*found, *judge(document.content, self.policy))


def judge(figures: Mapping[str, Any], policy: Policy) -> tuple[Objection, ...]:
    """Return what the figures of a comparison say against going on."""
    if not figures["against"]:
        return _alone(figures, policy)
    overall = figures["agreement"]["overall"]
    if overall["n"] < policy.minimum_pairs:
        return (_too_few(overall["n"], policy.minimum_pairs),)
    lower = overall["lower"]
    if lower is None or lower < policy.agreement_floor:
        shown = "none" if lower is None else f"{lower:.3f}"
        return (
            Objection(
                "AGREEMENT_BELOW_FLOOR",
                f"expected a mean agreement of surely {policy.agreement_floor:g}, found "
                f"{overall['mean']:.3f} with a lower limit of {shown} (n = {overall['n']})",
                "Look at the studies that differ most; if they are better, certify against a "
                "floor that says so.",
            ),
        )
    return ()


def is_surely_below(figures: Mapping[str, Any], policy: Policy) -> bool:
    """Return whether a canary has to stop by itself.

    After ``minimum_pairs`` as soon as the lower limit is under the floor; before, when even
    the upper limit is.
    """
    overall = figures["agreement"]["overall"]
    if not figures["against"] or overall["lower"] is None:
        return False
    limit = overall["lower"] if overall["n"] >= policy.minimum_pairs else overall["upper"]
    return bool(limit < policy.agreement_floor)


def _alone(figures: Mapping[str, Any], policy: Policy) -> tuple[Objection, ...]:
    if figures["runs"] < policy.minimum_pairs:
        return (_too_few(figures["runs"], policy.minimum_pairs),)
    if figures["failures"]:
        return (
            Objection(
                "RUNS_FAILED",
                f"expected no failed run, found {figures['failures']} of {figures['runs']}",
                "Find out why they failed.",
            ),
        )
    return ()


def _open_alarms(passage: Passage, documents: GovernedStore) -> list[Any]:
    return [
        item
        for item in documents.governed_all(ALARM)
        if item.content.get("state") == "open"
        and item.content.get("release_digest") == passage.release_digest
    ]


def _alarm(name: str) -> Objection:
    return Objection("ALARM_OPEN", f"alarm {name} is open", "Decide on the alarm first.")


def _missing() -> Objection:
    return Objection(
        "COMPARISON_MISSING",
        "expected the figures of a comparison, found none",
        "Let the release run in shadow, then as canary.",
    )


def _too_few(found: int, wanted: int) -> Objection:
    return Objection(
        "TOO_FEW_STUDIES",
        f"expected at least {wanted} studies, found {found}",
        "Wait for more studies, or lower `governance.minimum_pairs` with a reason.",
    )
