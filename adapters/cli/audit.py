"""`osteon audit`: verify the log, and our own checks.

Read next: `audit/verify.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json
from audit.errors import NotFoundError

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


@app.command("vectors")
def vectors(
    folder: Annotated[Path, typer.Argument(help="A folder of JSON files, one proof each.")],
    as_json: JsonOption = False,
) -> None:
    """Hold our proof checks against vectors of others; `wantErr` proofs must be refused."""
    from audit.vectors import judge

    paths = sorted(folder.rglob("*.json")) if folder.is_dir() else []
    if not paths:
        raise NotFoundError("expected a folder with JSON vectors, found none")
    judged = [judge(str(path.relative_to(folder)), path.read_bytes()) for path in paths]
    failed = [item for item in judged if not item.passed]
    if as_json:
        named = [{"name": item.name, "reason": item.reason} for item in failed]
        echo_json({"passed": len(judged) - len(failed), "failed": len(failed), "failures": named})
    else:
        for item in failed:
            typer.echo(f"{item.name}: {item.reason}")
        typer.echo(f"{len(judged) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise typer.Exit(1)
