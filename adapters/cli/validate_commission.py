"""`osteon validate commission`: try a release on this site's own patients, and sign for it.

Read next: `adapters/validation/commissioning.py`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.governance import deciding
from adapters.cli.progress import spinner
from adapters.cli.terminal import (
    REFUSED,
    ConfigOption,
    HomeOption,
    JsonOption,
    echo_json,
    echo_table,
)
from adapters.cli.validate import app as validate_app
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from governance.commissioning import Commissioned

app = typer.Typer(no_args_is_help=True)
validate_app.add_typer(
    app, name="commission", help="Commission a release on this site's own patients."
)
PlanArgument = Annotated[str, typer.Argument(help="Id of a plan, its beginning, or the plugin.")]
ReleaseArgument = Annotated[str, typer.Argument(help="Digest, plugin or plugin-version.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it is kept with the signature.")]


@app.command("plan")
def plan(
    file: Annotated[
        Path, typer.Argument(help="The plan, TOML: docs/examples/validation/commissioning.toml.")
    ],
    release: Annotated[str, typer.Option("--release", help="Digest, plugin or plugin-version.")],
    cohort: Annotated[str, typer.Option("--cohort", help="Name of a cohort of this site.")],
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal and record what a release has to show here; a physicist does, before any result."""
    from adapters.validation.commissioning import fix_plan

    stated = _read(file)
    with deciding(home, config) as (site, person):
        found = fix_plan(site, stated, release, cohort, person)
    if as_json:
        echo_json({"plan_id": found.plan_id, "plan_digest": found.plan_digest,
                   "release_digest": found.release_digest,
                   "cohort_digest": found.cohort_digest})  # fmt: skip
        return
    typer.echo(f"{found.plan_id}: {found.plan_digest}")


@app.command("run")
def run(
    plan_id: PlanArgument,
    end_to_end: Annotated[
        list[str] | None,
        typer.Option("--end-to-end", help="Run of the release here that was tried end to end."),
    ] = None,
    sweep_cases: Annotated[
        int, typer.Option("--sweep-cases", help="Cases asked outside the purpose; 0: all.")
    ] = 3,
    repeat_cases: Annotated[
        int, typer.Option("--repeat-cases", help="Asked twice; 2 at least.")
    ] = 3,
    jitter_mm: Annotated[
        float, typer.Option("--crop-jitter-mm", help="Crop every case first.")
    ] = 0.0,
    phantoms: Annotated[int, typer.Option("--phantoms", help="Of the geometry test; even.")] = 16,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Worker processes here.")] = 1,
    pdf: Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also print the pages.")] = True,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the harness and the checks, and write the sealed report; 3 when it did not pass."""
    from adapters.validation.commissioning import folder_of
    from adapters.validation.commissioning_run import How
    from adapters.validation.commissioning_run import run as run_plan

    how = How(tuple(end_to_end or ()), sweep_cases, repeat_cases, jitter_mm, phantoms, workers, pdf)
    with deciding(home, config) as (site, person), spinner("reading", quiet=as_json) as say:
        found = run_plan(site, plan_id, person, how, say)
        folder = folder_of(site, str(found.values["plan_id"]))
    values = found.values
    if as_json:
        echo_json({"plan_id": values["plan_id"], "run_id": values["run_id"],
                   "verdict": values["verdict"], "checks": values["checks"],
                   "report_digest": found.digest, "folder": str(folder),
                   "files": found.names})  # fmt: skip
    else:
        rows = [(c["name"], c["verdict"], c["reason"] or "–") for c in values["checks"]]
        echo_table(
            f"{values['plan_id']}: {values['verdict']}", ("check", "verdict", "reason"), rows
        )
        typer.echo(f"report {found.digest} in {folder}")
        if found.pdf_advice:
            typer.echo(f"no PDF: {found.pdf_advice}", err=True)
    if values["verdict"] != "pass":
        raise typer.Exit(REFUSED)


@app.command("sign")
def sign(
    plan_id: PlanArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a commissioning that passed: a physicist who did not run it."""
    from adapters.validation.commissioning import sign as sign_plan

    with deciding(home, config) as (site, person):
        found = sign_plan(site, plan_id, person, reason)
    _echo(found, as_json=as_json)


@app.command("withdraw")
def withdraw(
    release: ReleaseArgument,
    reason: ReasonOption,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw a commissioning: scanner, protocol or something else changed."""
    from adapters.validation.commissioning import withdraw as take_back

    with deciding(home, config) as (site, person):
        found = take_back(site, release, person, reason)
    _echo(found, as_json=as_json)


@app.command("routine")
def routine(
    release: ReleaseArgument,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Routine QA: ask the baseline again and compare; 3 when the answers differ."""
    from adapters.validation.commissioning_routine import routine as ask_again

    with deciding(home, config) as (site, person):
        found = ask_again(site, release, person)
    document = {"verdict": found.verdict, "reason": found.reason, **found.figures}
    if as_json:
        echo_json(document)
    else:
        echo_table("Routine QA", ("what", "found"), [(k, str(v)) for k, v in document.items()])
    if found.verdict != "pass":
        raise typer.Exit(REFUSED)


@app.command("show")
def show(home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the plans of the site with their verdicts, and what is signed until when."""
    from adapters.validation.commissioning_lines import lines

    with deciding(home, config) as (site, _):
        found = lines(site)
    rows = [
        {
            "plan": item.plan_id,
            "release": f"{item.plugin} {item.version}",
            "verdict": item.verdict or "not run",
            "ran_by": item.ran_by,
            "signed_by": item.signed_by,
            "expires_at": item.expires_at.isoformat() if item.expires_at else "",
            "objections": ", ".join(item.objections),
        }
        for item in found
    ]
    if as_json:
        echo_json(rows)
        return
    columns = ("plan", "release", "verdict", "ran by", "signed by", "until", "against")
    echo_table("Commissionings", columns, [tuple(row.values()) for row in rows])


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"expected a plan of a commissioning as {file.name}, found none"
        ) from error


def _echo(found: Commissioned, *, as_json: bool) -> None:
    """Say how a release stands after an act."""
    codes = [item.code for item in found.objections]
    until = found.expires_at.isoformat() if found.expires_at else ""
    if as_json:
        echo_json({"plan_id": found.plan_id, "expires_at": until, "objections": codes})
        return
    typer.echo(f"{found.plan_id}: " + (", ".join(codes) or f"commissioned until {until}"))
