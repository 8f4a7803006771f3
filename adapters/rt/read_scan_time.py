"""When a PET scan began, and how long after the injection.

Series Time is the moment that values are decay-corrected to, but a workstation may have
rewritten it.  Where it is after the first acquisition, or hours before it, others stand in,
in this order: the scanner's own (0009,100D) (GE); what Acquisition Time and Frame Reference
Time of the frames say, which holds also where a part of the scan is missing; the earliest
acquisition of the series.

Source: PS3.3 C.8.9.4.1.4 (Acquisition Time), C.8.9.4.1.5 (Frame Reference Time); QIBA
FDG-PET/CT Profile, Appendix G, robust version.

Read next: `read_facts.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydicom import Dataset

from adapters.rt.read_times import Moment, earliest, moment_of, parse_datetime, parse_time
from audit.errors import UnitsError

GE_CREATOR, GE_SCAN_DATETIME = "GEMS_PETD_01", 0x0D
LONGEST_UPTAKE_HALF_LIVES = 10.0
LONGEST_SCAN_S = 4 * 3600.0
"""No bed of a PET is acquired later than this after the scan began."""
REFERENCE_TOLERANCE_S = 1.0
"""Times are often written in whole seconds."""


def scan_start(datasets: Sequence[Dataset], half_life: float) -> tuple[Moment, tuple[str, ...]]:
    """Return the moment that values are decay-corrected to."""
    acquired = [moment for item in datasets if (moment := moment_of(item, "Acquisition"))]
    first = earliest(acquired)
    series = moment_of(datasets[0], "Series")
    if series is not None and (first is None or series.shortly_before(first, LONGEST_SCAN_S)):
        return series, ()
    stated = parse_datetime(private(datasets[0], 0x0009, GE_CREATOR, GE_SCAN_DATETIME))
    if stated is not None:
        return stated, ("SCAN_TIME_FROM_GE_PRIVATE",)
    started = [moment for item in datasets if (moment := _reference_start(item, half_life))]
    reference = earliest(started) if len(started) == len(datasets) else None
    if reference is not None:
        return reference, ("SCAN_TIME_FROM_FRAME_REFERENCE",)
    if first is None:
        raise UnitsError("expected SeriesTime or AcquisitionTime for SUV, found neither")
    return first, ("SCAN_TIME_FROM_ACQUISITION",)


def _reference_start(dataset: Dataset, half_life: float) -> Moment | None:
    """Return the start of the scan as one frame tells it; None where it does not.

    Frame Reference Time is the offset from the start to the moment of the frame's mean
    activity, which lies Tave after the frame's own start (PS3.3 C.8.9.4.1.5):

        Tave = 1/l ln(lT / (1 - exp(-lT)))

    A scanner that writes 0, or an offset shorter than Tave, does not mean this by it.
    """
    acquired = moment_of(dataset, "Acquisition")
    offset_s = seconds_of(dataset.get("FrameReferenceTime"))
    duration_s = seconds_of(dataset.get("ActualFrameDuration"))
    if acquired is None or not offset_s or not duration_s:
        return None
    rate = math.log(2.0) / half_life
    span = rate * duration_s
    mean_s = math.log(span / -math.expm1(-span)) / rate
    if offset_s < mean_s - REFERENCE_TOLERANCE_S:
        return None
    return acquired.minus(offset_s - mean_s)


def seconds_of(value: Any) -> float | None:
    """Return a positive number of milliseconds in seconds, None for anything else."""
    try:
        seconds = float(value) / 1000.0
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def uptake_seconds(
    isotope: Dataset, scan: Moment, half_life: float
) -> tuple[float, tuple[str, ...]]:
    """Return seconds from injection to ``scan``; midnight may lie between."""
    longest = LONGEST_UPTAKE_HALF_LIVES * half_life
    notes: tuple[str, ...] = ()
    started = parse_datetime(isotope.get("RadiopharmaceuticalStartDateTime"))
    if started is not None and scan.dated:
        seconds = started.seconds_until(scan)
        if 0 <= seconds <= longest:
            return seconds, ()
        # Dates shifted by de-identification: the time of day is still right.
        notes = ("INJECTION_DATE_IGNORED",)
    clock = parse_time(isotope.get("RadiopharmaceuticalStartTime")) or started
    if clock is None:
        raise UnitsError("expected RadiopharmaceuticalStartTime for SUV, found none")
    seconds = clock.clock().seconds_until(scan)
    if seconds < 0:
        seconds += 86400.0
        notes = (*notes, "UPTAKE_CROSSES_MIDNIGHT")
    if seconds > longest:
        raise UnitsError(
            f"expected an uptake time within {LONGEST_UPTAKE_HALF_LIVES:g} half lives, found "
            f"{seconds / 60.0:.0f} minutes"
        )
    return seconds, notes


def private(dataset: Dataset, group: int, creator: str, element: int) -> Any:
    """Return the value of a private attribute, None where it is absent."""
    try:
        return dataset.private_block(group, creator)[element].value
    except KeyError:
        return None
