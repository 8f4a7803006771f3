"""Pictures of a what-if answer: three planes of the dose, and both histograms in one plot.

Read next: `dose_objects.py`, whose planes these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapters.documents.canvas import Rgb
from adapters.documents.dose_objects import curve_of, draw_planes
from plugins.host.case import Case
from plugins.host.findings import DoseGrid, RegionDose

COLOURS = (
    *("#0b6e4f", "#b3261e", "#33608c", "#8a4f00", "#6a1b9a", "#00696b", "#9c2a5b", "#4a5a00"),
    *("#1a237e", "#5d4037"),
)
INCHES, DOTS = (8.2, 4.4), 100


def planes(case: Case, dose: DoseGrid, caption: str) -> Rgb:
    """Return axial, coronal and sagittal planes of a dose over the image."""
    return draw_planes(case, dose, "WHAT IF", caption)


def histograms(before: DoseGrid, after: DoseGrid, labels: tuple[str, str]) -> Rgb:
    """Return the cumulative histograms of both doses, the first dashed, points with intervals.

    A bar at a volume is the 90 % interval of that point of the second dose.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=INCHES, dpi=DOTS, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axis: Any = figure.subplots()
    earlier = {region.roi_number: region for region in before.regions}
    for colour, region in zip(_colours(len(after.regions)), after.regions, strict=True):
        if region.roi_number in earlier:
            _curve(axis, earlier[region.roi_number], colour, dashed=True)
        _curve(axis, region, colour, dashed=False)
        for percent, low, high in _intervals(region):
            axis.plot((low, high), (percent, percent), color=colour, linewidth=3, alpha=0.45)
    axis.set(xlabel="Gy", ylabel="%", ylim=(0, 102))
    axis.set_xlim(left=0)
    axis.grid(alpha=0.3)
    names = axis.legend(fontsize=8, loc="upper right")
    axis.add_artist(names)
    styles = [Line2D([], [], color="#444444", linestyle=line) for line in ("--", "-")]
    axis.legend(styles, labels, fontsize=8, loc="lower left")
    canvas.draw()
    return np.array(np.asarray(canvas.buffer_rgba())[:, :, :3], dtype=np.uint8)


def _curve(axis: Any, region: RegionDose, colour: str, *, dashed: bool) -> None:
    edges, above = curve_of(region.histogram).cumulative_mm3()
    if above[0] > 0:
        style: Mapping[str, Any] = (
            {"linestyle": "--", "linewidth": 1.1} if dashed else {"linewidth": 1.7}
        )
        label = None if dashed else region.name
        axis.plot(edges, 100 * above / above[0], color=colour, label=label, **style)


def _intervals(region: RegionDose) -> Sequence[tuple[float, float, float]]:
    """Return volume in per cent and interval of each point that is a dose at a share of it."""
    found = []
    for item in region.measurements:
        share = item.code.value.removeprefix("D")
        if item.interval is not None and share.isdecimal() and item.unit == "Gy":
            found.append((float(share), *item.interval))
    return found


def _colours(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]
