"""Plots of doses as PNG, by matplotlib without a screen.

Read next: `report_figures.py`, which draws what stands in reports.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.documents.canvas import Rgb
from models.physics.dvh import DoseVolumeHistogram

DOTS_PER_INCH = 100


def gamma_png(gamma: NDArray[np.float64], title: str) -> bytes:
    """Return the frame with most failures and the histogram of γ, side by side."""
    figure, (left, right) = _figure(1, 2, (10.0, 4.4))
    failing = np.count_nonzero(gamma > 1, axis=(1, 2))
    frame = int(np.argmax(failing)) if failing.any() else gamma.shape[0] // 2
    picture = left.imshow(gamma[frame], cmap="RdYlGn_r", vmin=0, vmax=2, interpolation="nearest")
    left.set(title=f"γ, frame {frame + 1} of {gamma.shape[0]}", xticks=[], yticks=[])
    figure.colorbar(picture, ax=left, label="γ")
    judged = gamma[~np.isnan(gamma)]
    right.hist(
        judged, bins=np.linspace(0, max(2.0, float(judged.max(initial=0))), 81), color="#33608c"
    )
    right.axvline(1.0, color="#b3261e", linewidth=1)
    right.set(xlabel="γ", ylabel="points", title=title)
    return _png(figure)


def dvh_png(histograms: Mapping[str, DoseVolumeHistogram]) -> bytes:
    """Return the cumulative histograms of regions by name, volume in percent."""
    return _png(_dvh_figure(histograms, (9.0, 5.0)))


def dvh_picture(histograms: Mapping[str, DoseVolumeHistogram], width: int) -> Rgb:
    """Return the same as a picture of a width in pixels, about 2 to 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _dvh_figure(histograms, (width / DOTS_PER_INCH, width / 2 / DOTS_PER_INCH))
    figure.set_dpi(DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(np.asarray(canvas.buffer_rgba())[:, :width, :3], dtype=np.uint8)


def _dvh_figure(histograms: Mapping[str, DoseVolumeHistogram], inches: tuple[float, float]) -> Any:
    figure, (axis,) = _figure(1, 1, inches)
    for name, histogram in histograms.items():
        edges, above = histogram.cumulative_mm3()
        if above[0] > 0:
            axis.plot(edges, 100 * above / above[0], label=name, linewidth=1.4)
    axis.set(xlabel="dose (Gy)", ylabel="volume (%)", ylim=(0, 102))
    axis.set_xlim(left=0)
    axis.grid(alpha=0.3)
    if histograms:
        axis.legend(fontsize=8, ncols=2 if len(histograms) > 12 else 1)
    return figure


def _figure(rows: int, columns: int, inches: tuple[float, float]) -> tuple[Any, tuple[Any, ...]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, tuple(axes.ravel())


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120, metadata={"Software": "osteon"})
    return out.getvalue()
