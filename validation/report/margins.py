"""Margins around the contour that bound what is missed, and what they missed of left-out patients.

Read next: `validation/uncertainty/margins.py`, `summary.py`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from governance.report import Block, Column, Number, Paragraph, Table
from validation.harness.results import CaseResult, Condition
from validation.metrics.segmentation import MARGINS_MM
from validation.report.figures import ROUND, Interval, baselines, generator_of, rows_of
from validation.report.findings import Row
from validation.report.terms import Terms
from validation.report.words import roles
from validation.uncertainty.margins import risk_controlled

ALPHAS = (0.05, 0.1)
"""Shares of the reference that a new patient may have beyond the margin, in expectation."""


def margins(cases: Sequence[CaseResult], seed: int, interval: Interval) -> list[Row]:
    """Return the margin of each input and share, and what it missed of left-out patients."""
    rows = []
    for condition in baselines(cases):
        losses = _losses(cases, condition)
        for alpha in ALPHAS if len(losses) > 1 else ():
            found = risk_controlled(losses, MARGINS_MM, alpha)
            missed = [value for value in found.missed if math.isfinite(value)]
            kept = found.margin_mm is not None
            row: Row = {
                "given": condition.given, "alpha": alpha, "n": len(losses),
                "margin_mm": found.margin_mm, "left_out": len(missed) if kept else 0,
            }  # fmt: skip
            if missed and kept:
                names = [str(index) for index in range(len(missed))]
                draws = generator_of(seed, condition, "margin", str(alpha))
                low, high = interval(missed, names, draws)
                row |= {
                    "missed": round(float(np.mean(missed)), ROUND),
                    "low": round(low, ROUND), "high": round(high, ROUND),
                }  # fmt: skip
            rows.append(row)
    return rows


def margin_blocks(terms: Terms) -> Iterator[Block]:
    """Yield the table of margins, or why there is none."""
    t, rows = terms.t, terms.results["margins"]
    if not rows:
        yield Paragraph(t["no_margins"])
        return
    yield Table(
        t["margins"],
        tuple(Column(t[name]) for name in ("given", "alpha", "margin", "missed", "left_out", "n")),
        tuple(
            (roles(r["given"]), Number(100 * r["alpha"], 0),
             t["none_kept"] if r["margin_mm"] is None else Number(r["margin_mm"], 0),
             Number(100 * r["missed"], 1, 100 * r["low"], 100 * r["high"])
             if "missed" in r else "–",
             Number(r["left_out"], 0), Number(r["n"], 0))
            for r in rows
        ),
        t["margins_note"],
    )  # fmt: skip


def _losses(cases: Sequence[CaseResult], condition: Condition) -> np.ndarray:
    """Return the missed shares (patients, radii), the mean over the cases of a patient."""
    names = [f"missed_share_at_{radius}mm" for radius in MARGINS_MM]
    found: dict[str, list[list[float]]] = defaultdict(list)
    for item in rows_of(cases, condition):
        values = [item.metrics.get(name, math.nan) for name in names]
        if all(math.isfinite(value) for value in values):
            found[item.patient_group].append(values)
    means = [np.mean(found[patient], axis=0) for patient in sorted(found)]
    return np.asarray(means, np.float64).reshape(len(means), len(MARGINS_MM))
