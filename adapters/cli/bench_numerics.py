"""The numerics part of `osteon bench`: each row is shown when it is measured.

Read next: `adapters/benchmarks/numerics.py`, `adapters/benchmarks/kept_rows.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from adapters.benchmarks.kept_rows import keep_row, kept_rows
from adapters.benchmarks.numerics import numerics_table, wanted
from adapters.cli.terminal import echo_table
from validation.benchmarks.table import Measured, Turns, lines, sentence

COLUMNS = (
    "function", "peer", "ours, s (least)", "peer, s (least)", "times faster", "by processor time",
    "goal", "agreement",
)  # fmt: skip


def measured(
    which: tuple[str, tuple[str, ...]],
    how: tuple[int, float],
    where: tuple[Path, Path | None],
    *,
    quiet: bool,
) -> list[dict[str, Any]]:
    """Return the table, and show each row when it is there.

    Parameters
    ----------
    which : what a function's name has to hold, and words that none may hold.
    how : turns of each side, and after how many seconds a row gets no further one.
    where : environments of the peers; file of rows that are kept, and beside it what they were
        measured on.
    quiet : rows go to the error stream, because a document follows.
    """
    rows, turns, (peers, keep) = wanted(*which), Turns(*how), where
    known = kept_rows(keep) if keep else {}
    table = [known[key] for row in rows if (key := (row.function, row.peer)) in known]
    for old in table:
        typer.echo(f"kept: {sentence(old)}", err=quiet)
    place = keep.with_suffix(".subjects") if keep else None
    missing = [row for row in rows if (row.function, row.peer) not in known]
    for new in numerics_table(missing, turns, peers, place):
        table.append(new)
        typer.echo(sentence(new), err=quiet)
        if keep:
            keep_row(keep, new)
    if not quiet:
        _show(table, turns)
    return [
        asdict(row) | {"ratio": row.ratio, "cpu_ratio": row.cpu_ratio, "reached": row.reached}
        for row in table
    ]


def _show(table: list[Measured], turns: Turns) -> None:
    loads = [row.load for row in table if not row.missing]
    load = f", load {min(loads):.1f} to {max(loads):.1f}" if loads else ""
    echo_table(f"Numerics, median of at most {turns.most} turns{load}", COLUMNS, lines(table))
