"""The shipped plan's own items on the same streams, by the code that runs at a site.

`contours.py` and `images.py` follow many streams at once; here a few go case by case through
`governance.monitoring.watch`, with the window of first cases that the plan collects.  Acquisition
comes with its tags, as scanners send them: they change together with the image.

    slice thickness   Slice Thickness doubled       kVp       100 instead of 120
    smooth, sharp     another Convolution Kernel    scanner   another manufacturer, model and kernel

Source: PS3.3 C.8.2.1 (CT image); issue text (same day is ten studies).

Read next: `__main__.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from governance.monitoring import watch as watches
from governance.monitoring.default_plan import default_plan
from governance.monitoring.plan import Item
from governance.monitoring.reference import Observation
from governance.monitoring.run_length import NEVER, Delays, delays
from governance.monitoring.watch import State
from validation.benchmarks.drift import contours, images
from validation.benchmarks.drift.images import Tables

RELEASE = "sha256:" + "0" * 64
_WORDS = {
    "ct_manufacturer": "A",
    "ct_manufacturer_model_name": "A1",
    "ct_convolution_kernel": "B30",
}
_OTHER: Mapping[str, Mapping[str, str]] = {
    "smooth kernel": {"ct_convolution_kernel": "B20"},
    "sharp kernel": {"ct_convolution_kernel": "B60"},
    "scanner": {
        "ct_manufacturer": "C",
        "ct_manufacturer_model_name": "C1",
        "ct_convolution_kernel": "FC08",
    },
}
_KVP, _OTHER_KVP = 120.0, 100.0


@dataclass(frozen=True, slots=True)
class Found:
    """One change as an item of the plan finds it, and the share found within the goal."""

    change: str
    delays: Delays
    within: float


def item_of(name: str) -> Item:
    """Return an item of the shipped plan."""
    (item,) = (one for one in default_plan("contouring").items if one.name == name)
    return item


def acquisition(tables: Tables, streams: int, generator: np.random.Generator) -> list[Found]:
    """Return how soon the item `scanner` finds each change of image and tags."""
    item, found = item_of("scanner"), []
    still = tables["unchanged"][1]
    for change, (names, table) in tables.items():
        if change == "unchanged":
            continue
        alarms = []
        for stream in range(streams):
            before, after = item.first_cases + images.QUIET_CASES, images.FOLLOWED
            rows = [("unchanged", still[i]) for i in generator.integers(len(still), size=before)]
            rows += [(change, table[i]) for i in generator.integers(len(table), size=after)]
            cases = [
                _tagged(f"{stream}:{number}", names, row, change=kind)
                for number, (kind, row) in enumerate(rows)
            ]
            alarms.append(_first_alarm(item, cases))
        found.append(_found(change, alarms, images.QUIET_CASES, images.GOAL_CASES))
    return found


def shift(scatter_mm: float, streams: int, generator: np.random.Generator) -> Found:
    """Return how soon the item `shift` finds contours that are 3 mm off along one axis."""
    item, alarms = item_of("shift"), []
    for stream in range(streams):
        cases = item.first_cases + contours.QUIET_CASES + contours.FOLLOWED
        moved = contours.shifts(1, cases, scatter_mm, generator)[:, 0]
        moved[generator.integers(3), -contours.FOLLOWED :] += contours.SHIFT_MM
        alarms.append(
            _first_alarm(
                item,
                [
                    Observation(
                        f"{stream}:{number}", dict(zip(contours.AXES, row.tolist(), strict=True))
                    )
                    for number, row in enumerate(moved.T)
                ],
            )
        )
    return _found(f"scatter {scatter_mm} mm", alarms, contours.QUIET_CASES, contours.GOAL_CASES)


def _tagged(case: str, names: Sequence[str], row: Sequence[float], *, change: str) -> Observation:
    numbers = dict(zip(names, map(float, row), strict=True))
    numbers["ct_kvp"] = _OTHER_KVP if change == "kVp" else _KVP
    numbers["ct_slice_thickness_mm"] = numbers["slice_spacing_mm"]
    return Observation(case, numbers, {**_WORDS, **_OTHER.get(change, {})})


def _first_alarm(item: Item, cases: Sequence[Observation]) -> int:
    state = watches.run(item, RELEASE, None, State(), cases)
    return NEVER if state.beyond is None else state.n


def _found(change: str, alarms: Sequence[int], change_at: int, goal: float) -> Found:
    first = np.asarray(alarms, dtype=np.int64)
    quiet = first[(first == NEVER) | (first > change_at)]
    within = float(((quiet > 0) & (quiet - change_at <= goal)).mean())
    return Found(change, delays(first, change_at), within)
