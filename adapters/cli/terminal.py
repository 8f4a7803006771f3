"""What commands share at the terminal: options, tables, errors, exit codes."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from audit.errors import RefusalError, SuiteError

DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 3

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder that keeps everything of the site.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Configuration file; else $OSTEON_CONFIG, else osteon.toml in the home.",
        show_default=False,
    ),
]


def report_error(error: SuiteError) -> int:
    """Print an error in one readable form to the error stream and return the exit code."""
    typer.echo(f"{error.code}: {error}", err=True)
    if isinstance(error, RefusalError):
        for reason in error.reasons:
            typer.echo(f"  - {reason}", err=True)
    typer.echo(f"  what to do: {error.advice}", err=True)
    return REFUSED if isinstance(error, RefusalError) else FAILED


def echo_json(document: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(document, indent=2, default=str, ensure_ascii=False))


def echo_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a readable table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def set_up_logging(*, verbose: bool = False, json_lines: bool = False) -> None:
    """Send the program log to the error stream, so that standard output stays readable."""
    import structlog

    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.INFO if verbose else logging.WARNING
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
