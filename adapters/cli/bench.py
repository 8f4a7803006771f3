"""`osteon bench`: the overhead of the path, the numerics and the audit log beside their peers.

Read next: `adapters/bench.py`, `adapters/benchmarks/numerics.py`, `adapters/bench_log.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.cli.terminal import HomeOption, JsonOption, echo_json, echo_table, set_up_logging
from audit.errors import ConfigurationError

PARTS = ("overhead", "numerics", "log", "dose")


def bench(
    home: HomeOption = None,
    as_json: JsonOption = False,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each side, alternating.")] = 7,
    only: Annotated[
        str | None, typer.Option(help="One part: overhead, numerics, log or dose.")
    ] = None,
    function: Annotated[str, typer.Option(help="Only functions whose name holds this.")] = "",
    skip: Annotated[
        list[str] | None, typer.Option(help="No rows whose function or peer holds this.")
    ] = None,
    row_seconds: Annotated[
        float, typer.Option(help="A row that has taken this long gets no further turn.")
    ] = 60.0,
    keep: Annotated[
        Path | None,
        typer.Option(help="File of measured rows: its rows are not measured again."),
    ] = None,
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
        from adapters.cli.bench_numerics import measured

        which, how = (function, tuple(skip or ())), (repeats, row_seconds)
        document["numerics"] = measured(which, how, (peers, keep), quiet=as_json)
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
