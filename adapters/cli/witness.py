"""`osteon witness`: run a witness for the logs of others, on a machine of its own.

Read next: `adapters/witness/server.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.terminal import JsonOption, echo_json, set_up_logging

app = typer.Typer(no_args_is_help=True)

FolderOption = Annotated[Path, typer.Option("--folder", help="Where the witness keeps its state.")]


@app.callback()
def _group() -> None:
    """Hold the log of a site to what it showed before: keep its checkpoints and cosign them."""


@app.command("init")
def init(
    folder: FolderOption,
    name: Annotated[str, typer.Option(help="Name of the witness, such as witness.example/a.")],
    as_json: JsonOption = False,
) -> None:
    """Make the keys of a witness and show its public keys; what exists is kept."""
    from adapters.witness.folder import witness_keys

    keys = [item.key.text() for item in witness_keys(folder, name)]
    if as_json:
        echo_json({"keys": keys})
    else:
        typer.echo("\n".join(keys))


@app.command("add")
def add(
    folder: FolderOption,
    log_key: Annotated[str, typer.Argument(help="Public key of a log, text or file.")],
) -> None:
    """Let the witness know a log by its public key (`osteon audit key` shows it)."""
    from adapters.cli.audit import key_text
    from adapters.witness.folder import add_log, witness_keys
    from audit.checkpoint import parse_key

    witness_keys(folder)
    key = parse_key(key_text(log_key))
    add_log(folder, key)
    typer.echo(f"witnessing {key.name}")


@app.command("serve")
def serve(
    folder: FolderOption,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 8766,
) -> None:
    """Answer `add-checkpoint` (C2SP tlog-witness) until stopped."""
    set_up_logging(verbose=True)
    from adapters.witness.server import build_server

    with build_server(folder, host, port) as server:
        typer.echo(f"witness on http://{host}:{server.server_address[1]}", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)
