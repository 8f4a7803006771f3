"""`osteon incident`: report, triage, hold, decide and close a serious incident.

Every command that changes something needs a login; who may do what is the table in
`governance/INCIDENTS.md`.

Read next: `incident_evidence.py` (snapshot, reports, notices, corrective actions).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.terminal import (
    ConfigOption,
    HomeOption,
    JsonOption,
    echo_json,
    echo_table,
    set_up_logging,
)
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.incidents.views import IncidentView

app = typer.Typer(no_args_is_help=True)
IncidentArgument = Annotated[str, typer.Argument(help="Incident id, e.g. inc-20261125-abcdef.")]
FlagOption = Annotated[
    list[str] | None,
    typer.Option("--flag", help="fundamental_rights, widespread, cyber, field_action, ..."),
]


@app.command("open")
def open_incident(
    run_id: Annotated[str, typer.Argument(help="Run that is concerned; none with --release.")] = "",
    release: Annotated[str, typer.Option(help="Release, where no single run is concerned.")] = "",
    severity: Annotated[
        str,
        typer.Option(help="not_serious, serious, deterioration, death or public_health_threat."),
    ] = "serious",
    aware_at: Annotated[
        str, typer.Option(help="When it was learned of, with zone: 2026-11-25T09:30+01:00.")
    ] = "",
    party: Annotated[str, typer.Option(help="Who learned of it: provider or deployer.")] = "",
    flag: FlagOption = None,
    summary: Annotated[str, typer.Option(help="What happened, without patient data.")] = "",
    reference: Annotated[str, typer.Option(help="Case number of the house's own system.")] = "",
    suspend: Annotated[
        str, typer.Option(help="Stop the release at once and tell the provider this.")
    ] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Report an incident of a run, or of a release."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.hand import find_run
    from adapters.home import locate
    from adapters.incidents.acts import Report, report_incident
    from adapters.incidents.sending import suspend_and_notify

    with open_site(locate(home), config) as site:
        person = signed_in(site)
        if bool(run_id) == bool(release):
            raise ConfigurationError("expected either a run or --release, found both or none")
        row = find_run(site, run_id) if run_id else None
        digest = row.release_digest if row else site.registry.find(release).digest
        report = Report(
            release_digest=digest,
            severity=severity,
            aware_at=parse_time(aware_at) if aware_at else site.now(),
            run_ids=(row.run_id,) if row else (),
            flags=frozenset(flag or ()),
            party=party,
            summary=summary,
            reference=reference,
        )
        incident = report_incident(site, person, report)
        typer.echo(f"{incident.incident_id} is {incident.state}")
        if suspend:
            notice = suspend_and_notify(site, person, incident.incident_id, {"en": suspend})
            typer.echo(f"the release is suspended; {notice.notice_id} tells the provider")
        _echo_first_due(site, incident.incident_id)


@app.command("list")
def list_all(
    home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List incidents, those that are due first before the others."""
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.views import as_json as document
    from adapters.incidents.views import list_incidents

    with open_site(locate(home), config) as site:
        views = list_incidents(site)
        if as_json:
            echo_json([document(site, view) for view in views])
            return
    echo_table(
        "Incidents",
        ("incident", "plugin", "severity", "state", "first due", "hold"),
        [
            (
                v.incident.incident_id, v.incident.plugin, v.incident.facts.severity,
                v.incident.state, v.first_due or "–", _hold_word(v),
            )
            for v in views
        ],
    )  # fmt: skip


@app.command("show")
def show(
    incident_id: IncidentArgument,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one incident: its clocks, hold, evidence, actions, notices and history."""
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.views import as_json as document
    from adapters.incidents.views import view_incident
    from audit.errors import AuthenticationError

    with open_site(locate(home), config) as site:
        try:
            role = signed_in(site).role
        except AuthenticationError:
            role = ""
        view = view_incident(site, incident_id, role)
        shown = document(site, view)
    if as_json:
        echo_json(shown)
        return
    for key in ("incident_id", "state", "plugin", "severity", "decision", "reference"):
        typer.echo(f"{key}: {shown[key] or '–'}")
    typer.echo(f"hold: {_hold_word(view)}")
    typer.echo(f"next: {', '.join(view.next_states) or '–'}")
    echo_table(
        "Clocks",
        ("duty", "to", "due", "state", "done", "basis"),
        [(c.name, c.to["en"], c.due, c.state, c.done, c.basis) for c in view.clocks],
    )
    echo_table(
        "History",
        ("when", "from", "to", "who", "evidence"),
        [
            (s["at"], s["before"], s["after"], f"{s['person']} ({s['role']})", _pairs(s))
            for s in shown["steps"]
        ],
    )


@app.command("move")
def move(
    incident_id: IncidentArgument,
    state: Annotated[str, typer.Argument(help="Where it is to go; `show` lists what may be.")],
    evidence: Annotated[
        list[str] | None, typer.Option("--with", help="Evidence as key=value; may be repeated.")
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Bring an incident to its next state, on evidence."""
    _move(incident_id, state, _evidence(evidence or []), home, config)


@app.command("close")
def close(
    incident_id: IncidentArgument,
    reason: Annotated[str, typer.Option(help="Why it may be closed.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Close an incident whose duties, actions and notices are done."""
    _move(incident_id, "closed", {"reason": reason}, home, config)


@app.command("hold")
def hold(
    incident_id: IncidentArgument,
    lift: Annotated[str, typer.Option(help="Lift the hold, for this reason.")] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Freeze what an incident concerns, or lift the hold."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.acts import lift_hold, place_hold

    with open_site(locate(home), config) as site:
        if lift:
            lift_hold(site, signed_in(site), incident_id, lift)
        else:
            place_hold(site, signed_in(site), incident_id)
    typer.echo(f"the hold of {incident_id} {'is lifted' if lift else 'stands'}")


@app.command("aware")
def aware(
    incident_id: IncidentArgument,
    at: Annotated[str, typer.Option(help="When, with zone: 2026-11-25T09:30+01:00.")],
    party: Annotated[str, typer.Option(help="provider or deployer.")] = "",
    withdraw: Annotated[
        str, typer.Option(help="This moment was wrong, for this reason; another one stays.")
    ] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Record when a party learned of the incident; the earliest moment counts."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.acts import record_awareness, withdraw_moment

    with open_site(locate(home), config) as site:
        person, moment = signed_in(site), parse_time(at)
        if withdraw:
            withdraw_moment(site, person, incident_id, (party, moment), withdraw)
        else:
            record_awareness(site, person, incident_id, (party, moment))
        _echo_first_due(site, incident_id)


@app.command("classify")
def classify(
    incident_id: IncidentArgument,
    severity: Annotated[str, typer.Option(help="The severity from now on.")] = "",
    flag: FlagOption = None,
    drop_flag: Annotated[
        list[str] | None, typer.Option("--drop-flag", help="A flag that does not hold.")
    ] = None,
    action_at: Annotated[str, typer.Option(help="When a field action is to begin.")] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Change severity or flags; less urgent only as an approver."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.acts import classify_incident

    with open_site(locate(home), config) as site:
        classify_incident(
            site,
            signed_in(site),
            incident_id,
            severity=severity,
            flags=(frozenset(flag or ()), frozenset(drop_flag or ())),
            action_at=parse_time(action_at) if action_at else None,
        )
        _echo_first_due(site, incident_id)


def parse_time(text: str) -> datetime:
    """Return an aware time; ConfigurationError without a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError("expected a time such as 2026-11-25T09:30+01:00") from error
    if moment.tzinfo is None:
        raise ConfigurationError("expected a time with its zone, e.g. 2026-11-25T09:30+01:00")
    return moment


def _move(
    incident_id: str,
    state: str,
    evidence: dict[str, str],
    home: HomeOption,
    config: ConfigOption,
) -> None:
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.acts import move_incident

    with open_site(locate(home), config) as site:
        incident = move_incident(site, signed_in(site), incident_id, state, evidence)
    typer.echo(f"{incident.incident_id} is {incident.state}")


def _evidence(pairs: list[str]) -> dict[str, str]:
    if not all("=" in pair for pair in pairs):
        raise ConfigurationError("expected evidence as key=value")
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


def _echo_first_due(site: Site, incident_id: str) -> None:
    from adapters.incidents.views import view_incident

    first = view_incident(site, incident_id).first_due
    typer.echo(f"first duty is due: {first or 'none'}")


def _hold_word(view: IncidentView) -> str:
    if view.hold is None:
        return "none"
    return "stands" if view.hold.stands else "lifted"


def _pairs(step: dict[str, dict[str, str]]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in step["evidence"].items())
