"""`osteon change dossier|dossier-verify`: what the notified body is given of a change.

Read next: `adapters/change/dossier.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.governance import NameArgument, deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json


def dossier(
    new: NameArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (a zip).")],
    report: Annotated[
        list[Path] | None,
        typer.Option(help="A report or evidence file that the change names; repeatable."),
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the signed dossier of a D2 or D3 change for the notified body."""
    from adapters.change.dossier import make_dossier

    with deciding(home, config) as (site, person):
        row = site.registry.find(new)
        index = make_dossier(site, row.digest, report or (), output, person)
    if as_json:
        echo_json(index)
        return
    typer.echo(f"{len(index['files'])} files in {output}, signed; class {index['change_class']}")
    for name in index["missing"]:
        typer.echo(f"MISSING: {name}")


def verify(
    file: Annotated[Path, typer.Argument(help="A dossier.", exists=True, dir_okay=False)],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Check every byte of a dossier against its signed index."""
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.change.dossier import open_dossier

    with open_site(locate(home), config) as site:
        index = open_dossier(file.read_bytes(), site.registry.trust())
    typer.echo(f"{len(index['files'])} files good; {index['plugin']} {index['change_class']}")
