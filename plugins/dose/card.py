"""Write the figures of the model card from the measured results, and name the weights.

`python -m plugins.dose.card` reads `models/training/dose/validation.json` and the index of
weights; it rewrites the figures in `card.md` and `weights.json`.  A test compares them, so that
the card cannot say what was not measured.

Read next: `card.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
VALIDATION = ROOT / "models/training/dose/validation.json"
WEIGHT_INDEX = ROOT / "models/weights/index.json"
CARD = FOLDER / "card.md"
WEIGHTS = FOLDER / "weights.json"
BEGIN, END = "<!-- figures: written by plugins.dose.card -->", "<!-- end of figures -->"
NOT_MEASURED = "Not measured yet for these weights."

Report = Mapping[str, Any]


def figures(report: Report | None, files: tuple[str, ...]) -> str:
    """Return the measured part of the card as Markdown; what was not measured says so."""
    lines = ["## Accuracy", ""]
    if report is None or not any(name.startswith(report["weights"]) for name in files):
        return "\n".join([*lines, NOT_MEASURED])
    return "\n".join([*lines, *_accuracy(report), *_subgroups(report), *_points(report)])


def with_figures(card: str, block: str) -> str:
    """Return the card's text with the part between its two markers replaced."""
    before, rest = card.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


def weight_files(index: Report) -> tuple[str, ...]:
    """Return the weights file of the dose networks."""
    return tuple(row["file"] for row in index["weights"] if row["role"] == "dose")


def read(path: Path) -> Report | None:
    """Return a JSON document, or None where it is not there."""
    if not path.exists():
        return None
    report: Report = json.loads(path.read_text("utf-8"))
    return report


def main() -> None:
    """Rewrite the figures of the card and the list of weights."""
    files = weight_files(read(WEIGHT_INDEX) or {"weights": []})
    block = figures(read(VALIDATION), files)
    CARD.write_text(with_figures(CARD.read_text("utf-8"), block), "utf-8")
    WEIGHTS.write_text(json.dumps(files, indent=1) + "\n", "utf-8")


def _accuracy(report: Report) -> Iterator[str]:
    dose, dvh = report["dose_score_interval_gy"], report["dvh_score_interval_gy"]
    goals = report["goals_gy"]
    yield (
        f"On the {report['patients']} validation patients of OpenKBP, never trained on "
        f"(look {report['look']} at them), with the official definitions and the 95 % bootstrap "
        f"interval over patients: dose score {report['dose_score_gy']:.2f} Gy "
        f"({dose[0]:.2f} to {dose[1]:.2f}), DVH score {report['dvh_score_gy']:.2f} Gy "
        f"({dvh[0]:.2f} to {dvh[1]:.2f}). Goals set beforehand: {goals['dose'][0]:g} and "
        f"{goals['dvh'][0]:g} Gy."
    )
    covered = report["coverage"]
    share = covered["covered"] / covered["cells"]
    yield ""
    yield (
        f"The {covered['nominal']:.0%} intervals of the DVH points hold the planned value in "
        f"{covered['covered']} of {covered['cells']} ({share:.1%})."
    )
    yield ""
    worst = ", ".join(f"{row['dose_gy']:.2f}" for row in report["worst"])
    yield f"The ten patients predicted worst have dose errors of {worst} Gy."
    yield ""


def _subgroups(report: Report) -> Iterator[str]:
    yield "| subgroup | n | dose error (Gy) | DVH error (Gy) |"
    yield "|---|---|---|---|"
    for name, row in report["subgroups"].items():
        yield f"| {name} | {row['n']} | {row['dose_gy']:.2f} | {row['dvh_gy']:.2f} |"
    yield ""


def _points(report: Report) -> Iterator[str]:
    yield "| point | n | mean absolute error (Gy) | half-width of the interval (Gy) | covered |"
    yield "|---|---|---|---|---|"
    covered = report["coverage"]["by_point"]
    for name, row in report["by_point_gy"].items():
        cell = covered.get(name)
        told = (
            f"{cell['half_width_gy']:.1f} | {cell['covered']} of {cell['n']}" if cell else "- | -"
        )
        yield f"| {name} | {row['n']} | {row['mean']:.2f} | {told} |"


if __name__ == "__main__":
    main()
