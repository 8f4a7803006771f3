"""`osteon validate criteria`: fix what has to hold, before the first result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.governance import deciding
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json
from adapters.cli.validate import app
from audit.errors import ConfigurationError


@app.command("criteria")
def criteria(
    file: Annotated[Path, typer.Argument(help="Acceptance criteria, JSON.")],
    release: Annotated[str, typer.Option("--release", help="Digest, plugin or plugin-version.")],
    cohort: Annotated[str, typer.Option("--cohort", help="Name of a cohort of this site.")],
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign and record acceptance criteria for a release and a cohort; print their digest."""
    from adapters.validation.cohorts import load
    from adapters.validation.criteria import fix

    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"expected criteria in {file.name}, found no file") from error
    with deciding(home, config) as (site, person):
        row = site.registry.find(release)
        fixed = fix(site, raw, row.digest, load(site.home, cohort), person)
    stated = {
        "criteria_digest": fixed.digest,
        "recorded_at": fixed.recorded_at.isoformat(),
        "post_hoc": fixed.criteria.post_hoc,
    }
    if as_json:
        echo_json(stated)
    else:
        typer.echo(f"fixed {fixed.digest} at {fixed.recorded_at:%Y-%m-%d %H:%M:%S} UTC")
