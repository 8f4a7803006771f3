"""When a release may go on from shadow to canary and from canary to active: the figures decide.

The act puts the figures into the governed document ``comparison`` of the release; this
gate reads them.  Where a release was active beside it, the mean agreement has to be sure
(lower end of its interval) to reach the floor: over all studies, and in every structure and
subgroup that enough studies speak for.  Where none was, there is nothing to agree with:
enough runs without a failure are asked for, and the document says so.

Read next: `gates.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from governance.alarms import open_alarms
from governance.gates import Objection, Passage
from governance.ports import GovernedStore

KIND = "comparison"
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
        found = [_alarm(item.name) for item in open_alarms(documents, passage.release_digest)]
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
    below = [
        _below(name, found)
        for name, found in _lines(figures)
        if found["n"] >= policy.minimum_pairs and not _reaches(found, policy)
    ]
    if not below:
        return ()
    return (
        Objection(
            "AGREEMENT_BELOW_FLOOR",
            f"expected a mean agreement of surely {policy.agreement_floor:g}, found "
            + "; ".join(below),
            "Look at the studies that differ most; if they are better, certify against a "
            "floor that says so.",
        ),
    )


def is_surely_below(figures: Mapping[str, Any], policy: Policy) -> bool:
    """Return whether a canary has to stop by itself: over all, or in a structure or subgroup.

    After ``minimum_pairs`` as soon as the lower limit is under the floor; before, when even
    the upper limit is.
    """
    if not figures["against"]:
        return False
    return any(_is_surely_below(found, policy) for _, found in _lines(figures))


def _is_surely_below(found: Mapping[str, Any], policy: Policy) -> bool:
    if found["lower"] is None:
        return False
    limit = found["lower"] if found["n"] >= policy.minimum_pairs else found["upper"]
    return bool(limit < policy.agreement_floor)


def _lines(figures: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the agreement over all, then by structure and by subgroup."""
    agreement = figures["agreement"]
    yield "overall", agreement["overall"]
    for about in ("structures", "subgroups"):
        for name, found in sorted(agreement[about].items()):
            yield str(name), found


def _reaches(found: Mapping[str, Any], policy: Policy) -> bool:
    return found["lower"] is not None and found["lower"] >= policy.agreement_floor


def _below(name: str, found: Mapping[str, Any]) -> str:
    lower = found["lower"]
    shown = "none" if lower is None else f"{lower:.3f}"
    return f"{name} {found['mean']:.3f} with a lower limit of {shown} (n = {found['n']})"


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
