"""Write the figures of the model card from the measured results, and name the weights.

`python -m plugins.contouring.card` reads `models/training/contouring/results/`,
`faithfulness.json` and the index of weights; it rewrites the figures in `card.md` and
`weights.json`.  A test compares them, so that the card cannot say what was not measured.

Read next: `card.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
CROSS_VALIDATION = ROOT / "models/training/contouring/results/cross_validation.json"
FAITHFULNESS = FOLDER / "faithfulness.json"
WEIGHT_INDEX = ROOT / "models/weights/index.json"
CARD = FOLDER / "card.md"
WEIGHTS = FOLDER / "weights.json"
BEGIN, END = "<!-- figures: written by plugins.contouring.card -->", "<!-- end of figures -->"
NOT_MEASURED = "Not measured yet for these weights."

Report = Mapping[str, Any]

_METRICS = (
    ("dsc", "DSC", "{:.3f}"),
    ("nsd_3mm", "surface Dice at 3 mm", "{:.3f}"),
    ("hd95_mm", "HD95 (mm)", "{:.1f}"),
    ("absolute_volume_error_percent", "volume error, absolute (%)", "{:.1f}"),
    ("volume_error_percent", "volume error, signed (%)", "{:+.1f}"),
)


def figures(cross_validation: Report | None, faithfulness: Report | None) -> str:
    """Return the measured part of the card as Markdown; what was not measured says so."""
    lines = ["## Accuracy", ""]
    lines += [NOT_MEASURED] if cross_validation is None else _accuracy(cross_validation)
    lines += ["", "## Trust", ""]
    lines += [NOT_MEASURED] if cross_validation is None else _trust(cross_validation)
    lines += ["", "## Faithfulness of the explanation", ""]
    lines += [NOT_MEASURED] if faithfulness is None else _faithfulness(faithfulness)
    return "\n".join(lines)


def with_figures(card: str, block: str) -> str:
    """Return the card's text with the part between its two markers replaced."""
    before, rest = card.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


def weight_files(index: Report) -> tuple[str, ...]:
    """Return the files of the contouring ensemble in order of their fold."""
    rows = [row for row in index["weights"] if row["role"] == "contouring"]
    return tuple(row["file"] for row in sorted(rows, key=lambda row: int(row["fold"])))


def read(path: Path) -> Report | None:
    """Return a JSON document, or None where it is not there."""
    if not path.exists():
        return None
    report: Report = json.loads(path.read_text("utf-8"))
    return report


def main() -> None:
    """Rewrite the figures of the card and the list of weights."""
    block = figures(read(CROSS_VALIDATION), read(FAITHFULNESS))
    CARD.write_text(with_figures(CARD.read_text("utf-8"), block), "utf-8")
    index = read(WEIGHT_INDEX) or {"weights": []}
    WEIGHTS.write_text(json.dumps(weight_files(index), indent=1) + "\n", "utf-8")


def _accuracy(report: Report) -> Iterator[str]:
    jitter = report["jitter"]
    yield (
        f"Method: {report['method']}.  Each patient is contoured on {jitter['crops_per_patient']} "
        f"crops, of which one side on each axis is cut by {jitter['cut_mm'][0]:g} to "
        f"{jitter['cut_mm'][1]:g} mm, so that the tumour is not in the middle; a patient's figure "
        "is the mean over its crops.  Mean over n patients, with the 95 % percentile bootstrap "
        "interval over patients."
    )
    yield ""
    yield "| given | tumour | n | " + " | ".join(title for _, title, _ in _METRICS) + " |"
    yield "|---|---|---|" + "---|" * len(_METRICS)
    for condition in sorted(report["summary"], key=lambda name: (not name.startswith("ct+"), name)):
        for stratum, row in report["summary"][condition].items():
            cells = " | ".join(_cell(row, *metric) for metric in _METRICS)
            yield f"| {condition.upper()} | {stratum} | {row['n']} | {cells} |"


def _cell(row: Report, metric: str, _title: str, form: str) -> str:
    if metric not in row:
        return "-"
    found = row[metric]
    low, high = (form.format(value) for value in found["interval_95"])
    missing = f", n = {found['n']}" if found["n"] != row["n"] else ""
    return f"{form.format(found['mean'])} ({low} to {high}{missing})"


def _trust(report: Report) -> Iterator[str]:
    limit = report["calibration"]["abstain_below"]
    yield (
        "The plugin foretells the DSC of its own contour (each patient left out of the "
        f"calibration in turn) and withholds a contour foretold below {limit:.2f}."
    )
    yield ""
    yield (
        "| given | contours | of patients | correlation with the DSC | mean absolute error "
        "| DSC above its lower bound | kept | mean DSC kept | mean DSC withheld |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in sorted(report["trust"], key=lambda name: (not name.startswith("ct+"), name)):
        row = report["trust"][name]
        cells = (
            name.upper(),
            row["contours"],
            row["patients"],
            f"{row['correlation_foretold_dsc']:.2f}",
            f"{row['mean_absolute_error_of_foretold_dsc']:.3f}",
            f"{row['coverage_of_lower_bound']:.1%}",
            f"{row['kept_share']:.1%}",
            _three(row["mean_dsc_kept"]),
            _three(row["mean_dsc_withheld"]),
        )
        yield "| " + " | ".join(str(cell) for cell in cells) + " |"


def _faithfulness(report: Report) -> Iterator[str]:
    yield (
        "Measured on the training patients, each with the members that never saw it.  Deletion: "
        "area under the curve while the tumour's blocks are deleted, by attribution and in "
        "random order (lower is more faithful).  Randomisation: rank correlation with the "
        "attribution of a network whose weights were shuffled (near zero is right)."
    )
    yield ""
    yield (
        "| given | n | deletion by attribution | deletion at random | better than random "
        "| p (Wilcoxon) | randomisation | share of PET |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name in sorted(report["summary"], key=lambda name: (not name.startswith("ct+"), name)):
        row = report["summary"][name]
        cells = (
            name.upper(),
            row["n"],
            f"{row['deletion_auc']:.3f}",
            f"{row['deletion_auc_random']:.3f}",
            f"{row['better_count']} of {row['n']}",
            f"{row['p_value']:.1e}",
            f"{row['randomisation_rank_correlation']:+.2f}",
            _three(row["pet_share"]),
        )
        yield "| " + " | ".join(str(cell) for cell in cells) + " |"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
