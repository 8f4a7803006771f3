"""Commands on the site itself: make one, check its configuration, test its connections."""

from __future__ import annotations

from typing import Annotated

import typer

from adapters.cli.terminal import (
    FAILED,
    ConfigOption,
    HomeOption,
    JsonOption,
    echo_json,
    echo_table,
)

app = typer.Typer(no_args_is_help=True)

STARTING_POINT = """\
# Osteon site configuration.  `osteon config check` finds mistakes; more examples: docs/.
[site]
name = "{name}"
mode = "research"          # clinical: nothing is active without a certificate

[[pacs]]                   # the embedded PACS: a folder
name = "embedded"
kind = "folder"
path = "{pacs}"

[[targets]]                # results go back to it
name = "embedded"
kind = "pacs"
pacs = "embedded"

[[targets]]                # and the FHIR bundles to a folder
name = "fhir-folder"
kind = "fhir-folder"
path = "{fhir}"
"""


def init(
    home: HomeOption = None,
    config: ConfigOption = None,
    name: Annotated[str, typer.Option(help="Name of the site.")] = "research-site",
) -> None:
    """Make a site: folders, keys, databases and a configuration to start from.

    What is there is kept, so it can be called again, e.g. for another database.
    """
    from adapters.compose import create_site
    from adapters.config import load
    from adapters.home import locate, locate_configuration

    place = locate(home).create()
    path = locate_configuration(place, config) or place.configuration
    if not path.exists():
        path.write_text(
            STARTING_POINT.format(name=name, pacs=place.pacs, fhir=place.exports / "fhir"),
            encoding="utf-8",
        )
    configuration = load(path)
    password = create_site(place, configuration)
    typer.echo(f"site {configuration.site.name!r} is ready in {place.root}")
    typer.echo(f"configuration: {path}")
    if password:
        typer.echo(f"first administrator: admin; one-time password: {password}")


@app.command("check")
def check(config: ConfigOption = None, home: HomeOption = None) -> None:
    """Check a configuration file; unknown keys are named with the nearest right one."""
    from adapters.config import load
    from adapters.home import locate, locate_configuration
    from adapters.prescriptions.protocols import protocols_of

    place = locate(home)
    path = locate_configuration(place, config) or place.configuration
    configuration = load(path)
    typer.echo(
        f"{path}: good ({len(configuration.pacs)} archives, {len(configuration.targets)} targets, "
        f"{len(protocols_of(place, configuration))} protocols, mode {configuration.site.mode})"
    )


@app.command("show")
def show(config: ConfigOption = None, home: HomeOption = None) -> None:
    """Show the configuration that is in force, secrets hidden."""
    from adapters.config import load, shown
    from adapters.home import locate, locate_configuration

    echo_json(shown(load(locate_configuration(locate(home), config))))


def doctor(
    config: ConfigOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Test every connection and part of the site, and say what to do about faults."""
    from adapters.compose import open_site
    from adapters.doctor import examine
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        checks = examine(site)
    if as_json:
        echo_json(
            [{"name": c.name, "ok": c.ok, "detail": c.detail, "advice": c.advice} for c in checks]
        )
    else:
        echo_table(
            "Self-test",
            ("check", "result", "detail", "what to do"),
            [(c.name, "ok" if c.ok else "FAULT", c.detail, c.advice) for c in checks],
        )
    if not all(check.ok for check in checks):
        raise typer.Exit(FAILED)
