"""The clocks of a serious incident: who must be told by when, as a function of the facts.

All clocks that the facts start run in parallel and the earliest due date wins
(REGULATORY.md section 6).  Nothing is stored: another awareness, severity or flag gives
other clocks, so that a correction can never leave an old due date behind.

Read next: `incidents.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from governance.incident_terms import (
    FLAGS,
    PARTIES,
    ROUTES,
    SEVERITIES,
    Term,
    due_at,
    find_zone,
    require,
)

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Awareness:
    """Who learned of the incident when: provider or deployer, an account id, an IANA zone."""

    party: str
    at: datetime
    zone: str
    by: str

    def __post_init__(self) -> None:
        require(self.party in PARTIES, f"a party in {', '.join(PARTIES)}", self.party)
        require(self.at.tzinfo is not None, "an aware time of awareness", "one without a zone")
        find_zone(self.zone)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the clocks of an incident follow from.

    Parameters
    ----------
    awareness : one entry for each party and moment; of a party's, that with the earliest end
        counts.
    action_at : when a field safety corrective action is to begin, where that is known.
    met : clock name (``C9.notification``) to the time at which the duty was done.
    """

    severity: str
    route: str
    flags: frozenset[str]
    awareness: tuple[Awareness, ...]
    action_at: datetime | None = None
    met: Mapping[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.severity in SEVERITIES, f"a severity in {SEVERITIES}", self.severity)
        require(self.route in ROUTES, f"a route in {ROUTES}", self.route)
        unknown = sorted(self.flags - set(FLAGS))
        require(not unknown, f"flags in {FLAGS}", ", ".join(unknown))
        require(bool(self.awareness), "somebody who became aware", "nobody")


@dataclass(frozen=True, slots=True)
class Clock:
    """One duty of one incident.

    Parameters
    ----------
    started_at : the awareness that it counts from.
    due_at : None where no term is known (national rule without a site's own terms).
    met_at : when the duty was done.
    assumed : the provider's awareness is not on record, so the deployer's counts.
    binding : the law was in force on the day of awareness; if not, it is shown and no more.
    """

    name: str
    term: Term
    started_at: datetime
    due_at: datetime | None
    met_at: datetime | None
    assumed: bool
    binding: bool

    def state(self, now: datetime) -> str:
        """Return met | met-late | overdue | running | no-term | not-in-force."""
        if self.met_at is not None:
            late = self.due_at is not None and self.met_at > self.due_at
            return "met-late" if late and self.binding else "met"
        if not self.binding:
            return "not-in-force"
        if self.due_at is None:
            return "no-term"
        return "overdue" if now > self.due_at else "running"


def clocks(facts: Facts, terms: Sequence[Term]) -> tuple[Clock, ...]:
    """Return every clock that the facts start, by due date; the law of the day decides.

    Where several rows of one duty apply, the one with the earliest end counts.
    """
    chosen: dict[str, Clock] = {}
    # A stage that follows another is counted when that one has its clock.
    for term in sorted(terms, key=lambda item: item.after is not None):
        clock = _clock(facts, term, chosen)
        if clock is not None:
            known = chosen.get(clock.name)
            chosen[clock.name] = clock if known is None else min(known, clock, key=_urgency)
    return tuple(sorted(chosen.values(), key=_urgency))


def earliest(found: Sequence[Clock]) -> Clock | None:
    """Return the binding clock that is due first and not yet met; None when all are done."""
    pending = [c for c in found if c.binding and c.met_at is None and c.due_at is not None]
    return min(pending, key=_urgency) if pending else None


def _clock(facts: Facts, term: Term, chosen: Mapping[str, Clock]) -> Clock | None:
    """Return the clock of a term: the earliest end over every moment of awareness that counts.

    The zone of each moment decides on which day its term ends, so that a later moment further
    west can end first.  Which law held is decided by the first of them.
    """
    moments, assumed = _begin(facts, term)
    if not moments or not _applies(facts, term):
        return None
    first = min(moments, key=lambda item: item.at)
    day = first.at.astimezone(find_zone(first.zone)).date()
    if term.valid_until is not None and day > term.valid_until:
        return None
    ends = {item: _end(facts, term, item, chosen) for item in moments}
    if term.after is not None and not any(ends.values()):
        return None
    counted = min(moments, key=lambda item: (ends[item] or NEVER, item.at))
    start = _stage_start(term, chosen) or counted.at
    binding = term.valid_from is None or day >= term.valid_from
    return Clock(term.name, term, start, ends[counted], facts.met.get(term.name), assumed, binding)


def _end(
    facts: Facts, term: Term, awareness: Awareness, chosen: Mapping[str, Clock]
) -> datetime | None:
    """Return when a term ends that counts from one moment of awareness; None without a term."""
    if term.unit == "before-action":
        return facts.action_at or awareness.at
    start = awareness.at if term.after is None else _stage_start(term, chosen)
    return None if start is None else due_at(term.amount, term.unit, start, awareness.zone)


def _stage_start(term: Term, chosen: Mapping[str, Clock]) -> datetime | None:
    """Return when the stage before this one was or is to be done; None where there is none."""
    before = chosen.get(f"{term.clock}.{term.after}") if term.after is not None else None
    if before is None or before.due_at is None:
        return None
    return before.met_at or before.due_at - timedelta(microseconds=1)  # in its last hour


def _applies(facts: Facts, term: Term) -> bool:
    return (
        facts.route in term.routes
        and (not term.severities or facts.severity in term.severities)
        and term.flags <= facts.flags
    )


def _begin(facts: Facts, term: Term) -> tuple[tuple[Awareness, ...], bool]:
    """Return the moments that start a term, and whether they stand in for the provider's.

    A deployer must tell the provider at once (AI Act Art. 26(5)); until it is on record when
    that was, the provider's terms count from the deployer's awareness, which is earlier.
    """
    wanted = PARTIES if term.starts == "any" else (term.starts,)
    known = tuple(item for item in facts.awareness if item.party in wanted)
    if not known and term.starts == "provider":
        return facts.awareness, True
    return known, False


def _urgency(clock: Clock) -> tuple[bool, bool, datetime, str]:
    """Order by due date; what binds comes before what does not, what has no term last."""
    end = clock.due_at or NEVER
    return (not clock.binding, clock.due_at is None, end, clock.name)
