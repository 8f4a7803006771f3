"""`osteon governance drill`: exercise the way back, on a throw-away site."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.governance import app
from adapters.cli.progress import spinner
from adapters.cli.terminal import FAILED, JsonOption, echo_json, echo_table, set_up_logging
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from adapters.config_sections import DatabaseSection
    from adapters.governance.drill_checks import Report


@app.command("drill")
def drill(
    studies: Annotated[int, typer.Option(min=12, help="How many synthetic studies flow.")] = 12,
    keep: Annotated[
        Path | None, typer.Option(help="Empty folder to keep the throw-away site in.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Exercise on the three databases in section [database] of this file; they have "
            "to be empty. By default SQLite files.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Exercise shadow, canary, activation and rollback under load; no real site is touched."""
    set_up_logging()
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise ConfigurationError(f"expected an empty folder, found files in {keep.name}")
    database = _databases(config)
    with TemporaryDirectory(prefix="osteon-drill-") as folder:
        report = _exercise(keep or Path(folder), studies, database, quiet=as_json)
    if as_json:
        echo_json(report.as_json())
    else:
        _show(report)
    if not report.passed:
        raise typer.Exit(FAILED)


def _databases(config: Path | None) -> DatabaseSection | None:
    """Return the databases to exercise on; ConfigurationError unless all are there and empty."""
    if config is None:
        return None
    from adapters.config import load
    from adapters.database.emptiness import require_empty

    section = load(config, {}).database
    for name in ("url", "vault_url", "engine_url"):
        url = getattr(section, name).get_secret_value()
        if not url:
            raise ConfigurationError(
                f"expected database.{name} in {config.name}, found none",
                advice="Make three databases for the drill and name all of them.",
            )
        require_empty(url, f"database.{name}")
    return section


def _exercise(root: Path, studies: int, database: DatabaseSection | None, *, quiet: bool) -> Report:
    from adapters.compose import open_site
    from adapters.governance.drill import open_exercise
    from adapters.governance.drill_checks import examine
    from adapters.home import Home

    root.mkdir(parents=True, exist_ok=True)
    with spinner("making the throw-away site", quiet=quiet) as say:
        exercise = open_exercise(root, studies, say, database)
        say("comparing with the archive")
        settings = exercise.site.configuration
        with open_site(Home(root / "home"), configuration=settings) as site:
            return examine(site, exercise)


def _show(report: Report) -> None:
    echo_table(
        "Rollback drill: " + ("passed" if report.passed else "NOT passed"),
        ("check", "result", "found"),
        [(check.name, "yes" if check.ok else "NO", check.found) for check in report.checks],
    )
    figures = report.figures
    seconds = figures["seconds"]
    typer.echo(
        f"{figures['studies']} studies; at the rollback {figures['open at rollback']}; "
        f"{figures['finished on the left release']} ended where they began, "
        f"{figures['rerouted']} went to the target, {figures['cancelled']} cancelled\n"
        f"switch {seconds['switch']} s, drained {seconds['drained']} s, "
        f"all answered {seconds['all answered']} s; "
        f"agreement n = {figures['agreement']['n']}, lowest {figures['agreement']['lowest']}"
    )
