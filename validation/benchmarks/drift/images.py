"""Acquisition: real CTs re-sampled, re-filtered and shifted, seen by their statistics alone.

The CTs of the sarcoma patients and of OpenKBP give the same statistics that a run stores
(`plugins.contouring.statistics`, `plugins.host.texture`), as they are and after each change; no
tag tells the change.  A stream draws patients with replacement: a reference window first, then
quiet studies, then changed ones.

    slice thickness   two frames averaged
    smooth kernel     Gaussian of one pixel in plane
    sharp kernel      the image plus its difference to that
    kVp               HU above 0 times 1.15, noise of 12 HU (120 to about 100 kV)
    scanner           pixels 1.25 times as large, 6 HU higher, noise of 8 HU

Source: issue text (same day is ten studies, at most 1 false alarm in 2,000); HU against tube
voltage: Cropp et al. 2013, J Clin Imaging Sci 3:45 (bone and iodine rise by 10 to 25 %).

Read next: `plan_items.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from governance.monitoring.conformal import stream_evidence
from governance.monitoring.default_plan import ACQUISITION
from governance.monitoring.run_length import (
    NEVER,
    Delays,
    IntArray,
    delays,
    evidence_of,
    first_alarms,
    mean_run_length,
)
from governance.monitoring.state import chosen
from governance.monitoring.sums import FloatArray, threshold
from governance.monitoring.tails import both_tails
from plugins.contouring.statistics import case_statistics
from plugins.host.case import Case, Subject
from plugins.host.images import Geometry, Volume
from plugins.host.texture import with_texture
from validation.benchmarks.drift.matching import Matched, at_run_length

Tables = Mapping[str, tuple[tuple[str, ...], FloatArray]]
"""By change: names of the numbers, and the numbers of each patient (patients, numbers)."""
Image = NDArray[np.float32]
Spacing = tuple[float, float, float]
RUN_LENGTH = 2000.0
MISS = 0.02
QUIET_CASES, FOLLOWED = 50, 30
GOAL_CASES = 10
WINDOW = 51
"""Reference cases: what the 51 patients of a sarcoma cohort would give."""
WINDOWS = 50
"""Reference windows that the streams share, so that the limits are made once for each."""
LEFT_OUT = ("pet_given",)
"""Of what the item `scanner` of the shipped plan watches: it says nothing about a CT."""


def unchanged(image: Image, spacing: Spacing, _: np.random.Generator) -> tuple[Image, Spacing]:
    """Return the image as it is."""
    return image, spacing


def thicker(image: Image, spacing: Spacing, _: np.random.Generator) -> tuple[Image, Spacing]:
    """Return frames averaged two by two."""
    even = image[: len(image) // 2 * 2]
    return np.asarray((even[::2] + even[1::2]) / 2, dtype=np.float32), (
        2 * spacing[0],
        spacing[1],
        spacing[2],
    )


def smoother(image: Image, spacing: Spacing, _: np.random.Generator) -> tuple[Image, Spacing]:
    """Return the image after a soft kernel."""
    return gaussian_filter(image, (0, 1, 1)), spacing


def sharper(image: Image, spacing: Spacing, _: np.random.Generator) -> tuple[Image, Spacing]:
    """Return the image after a sharp kernel."""
    return 2 * image - gaussian_filter(image, (0, 1, 1)), spacing


def other_voltage(
    image: Image, spacing: Spacing, generator: np.random.Generator
) -> tuple[Image, Spacing]:
    """Return the image at a lower tube voltage."""
    noise = generator.normal(0, 12, image.shape).astype(np.float32)
    raised = np.where(image > 0, image * np.float32(1.15), image)
    return np.asarray(raised + noise, dtype=np.float32), spacing


def other_scanner(
    image: Image, spacing: Spacing, generator: np.random.Generator
) -> tuple[Image, Spacing]:
    """Return the image with other pixels, another offset and more noise."""
    coarse = np.asarray(zoom(image, (1, 0.8, 0.8), order=1), dtype=np.float32)
    noise = generator.normal(6, 8, coarse.shape).astype(np.float32)
    return coarse + noise, (spacing[0], spacing[1] * 1.25, spacing[2] * 1.25)


CHANGES: Mapping[
    str, Callable[[Image, Spacing, np.random.Generator], tuple[Image, Spacing]]
] = {
    "unchanged": unchanged,
    "slice thickness": thicker,
    "smooth kernel": smoother,
    "sharp kernel": sharper,
    "kVp": other_voltage,
    "scanner": other_scanner,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """One change on one data set."""

    data: str
    change: str
    patients: int
    delays: Delays
    within_ten: float


@dataclass(frozen=True, slots=True)
class Quiet:
    """False alarms without a change: first alarms, and the mean run length with its interval."""

    data: str
    streams: int
    cases: int
    alarms: int
    run_length: tuple[float, float, float]


def data_root() -> Path:
    """Return the folder of the real data; `OSTEON_TEST_DATA` or its default."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    return Path(os.environ.get("OSTEON_TEST_DATA", str(beside)))


def sarcoma_images(root: Path) -> Iterator[tuple[Image, Spacing]]:
    """Yield the CTs of the sarcoma patients, (frames, rows, columns) in HU."""
    for path in sorted((root / "sts51").glob("STS_*.npz")):
        with np.load(path, allow_pickle=False) as file:
            z, y, x = (float(step) for step in file["ct_spacing"])
            yield file["ct"].astype(np.float32), (z, y, x)


def head_and_neck_images(root: Path) -> Iterator[tuple[Image, Spacing]]:
    """Yield the CTs of the OpenKBP validation patients, (frames, rows, columns) in HU."""
    for path in sorted((root / "openkbp" / "validation").glob("pt_*.npz")):
        with np.load(path, allow_pickle=False) as file:
            codes = np.cumsum(file["ct_delta"], axis=-1, dtype=np.uint8)
            image = file["ct_lut"][codes].transpose(2, 0, 1)  # stored as (row, column, slice)
            y, x, z = (float(step) for step in file["voxel_mm"])
        yield image.astype(np.float32), (z, y, x)


DATA = {"sarcoma": sarcoma_images, "head and neck": head_and_neck_images}


def numbers(image: Image, spacing: Spacing) -> dict[str, float]:
    """Return the numbers that a run would store of a CT and the plan's item watches, by name."""
    frames, rows, columns = image.shape
    axes = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    geometry = Geometry((frames, rows, columns), spacing, (0.0, 0.0, 0.0), axes, "1.2.3")
    uid = "1.2.840.10008.5.1.4.1.1.2"
    volume = Volume(image, geometry, "CT", "[hnsf'U]", "1.2.3", "1.2.4", uid, ("1.2.5",))
    case = Case("1.2.3", Subject(), {"ct": volume})
    found = with_texture(case, case_statistics(case, np.zeros(0, dtype=np.float32), 0.0))
    merged = {**found.intensity, **found.geometry}
    return {
        name: merged[name] for name in chosen(tuple(merged), ACQUISITION) if name not in LEFT_OUT
    }


def pool(data: str, generator: np.random.Generator, most: int | None = None) -> Tables:
    """Return for each change the names of the numbers and a table (patients, numbers)."""
    rows: dict[str, list[dict[str, float]]] = {change: [] for change in CHANGES}
    for number, (image, spacing) in enumerate(DATA[data](data_root())):
        if number == most:
            break
        for change, make in CHANGES.items():
            rows[change].append(numbers(*make(image, spacing, generator)))
    names = tuple(sorted(rows["unchanged"][0]))
    return {
        change: (names, np.array([[row[name] for name in names] for row in found]))
        for change, found in rows.items()
    }


def evidence(
    windows: FloatArray, streams: FloatArray, generator: np.random.Generator
) -> FloatArray:
    """Return evidence over its threshold after each case, the greatest of all numbers.

    Parameters
    ----------
    windows : (windows, reference cases, numbers).
    streams : (streams, cases, numbers); stream s belongs to window s mod windows.

    Returns
    -------
    (streams, cases); an alarm is at 1, all numbers under one bound.
    """
    count, cases, features = streams.shape
    at = threshold(RUN_LENGTH, 1 / (2 * features), MISS)
    owner = np.arange(count) % len(windows)
    found = np.zeros((count, cases))
    for feature in range(features):
        values = streams[:, :, feature]
        u = generator.random((count, cases))
        found = np.maximum(found, stream_evidence(windows[owner, :, feature], values, u) / at)
        for window in range(len(windows)):
            mine = owner == window
            detector = both_tails(windows[window, :, feature].tolist(), MISS / features)
            if mine.any():
                found[mine] = np.maximum(found[mine], evidence_of(detector, values[mine]) / at)
    return found


@dataclass(frozen=True, slots=True)
class Streams:
    """Reference windows, quiet streams, and for each change streams that turn to it."""

    windows: FloatArray
    quiet: FloatArray
    changed: Mapping[str, FloatArray]


def draw(tables: Tables, streams: int, quiet_cases: int, generator: np.random.Generator) -> Streams:
    """Return streams of patients drawn with replacement."""
    still = tables["unchanged"][1]

    def rows(table: FloatArray, cases: int) -> FloatArray:
        return np.asarray(table[generator.integers(len(table), size=(streams, cases))])

    windows = still[generator.integers(len(still), size=(min(WINDOWS, streams), WINDOW))]
    quiet = rows(still, quiet_cases)
    changed = {
        change: np.concatenate([rows(still, QUIET_CASES), rows(table, FOLLOWED)], axis=1)
        for change, (_, table) in tables.items()
        if change != "unchanged"
    }
    return Streams(windows, quiet, changed)


def measure(
    data: str, tables: Tables, drawn: Streams, generator: np.random.Generator
) -> tuple[list[Found], Quiet, Matched]:
    """Return what was found after each change, how often without one, and both at a run length.

    The last is ours at the threshold at which its own quiet streams give the run length, as peers
    are matched; the others alarm where the bound is proven.
    """
    patients = len(tables["unchanged"][1])
    quiet = evidence(drawn.windows, drawn.quiet, generator)
    changed = {
        change: evidence(drawn.windows, streams, generator)
        for change, streams in drawn.changed.items()
    }
    count, cases = quiet.shape
    false = first_alarms(quiet, 1.0)
    seen = Quiet(data, count, cases, int((false > 0).sum()), mean_run_length(false, cases))
    found = []
    for change, ratio in changed.items():
        first = first_alarms(ratio, 1.0)
        found.append(
            Found(data, change, patients, delays(first, QUIET_CASES), within(first, GOAL_CASES))
        )
    return found, seen, at_run_length("ours", quiet, changed, QUIET_CASES, RUN_LENGTH)


def within(first: IntArray, goal: float) -> float:
    """Return the share found within the goal, of the streams that were quiet until the change."""
    quiet = first[(first == NEVER) | (first > QUIET_CASES)]
    return float(((quiet != NEVER) & (quiet - QUIET_CASES <= goal)).mean())
