"""`osteon audit`: verify the log."""

from __future__ import annotations

import typer

from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Verify and read the audit log."""


@app.command("verify")
def verify(
    home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Recompute the tree over every record and check every signed checkpoint."""
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        summary = site.verify_log()
    if as_json:
        echo_json(
            {
                "size": summary.tree_size,
                "root_hash": summary.root_hash,
                "checkpoints": summary.checkpoint_count,
                "verified": True,
            }
        )
    else:
        typer.echo(
            f"{summary.tree_size} records and {summary.checkpoint_count} checkpoints verified; "
            f"root {summary.root_hash}"
        )
