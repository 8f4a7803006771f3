"""Which release of a plugin runs a study: exactly one whose results leave, others in shadow.

    in course on a release?  →  that one          (results leave)
    taken by the canary?     →  the canary        (results leave), the active one in shadow
    else                     →  the active one    (results leave)
    each release in shadow   →  in shadow besides

The canary takes a stated share of the studies, by a hash and not by chance: the same
patient goes the same way at every machine and after every restart.  Named senders and
stations may be given to it instead.

Source: REGULATORY.md section 4, activation path; in-course patients stay on the version
that they started on unless a physician decides otherwise.

Read next: `agreement.py` (what the comparison says), `promotion.py` (what it permits).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from governance.ports import Deployment, GovernedStore

LIVE, SHADOW = "live", "shadow"
ACTIVE, CANARY, IN_COURSE = "ACTIVE", "CANARY", "IN_COURSE"
COMPARISON, UNDER_TEST = "COMPARISON", "UNDER_TEST"
NOTHING_ACTIVE, OUTSIDE_CANARY, NOT_AUTHORISED = (
    "NOTHING_ACTIVE", "OUTSIDE_CANARY", "NOT_AUTHORISED",
)  # fmt: skip
COURSE_NEEDS_DECISION = "COURSE_NEEDS_DECISION"
COURSE = "course"
"""Governed document by ``PLUGIN/PSEUDONYM``: ``release_digest`` that a physician chose (empty:
whatever is active) and the ``reason``."""
COURSE_STATES = ("active", "canary", "standby")
DECIDERS = ("clinician",)


@dataclass(frozen=True, slots=True)
class StudyKey:
    """What a study is assigned by.

    Parameters
    ----------
    key : the patient's pseudonym, else that of the study.
    sender : who sent it, as the archive tells.
    stations : Station Name (0008,1010) of its series.
    """

    key: str
    sender: str = ""
    stations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """One release that runs a study, live or in shadow, and why."""

    release_digest: str
    kind: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs a study of one plugin.

    Parameters
    ----------
    assignments : at most one is live.
    unserved : why none is live, as a code; empty where one is.
    about : the release that the code is about.
    """

    assignments: tuple[Assignment, ...]
    unserved: str = ""
    about: str = ""


def assign(
    deployments: Sequence[Deployment],
    study: StudyKey,
    course: str,
    authorised: Callable[[Deployment], bool],
) -> Plan:
    """Return which releases of one plugin run a study.

    Parameters
    ----------
    deployments : the present states of the plugin's releases at this site.
    course : the release that the patient is in course on; empty where in none.
    authorised : says whether a release may run now: its certificate or waiver holds.
    """
    by_state = {
        state: [item for item in deployments if item.state == state]
        for state in ("active", "canary", "shadow")
    }
    live = _live(deployments, by_state, study, course)
    shadows = [item for item in by_state["shadow"] if authorised(item) and _in_share(item, study)]
    beside = tuple(Assignment(item.release_digest, SHADOW, UNDER_TEST) for item in shadows)
    if isinstance(live, str):
        return Plan(beside, live, _about(deployments, course))
    item, why = live
    if not authorised(item):
        return Plan(beside, NOT_AUTHORISED, item.release_digest)
    compared = by_state["active"] if why == CANARY else []
    against = tuple(
        Assignment(other.release_digest, SHADOW, COMPARISON)
        for other in compared
        if authorised(other)
    )
    return Plan((Assignment(item.release_digest, LIVE, why), *against, *beside))


def takes(canary: Deployment, study: StudyKey) -> bool:
    """Return whether a canary takes a study: its sender or station is named, or its share."""
    named = {part for part in canary.evidence.get("devices", "").split("+") if part}
    if named:
        return not named.isdisjoint({study.sender, *study.stations})
    return _in_share(canary, study)


def point(release_digest: str, key: str) -> float:
    """Return where in [0, 1) a key lies for a release; the same everywhere and always."""
    text = f"osteon.canary/1\0{release_digest}\0{key}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


@dataclass(frozen=True, slots=True)
class CourseRow:
    """When results of a release for a patient were first and last made (aware UTC)."""

    release_digest: str
    first_at: datetime
    last_at: datetime


def course_of(
    documents: GovernedStore,
    name: str,
    rows: Sequence[CourseRow],
    since: datetime,
) -> str:
    """Return the release that a patient is in course on; empty where in none.

    Parameters
    ----------
    name : ``PLUGIN/PSEUDONYM``.
    rows : results of the plugin for the patient.
    since : results before this moment belong to a course that is over.
    """
    running = [row for row in rows if row.last_at >= since]
    if not running:
        return ""
    decided = documents.governed(COURSE, name)
    if decided is not None and decided.recorded_at >= since:
        return str(decided.content["release_digest"])
    return min(running, key=lambda row: (row.first_at, row.release_digest)).release_digest


def _live(
    deployments: Sequence[Deployment],
    by_state: dict[str, list[Deployment]],
    study: StudyKey,
    course: str,
) -> tuple[Deployment, str] | str:
    """Return the release whose results leave and why, or a code why there is none."""
    if course:
        for item in deployments:
            if item.release_digest == course and item.state in COURSE_STATES:
                return item, IN_COURSE
        return COURSE_NEEDS_DECISION
    for item in by_state["canary"]:
        if takes(item, study):
            return item, CANARY
    for item in by_state["active"]:
        return item, ACTIVE
    return OUTSIDE_CANARY if by_state["canary"] else NOTHING_ACTIVE


def _about(deployments: Sequence[Deployment], course: str) -> str:
    canary = [item.release_digest for item in deployments if item.state == "canary"]
    return course or next(iter(canary), "")


def _in_share(item: Deployment, study: StudyKey) -> bool:
    return point(item.release_digest, study.key) < item.share
