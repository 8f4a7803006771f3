"""The pages of incidents: the list with what is due, and one incident with its next steps.

Every form calls the same act as the command line (`adapters/incidents/`); who may send which
form is the table in `access.py`, and the rules of the office decide once more.

Read next: `templates/incident.html`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import FastAPI, Form, Request
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from adapters.incidents import acts, sending, views
from adapters.incidents.actions import finish_action, plan_action, verify_action
from adapters.incidents.snapshot import TAKERS, take_snapshot
from adapters.web.access import INCIDENT_REPORTERS, Session
from adapters.web.shell import Pages, csrf_holds
from audit.errors import ConfigurationError
from governance.corrective import ROLES as ACTION_ROLES
from governance.corrective import VERIFIERS
from governance.holds import PLACERS
from governance.incident_states import ANSWERS, CAUSALITY, DECISIONS, STATES, TRANSITIONS
from governance.incident_terms import FLAGS, PARTIES, SEVERITIES, find_zone
from governance.incidents import DECIDERS as APPROVERS

if TYPE_CHECKING:
    from adapters.compose import Site

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "causality": CAUSALITY, "would_have_differed": ANSWERS, "decision": DECISIONS,
}  # fmt: skip
_BY_HOLD = "hold_placed"  # placing the hold brings a triaged incident there
_GIVEN = ("signer", "hold")
"""Evidence that the software brings itself: who is signed in, and the hold that stands."""
Text = Annotated[str, Form()]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form of a next step: free words, or one of ``choices``."""

    name: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NextStep:
    """A state that may come next, with the fields of its form."""

    state: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class IncidentsPage:
    """The list of incidents, and the form to report one."""

    rows: tuple[views.IncidentView, ...]
    may_report: bool
    run_id: str
    releases: tuple[tuple[str, str], ...]
    severities: tuple[str, ...]
    flags: tuple[str, ...]
    now: str
    zone: str


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step of the history in words."""

    at: str
    before: str
    after: str
    who: str
    evidence: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """Everything about one incident, and what the reader may do."""

    view: views.IncidentView
    states: tuple[tuple[str, str], ...]
    awareness: tuple[tuple[str, str], ...]
    next_steps: tuple[NextStep, ...]
    hold_first: bool
    history: tuple[StepLine, ...]
    zone: str
    now: str
    severities: tuple[str, ...]
    flags: tuple[str, ...]
    parties: tuple[str, ...]
    owners: tuple[str, ...]
    may_report: bool
    may_decide: bool
    may_hold: bool
    may_snapshot: bool
    may_act: bool
    may_verify: bool


def incidents_page(site: Site, session: Session, run_id: str) -> IncidentsPage:
    """Return the list, and the form to report an incident of ``run_id`` or of a release."""
    with site.database.reading() as transaction:
        row = transaction.run(run_id) if run_id else None
        known = transaction.releases()
    return IncidentsPage(
        rows=views.list_incidents(site),
        may_report=session.role in INCIDENT_REPORTERS,
        run_id=row.run_id if row is not None else "",
        releases=tuple((r.digest, f"{r.plugin} {r.version}") for r in known),
        severities=SEVERITIES,
        flags=FLAGS,
        now=_field_time(site),
        zone=site.configuration.site.time_zone,
    )


def incident_page(site: Site, incident_id: str, session: Session) -> IncidentPage:
    """Return everything about one incident; NotFoundError when the id is unknown."""
    view, role = views.view_incident(site, incident_id, session.role), session.role
    with site.database.reading() as transaction:
        owners = [a.account_id for a in transaction.accounts() if a.disabled_at is None]
    reached = {step.after for step in view.incident.steps} | {"suspected"}
    return IncidentPage(
        view=view,
        states=tuple((s, _standing(s, view.incident.state, reached)) for s in STATES),
        awareness=tuple(
            (a.party, f"{views.site_time(site, a.at)} ({a.by})")
            for a in view.incident.facts.awareness
        ),
        next_steps=tuple(_next_step(view, s) for s in view.next_states if s != _BY_HOLD),
        hold_first=_BY_HOLD in view.next_states,
        history=tuple(
            StepLine(
                views.site_time(site, step.at),
                step.before,
                step.after,
                f"{step.person} ({step.role})",
                tuple(step.evidence.items()),
            )
            for step in view.incident.steps
        ),
        zone=site.configuration.site.time_zone,
        now=_field_time(site),
        severities=SEVERITIES,
        flags=FLAGS,
        parties=PARTIES,
        owners=tuple(owners),
        may_report=role in INCIDENT_REPORTERS,
        may_decide=role in APPROVERS,
        may_hold=role in PLACERS,
        may_snapshot=role in TAKERS,
        may_act=role in ACTION_ROLES,
        may_verify=role in VERIFIERS,
    )


def incident_routes(app: FastAPI, view: Pages) -> None:
    """Add the pages of incidents."""

    @app.get("/incidents")
    def incidents(request: Request, run: str = "") -> Response:
        page = incidents_page(view.site, request.state.session, run)
        return view.render(request, "incidents.html", page=page)

    @app.post("/incidents")
    def report(
        request: Request,
        csrf: Text,
        severity: Text,
        aware_at: Text,
        release: Text = "",
        run: Text = "",
        flags: Annotated[list[str] | None, Form()] = None,
        summary: Text = "",
        reference: Text = "",
    ) -> Response:
        if not csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        site = view.site
        reported = acts.Report(
            release_digest=_release_of(site, run) if run else release,
            severity=severity,
            aware_at=local_time(aware_at, site.configuration.site.time_zone),
            run_ids=(run,) if run else (),
            flags=frozenset(flags or ()),
            summary=summary,
            reference=reference,
        )
        incident = acts.report_incident(site, request.state.session, reported)
        return RedirectResponse(f"/incidents/{incident.incident_id}", 303)

    @app.get("/incidents/{incident_id}")
    def incident(request: Request, incident_id: str) -> Response:
        page = incident_page(view.site, incident_id, request.state.session)
        return view.render(request, "incident.html", page=page)

    @app.post("/incidents/{incident_id}/{act}")
    async def do(request: Request, incident_id: str, act: str) -> Response:
        form = await request.form()
        values = {key: str(value) for key, value in form.items()}
        several = [str(value) for value in form.getlist("flags")]
        return await run_in_threadpool(_done, view, request, (incident_id, act), values, several)


def local_time(text: str, zone: str) -> datetime:
    """Return the moment that a field without a zone states at the site.

    Where clocks are put back, a time is there twice: the earlier reading counts, since terms
    begin with it.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError("expected a time such as 2026-11-25T09:30") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=find_zone(zone))


def _done(
    view: Pages, request: Request, what: tuple[str, str], values: dict[str, str], flags: list[str]
) -> Response:
    """Do what a form asks for, and show the incident again."""
    incident_id, name = what
    if not csrf_holds(request, values.pop("csrf", "")):
        return view.message(request, 403, "forbidden")
    form = _Form(view.site, request.state.session, incident_id, values, frozenset(flags))
    act = _ACTS.get(name)
    if act is None:
        return view.message(request, 404, "not_found")
    act(form)
    return RedirectResponse(f"/incidents/{quote(incident_id)}", 303)


@dataclass(frozen=True, slots=True)
class _Form:
    """What was sent, by whom, about which incident."""

    site: Site
    session: Session
    incident_id: str
    values: dict[str, str]
    flags: frozenset[str]

    def text(self, name: str) -> str:
        """Return a field; ConfigurationError when it was not sent."""
        if not self.values.get(name, "").strip():
            raise ConfigurationError(f"expected the field {name} filled in, found it empty")
        return self.values[name].strip()

    def moment(self, name: str) -> datetime:
        """Return a field as a moment in the zone of the site."""
        return local_time(self.text(name), self.site.configuration.site.time_zone)

    @property
    def who(self) -> tuple[Site, Session, str]:
        """Return what most acts begin with."""
        return self.site, self.session, self.incident_id


def _move(form: _Form) -> None:
    given = {key: value for key, value in form.values.items() if key != "state"}
    acts.move_incident(*form.who, form.text("state"), given)


def _classify(form: _Form) -> None:
    with form.site.database.reading() as transaction:
        before = acts.known_incident(transaction, form.incident_id).facts.flags
    action_at = form.moment("action_at") if form.values.get("action_at") else None
    dropped = before - form.flags
    acts.classify_incident(
        *form.who, severity=form.text("severity"), flags=(form.flags, dropped), action_at=action_at
    )


def _plan(form: _Form) -> None:
    try:
        due_on = date.fromisoformat(form.text("due_on"))
    except ValueError as error:
        raise ConfigurationError("expected a day such as 2026-12-31") from error
    plan_action(*form.who, (form.text("kind"), form.text("what")), (form.text("owner"), due_on))


def _notice(form: _Form) -> None:
    text = {"en": form.values.get("en", ""), "de": form.values.get("de", "")}
    to = sending.recipients(form.site, ("site",))
    sending.issue_notice(*form.who, "field_safety_notice", text, to)


_ACTS: Mapping[str, Callable[[_Form], object]] = {
    "move": _move,
    "classify": _classify,
    "hold": lambda form: acts.place_hold(*form.who),
    "lift": lambda form: acts.lift_hold(*form.who, form.text("reason")),
    "snapshot": lambda form: take_snapshot(
        *form.who, accept_missing=form.values.get("accept_missing", "")
    ),
    "aware": lambda form: acts.record_awareness(*form.who, (form.text("party"), form.moment("at"))),
    "report": lambda form: acts.record_duty(*form.who, form.text("clock"), form.moment("at")),
    "suspend": lambda form: sending.suspend_and_notify(*form.who, {"en": form.text("text")}),
    "notice": _notice,
    "acknowledge": lambda form: sending.acknowledge_notice(
        form.site, form.session, form.text("notice"), form.text("recipient")
    ),
    "plan": _plan,
    "finish": lambda form: finish_action(form.site, form.session, form.text("action")),
    "verify": lambda form: verify_action(
        form.site, form.session, form.text("action"), form.text("effect")
    ),
}
"""What a form may ask for; `access.INCIDENT_ACTS` has the roles of each."""


def _next_step(view: views.IncidentView, state: str) -> NextStep:
    row = TRANSITIONS[view.incident.state, state]
    choices = {
        **_CHOICES,
        "clock": tuple(view.incident.facts.met),
        "actions": tuple(action.action_id for action in view.actions),
    }
    return NextStep(
        state,
        tuple(Field(key, choices.get(key, ())) for key in row.evidence if key not in _GIVEN),
    )


def _standing(state: str, now: str, reached: set[str]) -> str:
    if state == now:
        return "now"
    return "reached" if state in reached else "ahead"


def _release_of(site: Site, run_id: str) -> str:
    with site.database.reading() as transaction:
        return transaction.request_of(run_id).release_digest


def _field_time(site: Site) -> str:
    """Return this moment as a field of type datetime-local has it."""
    zone = find_zone(site.configuration.site.time_zone)
    return site.now().astimezone(zone).strftime("%Y-%m-%dT%H:%M")
