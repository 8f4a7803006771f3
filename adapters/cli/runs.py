"""`osteon runs`, `osteon route`, `osteon replay`: look at runs and act on them by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.terminal import (
    FAILED,
    ConfigOption,
    HomeOption,
    JsonOption,
    echo_json,
    echo_table,
    set_up_logging,
)
from audit.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from adapters.compose import Site

app = typer.Typer(no_args_is_help=True)
route = typer.Typer(no_args_is_help=True)
RunArgument = Annotated[str, typer.Argument(help="Run id, or its first characters.")]
SubjectArgument = Annotated[
    str, typer.Argument(help="Run id (or its first characters), or Study Instance UID.")
]


@app.command("list")
def list_runs(
    status: Annotated[str | None, typer.Option(help="Only runs of this status.")] = None,
    limit: int = 50,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, newest first."""
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site, site.database.reading() as transaction:
        rows = transaction.runs(status=status, limit=limit)
    if as_json:
        echo_json(
            [
                {
                    "run_id": r.run_id, "plugin": r.plugin, "plugin_version": r.plugin_version,
                    "release_digest": r.release_digest, "status": r.status, "reason": r.reason,
                    "mode": r.mode, "opened_at": r.opened_at, "closed_at": r.closed_at,
                    "attempts": r.attempts, "superseded_by": r.superseded_by,
                }
                for r in rows
            ]
        )  # fmt: skip
        return
    echo_table(
        "Runs",
        ("run", "plugin", "status", "reason", "mode", "opened (UTC)", "attempts"),
        [
            (
                r.run_id, f"{r.plugin} {r.plugin_version}", r.status, r.reason, r.mode,
                f"{r.opened_at:%Y-%m-%d %H:%M:%S}", r.attempts,
            )
            for r in rows
        ],
    )  # fmt: skip


@app.command("show")
def show_run(
    run_id: RunArgument,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one run with its findings, documents, targets and audit records."""
    from adapters.cli.account import person_here
    from adapters.cli.results import results_document, show_results
    from adapters.compose import open_site
    from adapters.hand import find_run
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        row = find_run(site, run_id)
        site.log_read("run", person_here(site))
        document = results_document(site, (row.run_id,), row.seconds or 0.0)
        with site.database.reading() as transaction:
            document["records"] = [
                {"leaf_index": leaf.leaf_index, "kind": leaf.kind, "event_id": leaf.event_id}
                for leaf in transaction.records_of(row.run_id)
            ]
    if as_json:
        echo_json(document)
        return
    show_results(document)
    echo_table(
        "Audit records",
        ("leaf", "kind", "event"),
        [(r["leaf_index"], r["kind"], r["event_id"]) for r in document["records"]],
    )


def _act(
    action: str, subject: str, home: HomeOption, config: ConfigOption, detail: str = ""
) -> None:
    set_up_logging()
    from adapters.cli.account import person_here
    from adapters.compose import open_site
    from adapters.hand import act, decide_study, find_run
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        person = person_here(site)
        if "." in subject and action in ("force", "discard"):
            words = decide_study(site, subject, action, person)
        else:
            run_id = _run_of_study(site, subject) if "." in subject else subject
            words = act(site, action, find_run(site, run_id).run_id, person, detail)
    typer.echo(words)


def _run_of_study(site: Site, study_instance_uid: str) -> str:
    """Return the one run of a study that nothing has superseded."""
    with site.database.reading() as transaction:
        rows = transaction.runs(study=study_instance_uid)
    standing = [row.run_id for row in rows if row.superseded_by is None]
    if len(standing) != 1:
        raise NotFoundError(
            f"expected one run of this study, found {len(standing)}",
            advice="Name the run; `osteon runs list` shows them.",
        )
    return standing[0]


@app.command("retry")
def retry(run_id: RunArgument, home: HomeOption = None, config: ConfigOption = None) -> None:
    """Let a failed run go on from where it stopped; an answer that is there is used."""
    _act("retry", run_id, home, config)


@app.command("force")
def force(
    subject: SubjectArgument,
    seed_point: Annotated[
        str | None, typer.Option("--seed-point", help="x,y,z in LPS mm inside the lesion.")
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Run the same input again (or with a seed point), or a waiting study at once.

    Where the input itself has changed, a run gets a new revision.
    """
    _act("seed" if seed_point else "force", subject, home, config, seed_point or "")


@app.command("discard")
def discard(subject: SubjectArgument, home: HomeOption = None, config: ConfigOption = None) -> None:
    """Take a waiting or failed run, or a waiting study, out of the queue; the record stays."""
    _act("discard", subject, home, config)


@route.command("test")
def try_route(
    subject: Annotated[
        str, typer.Argument(help="A DICOM file or folder, or a Study Instance UID.")
    ],
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which releases would run on a study, why the others not, and which tag failed."""
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.route_trial import try_routes

    with open_site(locate(home), config) as site:
        lines = try_routes(site, subject)
    if as_json:
        echo_json(lines)
        return
    for line in lines:
        verdict = "would run" if line["applies"] else "would not run"
        typer.echo(f"{line['plugin']} {line['version']} ({line['state']}): {verdict}")
        for role, series in line["series"].items():
            typer.echo(f"    {role}: series {series}")
        for reason in line["reasons"]:
            typer.echo(
                f"    {reason['code']} {reason['role']} {reason['keyword']}: "
                f"expected {reason['expected']}, found {reason['found'] or 'nothing'}"
            )


def replay(
    run_id: RunArgument,
    source: Annotated[
        Path | None,
        typer.Option("--input", help="Folder of the files, for a run made with `osteon run`."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Explain again too, and compare the whole answer.")
    ] = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run an old run again from its recorded release and inputs, and compare the answers."""
    set_up_logging()
    from adapters.compose import open_site
    from adapters.database.runs import FOLDER
    from adapters.hand import find_run
    from adapters.home import locate
    from adapters.replay import replay_run
    from adapters.rt.read_folder import scan_folder

    if source is not None and not source.is_dir():
        raise ConfigurationError("expected --input to be a folder of DICOM files, found none")
    scans = {FOLDER: scan_folder(source)} if source is not None else {}
    with open_site(locate(home), config, scans=scans) as site:
        result = replay_run(site, find_run(site, run_id).run_id, explain=explain)
    if as_json:
        echo_json(result)
    else:
        for key, value in result.items():
            typer.echo(f"{key}: {value}")
    if result["verdict"] == "different":
        raise typer.Exit(FAILED)
