"""Pictures of the patients whose dose was predicted worst, for the model card.

    python -m adapters.benchmarks.dose_worst [--data ../shared/data/openkbp] [--out FILE.png]

The patients are those that `models/training/dose/validation.json` names; they are predicted again
with the stored weights, and nothing is scored: this is no further look at them.  Each row is one
patient in the slice of the largest mean error: planned, predicted, predicted less planned.

Read next: `validation/benchmarks/dose.py`, which measured them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.dose.patient import Patient
from models.dose.predict import DosePredictor
from models.training.dose.packs import read_pack
from models.weights.store import weight_paths
from validation.benchmarks.dose import data_folder

MEASURED = Path(__file__).resolve().parents[2] / "models/training/dose/validation.json"
OUT = Path(__file__).resolve().parents[2] / "docs/images/dose-worst.png"
TOP_GY, OFF_GY = 77.0, 20.0
MARGIN = 4
TITLES = ("planned", "predicted", "predicted - planned")
FloatArray = NDArray[np.float32]


def worst_slice(patient: Patient, planned: FloatArray, predicted: FloatArray) -> int:
    """Return the axial slice in which the mean absolute error of the mask is largest.

    Slices that hold less than half as much of the mask as the fullest one do not count.
    """
    allowed = patient.possible_dose
    count = allowed.sum(axis=(0, 1))
    error = (np.abs(predicted - planned) * allowed).sum(axis=(0, 1)) / np.maximum(count, 1)
    return int(np.argmax(np.where(2 * count >= count.max(), error, -1.0)))


def row_of(patient: Patient, planned: FloatArray, predicted: FloatArray) -> list[dict[str, Any]]:
    """Return the three pictures of a patient: dose, limits, colours, and lines of structures."""
    place = worst_slice(patient, planned, predicted)
    inside = np.argwhere(patient.possible_dose[:, :, place])
    low = np.maximum(inside.min(axis=0) - MARGIN, 0)
    high = inside.max(axis=0) + MARGIN + 1
    part = (slice(low[0], high[0]), slice(low[1], high[1]), place)
    lines = [("black", mask[part]) for _, mask in patient.targets]
    lines += [("magenta", mask[part]) for mask in patient.organs.values()]
    pictures = ((planned, 0.0, TOP_GY, "turbo"), (predicted, 0.0, TOP_GY, "turbo"))
    told = [
        {"values": dose[part], "low": least, "high": most, "colours": colours}
        for dose, least, most, colours in (
            *pictures, (predicted - planned, -OFF_GY, OFF_GY, "RdBu_r"),
        )
    ]  # fmt: skip
    aspect = patient.voxel_mm[0] / patient.voxel_mm[1]
    return [one | {"lines": lines, "aspect": aspect} for one in told]


def draw(rows: Sequence[tuple[str, list[dict[str, Any]]]], out: Path) -> None:
    """Write every row into one PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 1.75 * len(rows) + 0.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), len(TITLES), squeeze=False)
    for line, (label, pictures) in zip(grid, rows, strict=True):
        for axis, one in zip(line, pictures, strict=True):
            shown = axis.imshow(
                one["values"], cmap=one["colours"], vmin=one["low"], vmax=one["high"],
                aspect=one["aspect"],
            )  # fmt: skip
            for colour, mask in one["lines"]:
                if mask.any() and not mask.all():
                    axis.contour(mask, [0.5], colors=colour, linewidths=0.7)
            axis.set_xticks([])
            axis.set_yticks([])
            figure.colorbar(shown, ax=axis, shrink=0.9, label="Gy")
        line[0].set_ylabel(label, fontsize=8)
    for axis, title in zip(grid[0], TITLES, strict=True):
        axis.set_title(title, fontsize=9)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def main() -> None:
    """Predict the worst patients again and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    predictor = DosePredictor.load(weight_paths("dose")[0])
    rows = []
    for number, found in enumerate(json.loads(MEASURED.read_text("utf-8"))["worst"], 1):
        patient, planned = read_pack(arguments.data / "validation" / f"{found['patient']}.npz")
        predicted = predictor.predict(patient)
        label = f"{number}: {found['dose_gy']:.2f} Gy"
        rows.append((label, row_of(patient, planned, predicted)))
    draw(rows, arguments.out)


if __name__ == "__main__":
    main()
