"""`osteon governance rollback|recall|stop|course`: go back, and say whom it concerns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.governance import NameArgument, ReasonOption, app, deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from adapters.governance.rolling_back import RolledBack
    from governance.recall import RecallList

PluginArgument = Annotated[str, typer.Argument(help="Plugin name.")]
SinceOption = Annotated[
    str | None, typer.Option(help="From when on, ISO 8601; without zone it is UTC.")
]


@app.command("rollback")
def rollback(
    plugin: PluginArgument,
    reason: ReasonOption,
    to: Annotated[str, typer.Option(help="Release digest; else the last one on standby.")] = "",
    since: SinceOption = None,
    suspend: Annotated[
        bool, typer.Option("--suspend", help="Suspend what is left; end its work in progress.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--run-again", help="Run the recalled studies on the target.")
    ] = False,
    mark: Annotated[
        bool, typer.Option("--mark/--no-mark", help="Mark the recalled results where they lie.")
    ] = True,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the release active again that was active before, and recall what was left."""
    from adapters.governance.rolling_back import Wish
    from adapters.governance.rolling_back import rollback as go_back

    with deciding(home, config) as (site, person):
        wish = Wish(reason, to, moment(since), suspend, again, mark)
        done = go_back(site, plugin, person, wish)
    if as_json:
        echo_json(rollback_document(done))
        return
    left = f"{done.left.release_digest[:19]} is {done.left.state}" if done.left else "none was left"
    typer.echo(f"{plugin} {done.target.release_digest[:19]} is active again; {left}")
    typer.echo(
        f"  verified byte by byte, signed by {done.verified_by}; {done.seconds:.1f} s in all\n"
        f"  runs: {len(done.drained.finishing)} end on the release they began with, "
        f"{len(done.drained.rerouted)} go to another release, "
        f"{len(done.drained.cancelled)} cancelled"
    )
    if done.recall is not None:
        content = done.recall.content
        typer.echo(
            f"  recalled: {content['runs']} results of {content['patients']} patients; told: "
            f"{', '.join(content['told']) or 'nobody is named'}\n"
            f"  list: osteon governance recall {content['release_digest']}"
        )


@app.command("recall")
def recall(
    name: NameArgument,
    since: SinceOption = None,
    identities: Annotated[
        bool, typer.Option("--identities", help="With patient numbers, for clinical roles.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    acknowledge: Annotated[
        bool, typer.Option("--acknowledge", help="Note that you have read the last recall.")
    ] = False,
    handled: Annotated[
        str, typer.Option(help="Pseudonym of a patient about whom something was done.")
    ] = "",
    done: Annotated[str, typer.Option(help="What was done about that patient.")] = "",
    withdraw: Annotated[
        str,
        typer.Option(help="Recall the results without a rollback, for this reason; mark them."),
    ] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every patient, study and result that a release made; reading it is recorded."""
    from adapters.governance import recalling
    from governance.recall import as_csv as csv_of
    from governance.recall import as_json as json_of

    with deciding(home, config) as (site, person):
        digest = site.registry.find(name).digest
        if acknowledge:
            recalling.acknowledge(site, digest, person)
            typer.echo(f"{person.account_id} has acknowledged the recall of {digest[:19]}")
            return
        if withdraw:
            from adapters.governance.withdrawing import recall as recall_now

            recall_now(site, digest, person, recalling.Recalled(withdraw, moment(since)))
        if handled:
            recalling.handle(site, digest, handled, person, done)
            typer.echo(f"noted for {handled}")
            return
        found = recalling.read_recall(site, digest, person, moment(since), identities=identities)
    if as_json:
        echo_json(json_of(found))
    elif as_csv:
        typer.echo(csv_of(found), nl=False)
    else:
        _show(found)


@app.command("stop")
def stop(
    reason: ReasonOption,
    scope: Annotated[str, typer.Argument(help="Plugin, or everything.")] = "everything",
    lift: Annotated[bool, typer.Option("--lift", help="Lift the stop again.")] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Stop a plugin, or everything, at once; the manual path of the hospital is unaffected."""
    from adapters.governance import stopping

    with deciding(home, config) as (site, person):
        if lift:
            stopping.lift(site, scope, person, reason)
            typer.echo(f"{scope} may run again")
            return
        stopped = stopping.stop(site, scope, person, reason)
    typer.echo(
        f"{scope} is stopped; {len(stopped.drained.cancelled)} runs ended, "
        f"{stopped.on_their_way} documents had been handed to a target before"
    )


@app.command("alarm")
def alarm(
    name: Annotated[str, typer.Argument(help="Name of the alarm, e.g. drift-2026-11.")],
    reason: ReasonOption,
    release: Annotated[
        str, typer.Option(help="Raise it about this release: digest, or plugin-version.")
    ] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Raise an alarm about a release (--release), or note what was decided on an open one."""
    from adapters.governance import alarming

    with deciding(home, config) as (site, person):
        if release:
            digest = site.registry.find(release).digest
            alarming.raise_alarm(site, name, digest, person, reason)
            typer.echo(f"alarm {name} is open about {digest[:19]}")
            return
        alarming.close_alarm(site, name, person, reason)
    typer.echo(f"alarm {name} is closed")


@app.command("course")
def course(
    plugin: PluginArgument,
    pseudonym: Annotated[str, typer.Argument(help="Pseudonym of the patient.")],
    reason: ReasonOption,
    to: Annotated[str, typer.Option(help="Release digest, or active: whatever is.")] = "active",
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Decide on which release a patient in course goes on (clinicians)."""
    from adapters.governance.courses import decide_course

    with deciding(home, config) as (site, person):
        digest = "" if to == "active" else site.registry.find(to).digest
        decide_course(site, plugin, pseudonym, digest, person, reason)
    typer.echo(f"{pseudonym} goes on with {digest[:19] or 'the active release'} of {plugin}")


def moment(text: str | None) -> datetime | None:
    """Return the aware moment of an ISO 8601 text; ConfigurationError when it is none."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"expected a time like 2026-11-25T14:30, found {text[:40]!r}"
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def rollback_document(done: RolledBack) -> dict[str, Any]:
    """Return what a rollback did, as JSON values."""
    return {
        "plugin": done.target.plugin,
        "active": done.target.release_digest,
        "left": done.left.release_digest if done.left else None,
        "left_state": done.left.state if done.left else None,
        "verified_by": done.verified_by,
        "runs": {
            "finishing": list(done.drained.finishing),
            "rerouted": list(done.drained.rerouted),
            "cancelled": list(done.drained.cancelled),
        },
        "recall": dict(done.recall.content) if done.recall else None,
        "run_again": done.run_again,
        "seconds": round(done.seconds, 3),
    }


def _show(found: RecallList) -> None:
    from governance.recall import TODO

    echo_table(
        f"Recall of {found.plugin} {found.version}: {len(found.runs)} results, "
        f"{len(found.patients)} patients",
        ("patient", "study", "run", "status", "objects", "where", "to do"),
        [
            (
                run.identity.get("patient_id") or run.pseudonym,
                run.identity.get("study_uid") or run.study_uid_p,
                run.run_id,
                run.status,
                ", ".join(sorted({item.kind for item in run.documents})),
                ", ".join(sorted({f"{item.target}: {item.state}" for item in run.documents})),
                run.todo,
            )
            for run in found.runs
        ],
    )
    for code in sorted({run.todo for run in found.runs}):
        typer.echo(f"{code}: {TODO[code]}")
