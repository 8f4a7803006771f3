"""`osteon governance history`: which release was in use when, who decided, on what evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from adapters.cli.governance import app
from adapters.cli.governance_back import moment
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table


@app.command("history")
def history(
    plugin: Annotated[str | None, typer.Argument(help="Plugin name; else all of them.")] = None,
    at: Annotated[
        str | None, typer.Option(help="What was in use at that moment, ISO 8601.")
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which release was in which state since when, and who decided; or what ran when."""
    from adapters.compose import open_site
    from adapters.governance.histories import lines_of
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        lines = lines_of(site, plugin, moment(at))
    if as_json:
        echo_json([line.as_json() for line in lines])
        return
    title = f"History of {plugin or 'all plugins'}" if at is None else f"In use at {at}"
    echo_table(
        title,
        ("since (UTC)", "until (UTC)", "plugin", "state", "version", "release", "decided by",
         "evidence"),
        [
            (
                f"{line.since:%Y-%m-%d %H:%M:%S}",
                f"{line.until:%Y-%m-%d %H:%M:%S}" if line.until else "now",
                line.plugin,
                line.state,
                line.version,
                line.release_digest[:19],
                f"{line.decided_by} ({line.role})",
                ", ".join(f"{key}: {value}" for key, value in line.evidence),
            )
            for line in lines
        ],
    )  # fmt: skip
