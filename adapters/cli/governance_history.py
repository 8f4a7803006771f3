"""`osteon governance history`: which release was in use when, who decided, on what evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.governance import app
from adapters.cli.governance_back import moment
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json, echo_table

if TYPE_CHECKING:
    from adapters.governance.histories import HistoryLine


@app.command("history")
def history(
    plugin: Annotated[str | None, typer.Argument(help="Plugin name; else all of them.")] = None,
    at: Annotated[
        str | None, typer.Option(help="What was in use at that moment, ISO 8601.")
    ] = None,
    site_name: Annotated[
        str | None,
        typer.Option("--site", help="Only what was decided under this name of the site."),
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
        lines = lines_of(site, plugin, moment(at), site_name)
    if as_json:
        echo_json([line.as_json() for line in lines])
        return
    title = f"History of {plugin or 'all plugins'}" if at is None else f"In use at {at}"
    rows = [_row(line) for line in lines]
    columns = ["since (UTC)", "until (UTC)", "release", "state", "decided by", "evidence"]
    if len({line.site for line in lines}) > 1:
        columns.insert(0, "site")
        rows = [(line.site, *row) for line, row in zip(lines, rows, strict=True)]
    echo_table(title, columns, rows)


def _row(line: HistoryLine) -> tuple[str, ...]:
    return (
        f"{line.since:%Y-%m-%d %H:%M:%S}",
        f"{line.until:%Y-%m-%d %H:%M:%S}" if line.until else "now",
        f"{line.plugin} {line.version} {line.release_digest[:19]}",
        line.state,
        f"{line.decided_by} ({line.role})",
        ", ".join(f"{key}: {value}" for key, value in line.evidence),
    )
