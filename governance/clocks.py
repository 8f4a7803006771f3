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
    awareness : one entry for each party and moment; the earliest of a party counts.
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
    begin = _begin(facts, term)
    if begin is None or not _applies(facts, term):
        return None
    awareness, assumed = begin
    day = awareness.at.astimezone(find_zone(awareness.zone)).date()
    if term.valid_until is not None and day > term.valid_until:
        return None
    start = awareness.at
    if term.after is not None:
        before = chosen.get(f"{term.clock}.{term.after}")
        if before is None or before.due_at is None:
            return None
        start = before.met_at or before.due_at - timedelta(microseconds=1)  # in its last hour
    end = due_at(term.amount, term.unit, start, awareness.zone)
    if term.unit == "before-action":
        end = facts.action_at or awareness.at
    binding = term.valid_from is None or day >= term.valid_from
    return Clock(term.name, term, start, end, facts.met.get(term.name), assumed, binding)


def _applies(facts: Facts, term: Term) -> bool:
    return (
        facts.route in term.routes
        and (not term.severities or facts.severity in term.severities)
        and term.flags <= facts.flags
    )


def _begin(facts: Facts, term: Term) -> tuple[Awareness, bool] | None:
    """Return the awareness that starts a term, and whether it stands in for the provider's.

    A deployer must tell the provider at once (AI Act Art. 26(5)); until it is on record when
    that was, the provider's terms count from the deployer's awareness, which is earlier.
    """
    wanted = PARTIES if term.starts == "any" else (term.starts,)
    known = [item for item in facts.awareness if item.party in wanted]
    if known:
        return min(known, key=lambda item: item.at), False
    if term.starts == "provider":
        return min(facts.awareness, key=lambda item: item.at), True
    return None


def _urgency(clock: Clock) -> tuple[bool, bool, datetime, str]:
    """Order by due date; what binds comes before what does not, what has no term last."""
    end = clock.due_at or datetime.max.replace(tzinfo=UTC)
    return (not clock.binding, clock.due_at is None, end, clock.name)
