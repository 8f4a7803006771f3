"""``osteon validate conformance``: the installed metrics on what they must give.

Read next: `validation/conformance/pack.py`.
"""

from __future__ import annotations

import math

import typer

from adapters.cli.terminal import REFUSED, JsonOption, echo_json, echo_table
from adapters.cli.validate import app


@app.command("conformance")
def conformance(as_json: JsonOption = False) -> None:
    """Ask every metric for values that are known exactly; 3 when one gives another."""
    from validation.conformance.pack import run_pack

    found = run_pack()
    if as_json:
        echo_json({
            "pack": found.pack,
            "conforms": not found.drifted,
            "checks": [
                {"metric": item.metric, "case": item.case, "expected": _number(item.expected),
                 "found": _number(item.found), "tolerance": item.tolerance, "kept": item.kept}
                for item in found.checks
            ],
        })  # fmt: skip
    else:
        echo_table(
            found.pack,
            ("metric", "case", "expected", "found", "kept"),
            [
                (item.metric, item.case, f"{item.expected:.6g}", f"{item.found:.6g}",
                 "yes" if item.kept else "NO")
                for item in found.checks
            ],
        )  # fmt: skip
        typer.echo(f"{len(found.checks) - len(found.drifted)} of {len(found.checks)} values kept")
    if found.drifted:
        raise typer.Exit(REFUSED)


def _number(value: float) -> float | str:
    """Return a value as JSON has it: no NaN, no infinity."""
    return value if math.isfinite(value) else str(value)
