"""`osteon validate`: the harness that certifies and re-certifies a release.

Other commands of the group stand in modules of their own (`VALIDATE` in `main.py`).

Read next: `adapters/validation/running.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.governance import deciding
from adapters.cli.progress import spinner
from adapters.cli.terminal import (
    ConfigOption,
    HomeOption,
    JsonOption,
    echo_json,
    echo_table,
)

if TYPE_CHECKING:
    from validation.harness.results import RunResults

app = typer.Typer(no_args_is_help=True)

SweepsOption = Annotated[
    str,
    typer.Option("--sweeps", help="all, short, none, or names: noise,rotation=5 (comma between)."),
]


@app.callback()
def validate() -> None:
    """Judge a release on a cohort against criteria that were fixed beforehand."""


@app.command("run")
def run(
    release: Annotated[str, typer.Option("--release", help="Digest, plugin or plugin-version.")],
    cohort: Annotated[str, typer.Option("--cohort", help="Name of a cohort of this site.")],
    criteria: Annotated[str, typer.Option("--criteria", help="Digest or file of fixed criteria.")],
    sweeps: SweepsOption = "all",
    sweep_cases: Annotated[int, typer.Option("--sweep-cases", help="Cases swept; 0: all.")] = 0,
    repeat_cases: Annotated[
        int, typer.Option("--repeat-cases", help="Asked twice; 2 at least.")
    ] = 3,
    jitter_mm: Annotated[
        float,
        typer.Option(
            "--crop-jitter-mm",
            help="Crop every case first: images cut around the lesion tell where it is.",
        ),
    ] = 0.0,
    explain: Annotated[bool, typer.Option("--explain", help="Explain the baseline too.")] = False,
    phantoms: Annotated[
        int, typer.Option("--phantoms", help="Of the geometry test; even, 0: none.")
    ] = 16,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 20261126,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Worker processes here.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on with the same question.")
    ] = True,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the harness; asked again, the same question goes on where it stopped."""
    from adapters.validation.asking import Wish, ask
    from validation.harness.results import content_digest

    wish = Wish(
        release, cohort, criteria, tuple(sweeps.split(",")), sweep_cases, repeat_cases,
        jitter_mm, explain, phantoms, seed, workers, resume,
    )  # fmt: skip
    with deciding(home, config) as (site, person), spinner("reading", quiet=as_json) as say:
        results, folder = ask(site, wish, person, say)
    document = {
        "run_id": results.run_id,
        "folder": str(folder),
        "content_digest": content_digest(results),
        "release_digest": results.release_digest,
        "cohort_digest": results.cohort_digest,
        "criteria_digest": results.criteria_digest,
        "metric_pack": results.metric_pack,
        "outcomes": _outcomes(results),
    }
    if as_json:
        echo_json(document)
        return
    rows = [(key, value) for key, value in document.items() if key != "outcomes"]
    echo_table("Validation run", ("what", "found"), rows)
    echo_table(
        "Outcomes",
        ("condition", "given", "cases", "done", "abstained", "refused", "failed"),
        [tuple(item.values()) for item in _outcomes(results)],
    )


def _outcomes(results: RunResults) -> list[dict[str, object]]:
    """Return how cases ended, by condition."""
    table: dict[tuple[str, float, int, str], list[str]] = {}
    for item in results.cases:
        where = item.condition
        key = (where.name, where.level, where.repeat, where.given)
        table.setdefault(key, []).append(item.outcome)
    return [
        {
            "condition": f"{name} {level:g}" + (f" (repeat {repeat})" if repeat else ""),
            "given": given,
            "cases": len(found),
            **{word: found.count(word) for word in ("done", "abstained", "refused", "failed")},
        }
        for (name, level, repeat, given), found in sorted(table.items())
    ]
