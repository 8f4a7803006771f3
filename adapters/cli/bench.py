"""`osteon bench`: the overhead of the path, the numerics and the audit log beside their peers.

Read next: `adapters/bench.py`, `adapters/benchmarks/numerics.py`, `adapters/bench_log.py`.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.cli.terminal import HomeOption, JsonOption, echo_json, echo_table, set_up_logging
from audit.errors import ConfigurationError

PARTS = ("overhead", "numerics", "log", "dose")
COLUMNS = (
    "function", "peer", "ours, s (least)", "peer, s (least)", "times faster", "goal", "agreement",
)  # fmt: skip


def bench(
    home: HomeOption = None,
    as_json: JsonOption = False,
    repeats: Annotated[int, typer.Option(help="Runs of each side, alternating.")] = 7,
    only: Annotated[
        str | None, typer.Option(help="One part: overhead, numerics, log or dose.")
    ] = None,
    function: Annotated[str, typer.Option(help="Only functions whose name holds this.")] = "",
    records: Annotated[int, typer.Option(help="Records of the large log.")] = 1_000_000,
    peers: Annotated[Path, typer.Option(help="Environments of `make peers`.")] = Path(".peers"),
) -> None:
    """Measure the path beside a bare script, numerics and audit log beside their peers."""
    if only not in (None, *PARTS):
        raise ConfigurationError(f"expected one of {', '.join(PARTS)}, found {only}")
    set_up_logging()
    document: dict[str, Any] = {}
    if only in (None, "overhead"):
        from adapters.bench import measure, show

        document |= measure(home, repeats)
        if not as_json:
            show(document)
    if only in (None, "numerics"):
        document["numerics"] = _numerics(repeats, peers, function, quiet=as_json)
    if only in (None, "log"):
        from adapters.bench_log import measure as measure_log
        from adapters.bench_log import show as lines_of

        document["log"] = measure_log(records, min(records, 20_000), repeats, peers)
        if not as_json:
            echo_table("The audit log beside its peers", ("figure", ""), lines_of(document["log"]))
    if only == "dose":  # a look at the validation patients is counted, so only when asked for
        document["dose"] = _dose(repeats)
        if not as_json:
            echo_json(document)
    if as_json:
        echo_json(document)


def _dose(turns: int) -> dict[str, Any]:
    from models.weights.store import weight_paths
    from validation.benchmarks.dose import data_folder, measure, tell_stderr

    data = data_folder()
    if not (data / "validation").is_dir():
        raise ConfigurationError(f"expected OpenKBP in {data} (OSTEON_TEST_DATA), found none")
    return measure(data, weight_paths("dose")[0], turns, os.cpu_count() or 1, tell_stderr)


def _numerics(repeats: int, peers: Path, function: str, *, quiet: bool) -> list[dict[str, Any]]:
    from adapters.benchmarks.numerics import numerics_table
    from validation.benchmarks.table import lines

    table = []
    for row in numerics_table(repeats, peers, function):
        table.append(row)
        typer.echo(f"measured {row.function} beside {row.peer}", err=True)
    if not quiet:
        loads = [row.load for row in table if not row.missing]
        load = f", load {min(loads):.1f} to {max(loads):.1f}" if loads else ""
        echo_table(f"Numerics, median of {repeats} turns{load}", COLUMNS, lines(table))
    return [asdict(row) | {"ratio": row.ratio, "reached": row.reached} for row in table]
