"""The section about explanations: what was measured of their faithfulness, by input.

Its rows stand in ``measured``, outside the report digest and under its signature: an explanation
is no part of the answer, and a report that was made before there was this section keeps its digest.

Read next: `validation/criteria/explained.py`, which judges them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from governance.report import Block, Column, Number, Paragraph, Table
from validation.criteria.explained import gain, likeness
from validation.harness.results import CaseResult
from validation.report.figures import ROUND, baselines, generator_of, rows_of
from validation.report.words import roles
from validation.statistics.resampling import of_mean

MEASURES: Mapping[str, Callable[[CaseResult], float]] = {
    "explained_likeness": likeness,
    "explained_gain": gain,
    "explained_completeness": lambda item: item.metrics.get(
        "explanation_completeness_error", math.nan
    ),
}
"""Key of the words -> what is taken of a case."""


def explained(cases: Sequence[CaseResult], seed: int) -> list[dict[str, Any]]:
    """Return the mean of each measure over explained cases, with its interval over patients."""
    rows = []
    for condition in baselines(cases):
        done = [item for item in rows_of(cases, condition) if item.outcome == "done"]
        for name, measure in MEASURES.items():
            found = [(measure(item), item.patient_group) for item in done]
            found = [pair for pair in found if math.isfinite(pair[0])]
            if not found:
                continue
            values, groups = [pair[0] for pair in found], [pair[1] for pair in found]
            low, high = of_mean(values, groups, generator_of(seed, condition, "explained", name))
            rows.append({
                "given": condition.given, "measure": name, "n": len(values),
                "patients": len(set(groups)), "mean": round(sum(values) / len(values), ROUND),
                "low": round(low, ROUND), "high": round(high, ROUND),
            })  # fmt: skip
    return rows


def explanation_blocks(rows: Sequence[Mapping[str, Any]], t: Mapping[str, str]) -> Iterator[Block]:
    """Yield the table of what was measured of explanations, or that nothing was."""
    if not rows:
        yield Paragraph(t["no_explained"])
        return
    yield Table(
        t["explained"],
        tuple(Column(t[name]) for name in ("given", "quantity", "mean", "n", "patients")),
        tuple(
            (roles(row["given"]), t[row["measure"]],
             Number(row["mean"], 3, row["low"], row["high"]), Number(row["n"], 0),
             Number(row["patients"], 0))
            for row in rows
        ),
        t["explained_note"],
    )  # fmt: skip
