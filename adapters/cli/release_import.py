"""`osteon release import SOURCE`: a release from a model of another tool.

Read next: `adapters/model_import/build.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.terminal import set_up_logging


def import_release(
    source: Annotated[
        Path,
        typer.Argument(
            help="MONAI bundle or nnU-Net v2 model (folder or zip), ONNX or TorchScript file."
        ),
    ],
    statement: Annotated[
        Path | None,
        typer.Option(
            "--statement",
            help="YAML of purpose, inputs, outputs, envelope; else osteon-model.yaml in SOURCE.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Instead of the statement's.", show_default=False)
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Instead of the statement's.", show_default=False),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "--out", "-o", help="Folder for the bundle.")
    ] = Path(),
) -> None:
    """Make a release from a model that was trained elsewhere."""
    set_up_logging()
    from adapters.model_import.build import import_model

    typer.echo(import_model(source, statement, output, name=name, version=version))
