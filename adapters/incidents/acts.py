"""What persons do about an incident; each act changes state and record in one transaction.

The rules are those of `governance.incidents`, `incident_states` and `holds`; here they are
given what is kept, and what they return is kept as the next revision.

Read next: `snapshot.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from adapters.database import Transaction
from adapters.governance.persons import Person
from audit.errors import ConfigurationError, NotFoundError, RefusalError
from audit.kinds import NOT_EVALUATED
from audit.record import decode
from governance import corrective, holds, incident_form, safety_notices
from governance.clocks import Awareness, Clock, Facts, clocks
from governance.incident_states import Surroundings, move
from governance.incident_terms import Term, load_terms
from governance.incidents import (
    Act,
    Incident,
    become_aware,
    classify,
    duty_done,
    plain_lines,
    suspect,
    withdraw_awareness,
)

if TYPE_CHECKING:
    from adapters.compose import Site

Change = Callable[[Incident, Act, Transaction], Incident]
T = TypeVar("T")
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class Report:
    """What somebody reports: what is concerned, how bad, and when they learned of it.

    Parameters
    ----------
    release_digest : of the release; of its run where ``run_ids`` names any.
    party, zone : as configured where they are empty.
    """

    release_digest: str
    severity: str
    aware_at: datetime
    run_ids: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    party: str = ""
    zone: str = ""
    summary: str = ""
    reference: str = ""


def report_incident(site: Site, person: Person, report: Report) -> Incident:
    """Open an incident, suspected until somebody triages it.

    Raises
    ------
    RefusalError : the role may not report, or what is said cannot be kept.
    NotFoundError : the release, or a run of it, is not known here.
    """
    section, act = site.configuration, act_of(site, person)
    row = site.registry.row(report.release_digest)
    awareness = Awareness(
        report.party or section.incidents.party,
        report.aware_at,
        report.zone or section.site.time_zone,
        person.account_id,
    )
    facts = Facts(report.severity, section.incidents.route, report.flags, (awareness,))
    lines = plain_lines(report.reference)
    incident = Incident(
        incident_id=_new_id("inc", act.at),
        site=section.site.name,
        plugin=row.plugin,
        release_digest=row.digest,
        run_ids=report.run_ids,
        facts=facts,
        summary=plain_lines(report.summary),
        reference=lines[0] if lines else "",
    )

    def write(transaction: Transaction) -> Incident:
        for run_id in report.run_ids:
            run = transaction.run(run_id)
            if run is None or run.release_digest != row.digest:
                raise NotFoundError(f"expected a run of this release, found {run_id[:32]!r}")
        return keep(site, transaction, suspect(incident, act), act, "open")

    return _written(site, write)


def change(site: Site, person: Person, incident_id: str, action: str, what: Change) -> Incident:
    """Return an incident after ``what`` was done to it and kept, with its record."""
    act = act_of(site, person)

    def write(transaction: Transaction) -> Incident:
        before = known_incident(transaction, incident_id)
        after = what(before, act, transaction)
        return before if after == before else keep(site, transaction, after, act, action)

    return _written(site, write)


def move_incident(
    site: Site, person: Person, incident_id: str, after: str, evidence: Mapping[str, str]
) -> Incident:
    """Bring an incident to another state, on evidence; the person signs where that is asked."""
    given = {key: " ".join(plain_lines(value)) for key, value in evidence.items()}

    def what(incident: Incident, act: Act, transaction: Transaction) -> Incident:
        signed = {**given, "signer": act.person} if _is_signed(after) else given
        around = surroundings(site, transaction, incident)
        return move(incident, after, act, signed, around)

    return change(site, person, incident_id, after, what)


def place_hold(site: Site, person: Person, incident_id: str) -> Incident:
    """Freeze what an incident concerns; a triaged incident goes to ``hold_placed`` with it."""

    def what(incident: Incident, act: Act, transaction: Transaction) -> Incident:
        known = holds.hold_of(transaction, incident_id)
        if known is not None and known.stands:
            raise RefusalError("expected no hold, found one that stands", reasons=("HOLD_OPEN",))
        hold = holds.place(incident, _subjects(transaction, incident.run_ids), act)
        digest = _keep_hold(site, transaction, hold, act, "place")
        if incident.state != "triaged":
            return incident
        around = surroundings(site, transaction, incident)
        return move(incident, "hold_placed", act, {"hold": digest}, around)

    return change(site, person, incident_id, "hold_placed", what)


def lift_hold(site: Site, person: Person, incident_id: str, reason: str) -> Incident:
    """Let go what an incident has frozen; `governance.holds.lift` says when that may be."""
    text = " ".join(plain_lines(reason))

    def what(incident: Incident, act: Act, transaction: Transaction) -> Incident:
        hold = holds.hold_of(transaction, incident_id)
        if hold is None:
            raise NotFoundError(f"expected a hold of {incident_id}, found none")
        _keep_hold(site, transaction, holds.lift(hold, incident, act, text), act, "lift")
        return incident

    return change(site, person, incident_id, "hold_lifted", what)


def record_awareness(
    site: Site, person: Person, incident_id: str, moment: tuple[str, datetime]
) -> Incident:
    """Record when a party (ours where it is empty) learned of an incident."""
    awareness = Awareness(
        moment[0] or site.configuration.incidents.party,
        moment[1],
        site.configuration.site.time_zone,
        person.account_id,
    )
    return change(
        site,
        person,
        incident_id,
        "aware",
        lambda found, act, _: become_aware(found, awareness, act),
    )


def withdraw_moment(
    site: Site, person: Person, incident_id: str, moment: tuple[str, datetime], reason: str
) -> Incident:
    """Take back a moment of awareness that was wrong."""
    party, text = moment[0] or site.configuration.incidents.party, " ".join(plain_lines(reason))

    def what(found: Incident, act: Act, _: Transaction) -> Incident:
        return withdraw_awareness(found, party, moment[1], act, text)

    return change(site, person, incident_id, "awareness_withdrawn", what)


def classify_incident(
    site: Site,
    person: Person,
    incident_id: str,
    *,
    severity: str = "",
    flags: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset()),
    action_at: datetime | None = None,
) -> Incident:
    """Change severity, add the first and drop the second set of flags, date a field action."""

    def what(found: Incident, act: Act, _: Transaction) -> Incident:
        wanted = (found.facts.flags | flags[0]) - flags[1]
        return classify(found, act, severity=severity or None, flags=wanted, action_at=action_at)

    return change(site, person, incident_id, "classify", what)


def record_duty(
    site: Site, person: Person, incident_id: str, clock: str, sent_at: datetime
) -> Incident:
    """Record that a duty is done; ConfigurationError when the incident has no such clock."""

    def what(found: Incident, act: Act, _: Transaction) -> Incident:
        names = [item.name for item in clocks_of(site, found)]
        if clock not in names:
            raise ConfigurationError(
                f"expected one of {', '.join(names) or 'no duties'}, found {clock[:40]!r}"
            )
        return duty_done(found, clock, sent_at, act)

    return change(site, person, incident_id, f"done:{clock}", what)


def known_incident(transaction: Transaction, incident_id: str) -> Incident:
    """Return an incident; NotFoundError when there is none of that id."""
    found = incident_form.incident(transaction, incident_id)
    if found is None:
        raise NotFoundError(
            f"expected an incident {incident_id[:40]!r}, found none",
            advice="List what exists with `osteon incident list`.",
        )
    return found


def surroundings(site: Site, transaction: Transaction, incident: Incident) -> Surroundings:
    """Return what a change of state depends on beside the incident itself."""
    hold = holds.hold_of(transaction, incident.incident_id)
    actions = corrective.actions(transaction, incident.incident_id)
    notices = safety_notices.notices(transaction, incident.incident_id)
    is_reportable = incident.decision != "not_reportable"
    return Surroundings(
        is_held=hold is not None and hold.stands,
        duties_open=open_duties(clocks_of(site, incident)) if is_reportable else (),
        actions_known=tuple(action.action_id for action in actions),
        actions_open=tuple(a.action_id for a in actions if a.state != "verified"),
        unacknowledged=tuple(name for notice in notices for name in notice.unacknowledged),
    )


def clocks_of(site: Site, incident: Incident) -> tuple[Clock, ...]:
    """Return the clocks of an incident by the terms of the site."""
    return clocks(incident.facts, site_terms(site))


def site_terms(site: Site) -> tuple[Term, ...]:
    """Return the terms that the configuration names, those of the suite by default."""
    name = site.configuration.incidents.terms_file
    return load_terms(site.home.root / Path(name).expanduser() if name else None)


def open_duties(found: Iterable[Clock]) -> tuple[str, ...]:
    """Return the names of the binding duties that are not done."""
    return tuple(clock.name for clock in found if clock.binding and clock.met_at is None)


def keep(
    site: Site, transaction: Transaction, incident: Incident, act: Act, action: str
) -> Incident:
    """Put the next revision of an incident with its record."""
    document = transaction.put_governed(
        incident_form.KIND,
        incident.incident_id,
        incident_form.encode(incident),
        act.person,
        act.at,
    )
    site.journal.governed(transaction, document)
    site.journal.incident(transaction, action, incident, act.person)
    return incident


def act_of(site: Site, person: Person) -> Act:
    """Return who acts, in the role of the session, now."""
    return Act(person.account_id, person.role, site.now())


def new_id(kind: str, site: Site) -> str:
    """Return an id for something new: kind, date, six letters that nobody confuses."""
    return _new_id(kind, site.now())


def _new_id(kind: str, now: datetime) -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(6))
    return f"{kind}-{now:%Y%m%d}-{letters}"


def _is_signed(after: str) -> bool:
    return after in ("reportability_decided", "closed")


def _keep_hold(
    site: Site, transaction: Transaction, hold: holds.Hold, act: Act, action: str
) -> str:
    document = transaction.put_governed(
        holds.KIND, hold.incident_id, holds.encode(hold), act.person, act.at
    )
    site.journal.governed(transaction, document)
    site.journal.legal_hold(transaction, action, hold, act.person)
    return document.digest


def _subjects(transaction: Transaction, run_ids: Iterable[str]) -> set[str]:
    """Return the pseudonyms of the patients of runs, as their records name them."""
    found = set()
    for run_id in run_ids:
        for leaf in transaction.records_of(run_id):
            subject = decode(leaf.leaf).subject
            if subject is not None and subject.pseudonym != NOT_EVALUATED:
                found.add(subject.pseudonym)
    return found


def _written(site: Site, write: Callable[[Transaction], T]) -> T:
    """Return what a transaction returns, and place its records in the tree."""
    with site.database.transaction() as transaction:
        result = write(transaction)
    site.log.seal(site.database)
    return result
