"""`osteon incident`: evidence snapshot, reports, notices, corrective actions.

Read next: `adapters/incidents/snapshot.py`.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.incident import IncidentArgument, parse_time
from adapters.cli.terminal import FAILED, ConfigOption, HomeOption, echo_json, set_up_logging
from audit.errors import ConfigurationError

app = typer.Typer(no_args_is_help=True)


@app.command("snapshot")
def snapshot(
    incident_id: IncidentArgument,
    source: Annotated[
        Path | None, typer.Option("--input", help="Folder of files, for runs of `osteon run`.")
    ] = None,
    accept_missing: Annotated[
        str, typer.Option(help="Take it as complete although parts are missing, for this reason.")
    ] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Verify the newest one, and run its runs again.")
    ] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Keep the evidence of an incident under evidence/, or check what was kept."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.database.runs import FOLDER
    from adapters.home import locate
    from adapters.incidents.snapshot import take_snapshot
    from adapters.incidents.snapshot_check import check_snapshot
    from adapters.rt.read_folder import scan_folder

    scans = {FOLDER: scan_folder(source)} if source is not None else {}
    with open_site(locate(home), config, scans=scans) as site:
        if check:
            result = check_snapshot(site, incident_id)
            echo_json(result)
            if any(run["verdict"] == "different" for run in result["runs"]):
                raise typer.Exit(FAILED)
            return
        person = signed_in(site)
        kept = take_snapshot(site, person, incident_id, accept_missing=accept_missing)
    echo_json(kept)


@app.command("report")
def report(
    incident_id: IncidentArgument,
    clock: Annotated[str, typer.Argument(help="Duty that is done, e.g. C1.report.")],
    at: Annotated[str, typer.Option(help="When it was sent, with zone.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Record that a duty is done: a report sent, the provider told."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.acts import record_duty

    with open_site(locate(home), config) as site:
        record_duty(site, signed_in(site), incident_id, clock, parse_time(at))
    typer.echo(f"{clock} of {incident_id} is done")


@app.command("mir")
def mir(
    incident_id: IncidentArgument, home: HomeOption = None, config: ConfigOption = None
) -> None:
    """Print the manufacturer incident report as far as what is on record fills it in."""
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.views import mir_of

    with open_site(locate(home), config) as site:
        echo_json(mir_of(site, incident_id))


@app.command("notice")
def notice(
    incident_id: IncidentArgument,
    english: Annotated[str, typer.Option("--en", help="The text in English.")] = "",
    german: Annotated[str, typer.Option("--de", help="The text in German.")] = "",
    to: Annotated[
        list[str] | None,
        typer.Option(help="NAME or NAME=ADDRESS; by default every contact in the role site."),
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Issue a field safety notice; whoever has not acknowledged is asked again."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.sending import issue_notice, recipients
    from governance.safety_notices import Recipient

    with open_site(locate(home), config) as site:
        named = [pair.partition("=") for pair in to or []]
        chosen = tuple(Recipient(name, address) for name, _, address in named)
        issued = issue_notice(
            site,
            signed_in(site),
            incident_id,
            "field_safety_notice",
            {"en": english, "de": german},
            chosen or recipients(site, ("site",)),
        )
    typer.echo(f"{issued.notice_id}; not acknowledged: {', '.join(issued.unacknowledged)}")


@app.command("acknowledge")
def acknowledge(
    notice_id: Annotated[str, typer.Argument(help="Notice id.")],
    recipient: Annotated[str, typer.Argument(help="Who has read it.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Record that a recipient has read a notice."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.sending import acknowledge_notice

    with open_site(locate(home), config) as site:
        left = acknowledge_notice(site, signed_in(site), notice_id, recipient).unacknowledged
    typer.echo(f"not acknowledged: {', '.join(left) or 'none'}")


@app.command("action")
def action(
    subject: Annotated[str, typer.Argument(help="Incident, or with --done/--effect the action.")],
    plan: Annotated[str, typer.Option(help="Plan an action: what is to be done.")] = "",
    kind: Annotated[str, typer.Option(help="corrective or preventive.")] = "corrective",
    owner: Annotated[str, typer.Option(help="Account of who has to do it.")] = "",
    due_on: Annotated[str, typer.Option(help="Until when: 2026-12-31.")] = "",
    done: Annotated[bool, typer.Option("--done", help="The action was done.")] = False,
    effect: Annotated[str, typer.Option(help="Its effect was verified, with this finding.")] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Plan a corrective action, or record that one was done, or that it helped."""
    set_up_logging()
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.incidents.actions import finish_action, plan_action, verify_action

    if [bool(plan), done, bool(effect)].count(True) != 1:
        raise ConfigurationError("expected one of --plan, --done and --effect")
    with open_site(locate(home), config) as site:
        person = signed_in(site)
        if plan:
            found = plan_action(site, person, subject, (kind, plan), (owner, _day(due_on)))
        elif done:
            found = finish_action(site, person, subject)
        else:
            found = verify_action(site, person, subject, effect)
    typer.echo(f"{found.action_id} is {found.state}")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError("expected --due-on as 2026-12-31") from error
