"""Find the factor from stored PET units to standardised uptake value, body weight (g/ml).

    SUVbw = concentration [Bq/ml] x weight [g] / decayed dose [Bq]
    decayed dose = injected dose x 2^(-(scan time - injection time) / half life)

Source: PS3.3 C.8.9.1 (PET Series), C.8.9.2 (PET Isotope); QIBA FDG-PET/CT Profile,
"Vendor-neutral pseudo-code for SUV calculation", happy-path and robust versions.
Decay during a frame of duration T, for images without decay correction:
mean activity = A0 (1 - exp(-lT)) / (lT), l = ln 2 / half life.

Read next: `read_scan_time.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset

from adapters.rt.read_scan_time import private, scan_start, seconds_of, uptake_seconds
from adapters.rt.read_suv_enhanced import plain_header
from adapters.rt.read_times import moment_of
from audit.errors import UnitsError

PHILIPS_CREATOR, PHILIPS_SUV, PHILIPS_ACTIVITY = "Philips PET Private Group", 0x00, 0x09
DOSE_BQ = (1.0e5, 1.0e12)
WEIGHT_KG = (0.2, 700.0)


@dataclass(frozen=True, slots=True)
class SuvScale:
    """Factors to multiply with, one for each frame, and what is worth recording.

    ``uptake_minutes`` is the time from injection to the scan; no date is kept.
    """

    factors: tuple[float, ...]
    uptake_minutes: float | None
    notes: tuple[str, ...]


def suv_scale(datasets: Sequence[Dataset]) -> SuvScale:
    """Return the SUV factors of a PET series, one for each header.

    Raises
    ------
    UnitsError : the units are not known, or a named attribute is missing or impossible.
    """
    plain = {
        id(item): plain_header(item) for item in {id(item): item for item in datasets}.values()
    }
    datasets = [plain[id(item)] for item in datasets]
    first = datasets[0]
    notes = _check_corrections(first)
    _check_decay(first)
    units = {str(dataset.get("Units") or "") for dataset in datasets}
    if len(units) != 1:
        raise UnitsError(f"expected one value of Units in the series, found {len(units)}")
    unit = units.pop()
    if unit == "GML":
        _check_suv_type(first)
        return SuvScale((1.0,) * len(datasets), _uptake_or_none(datasets), notes)
    if unit == "CNTS":
        factor = _private_number(first, 0x7053, PHILIPS_CREATOR, PHILIPS_SUV)
        if factor:
            factors = tuple(
                _private_number(item, 0x7053, PHILIPS_CREATOR, PHILIPS_SUV) or factor
                for item in datasets
            )
            return SuvScale(factors, _uptake_or_none(datasets), (*notes, "SUV_PHILIPS_PRIVATE"))
        scales = [
            _private_number(item, 0x7053, PHILIPS_CREATOR, PHILIPS_ACTIVITY) for item in datasets
        ]
        if not all(scales):
            raise UnitsError(
                "expected (7053,1000) or (7053,1009) of the Philips PET Private Group with "
                "units CNTS, found neither"
            )
        body, uptake, more = _body_weight_factors(datasets)
        factors = tuple(a * (b or 0.0) for a, b in zip(body, scales, strict=True))
        return SuvScale(factors, uptake, (*notes, *more, "ACTIVITY_PHILIPS_PRIVATE"))
    if unit != "BQML":
        raise UnitsError(f"expected Units BQML, GML or CNTS, found {unit[:16] or 'none'}")
    body, uptake, more = _body_weight_factors(datasets)
    return SuvScale(body, uptake, (*notes, *more))


def _check_corrections(dataset: Dataset) -> tuple[str, ...]:
    corrected = dataset.get("CorrectedImage")
    if not corrected:
        return ("CORRECTED_IMAGE_NOT_STATED",)
    values = {corrected} if isinstance(corrected, str) else {str(item) for item in corrected}
    if "ATTN" not in values:
        raise UnitsError(
            "expected ATTN in CorrectedImage, found a series without attenuation correction"
        )
    return ()


def _check_decay(dataset: Dataset) -> None:
    """Raise where Corrected Image and Decay Correction contradict each other."""
    corrected, correction = dataset.get("CorrectedImage"), dataset.get("DecayCorrection")
    if not corrected or correction not in ("START", "ADMIN", "NONE"):
        return
    values = [corrected] if isinstance(corrected, str) else list(map(str, corrected))
    if ("DECY" in values) != (correction != "NONE"):
        found = "with" if "DECY" in values else "without"
        raise UnitsError(
            f"expected CorrectedImage to agree with DecayCorrection {correction}, found it "
            f"{found} DECY"
        )


def _check_suv_type(dataset: Dataset) -> None:
    kind = str(dataset.get("SUVType") or "BW")
    if kind != "BW":
        raise UnitsError(f"expected SUVType BW, found {kind[:16]}")


def _body_weight_factors(
    datasets: Sequence[Dataset],
) -> tuple[tuple[float, ...], float | None, tuple[str, ...]]:
    """Return weight / decayed dose for each header, uptake minutes and notes."""
    first = datasets[0]
    isotope = _isotope(first)
    missing = [
        name
        for name, place in (
            ("PatientWeight", first),
            ("RadionuclideTotalDose", isotope),
            ("RadionuclideHalfLife", isotope),
            ("DecayCorrection", first),
        )
        if place.get(name) in (None, "")
    ]
    correction = str(first.get("DecayCorrection") or "")
    if correction in ("START", "NONE") and not _has_start(isotope):
        missing.append("RadiopharmaceuticalStartTime")
    if missing:
        raise UnitsError(f"expected {', '.join(missing)} for SUV, found none")
    weight = _within(first.PatientWeight, "PatientWeight", WEIGHT_KG)
    dose = _within(isotope.RadionuclideTotalDose, "RadionuclideTotalDose", DOSE_BQ)
    half_life = _within(isotope.RadionuclideHalfLife, "RadionuclideHalfLife", (1.0, 1.0e9))
    grams = weight * 1000.0
    if correction == "ADMIN":
        return (grams / dose,) * len(datasets), _uptake_or_none(datasets), ()
    if correction == "START":
        scan, notes = scan_start(datasets, half_life)
        uptake, more = uptake_seconds(isotope, scan, half_life)
        factor = grams / (dose * 2.0 ** (-uptake / half_life))
        return (factor,) * len(datasets), uptake / 60.0, (*notes, *more)
    if correction == "NONE":
        return _uncorrected(datasets, isotope, grams / dose, half_life)
    raise UnitsError(f"expected DecayCorrection START, ADMIN or NONE, found {correction[:16]}")


def _uncorrected(
    datasets: Sequence[Dataset], isotope: Dataset, undecayed: float, half_life: float
) -> tuple[tuple[float, ...], float | None, tuple[str, ...]]:
    """Return factors of frames that were not corrected for decay at all."""
    factors, uptakes, notes = [], [], {"DECAY_NOT_CORRECTED"}
    rate = math.log(2.0) / half_life
    for dataset in datasets:
        acquired = moment_of(dataset, "Acquisition")
        if acquired is None:
            raise UnitsError("expected AcquisitionTime with DecayCorrection NONE, found none")
        uptake, more = uptake_seconds(isotope, acquired, half_life)
        span = rate * (seconds_of(dataset.get("ActualFrameDuration")) or 0.0)
        mean = (1.0 - math.exp(-span)) / span if span > 0 else 1.0
        factors.append(undecayed / (math.exp(-rate * uptake) * mean))
        uptakes.append(uptake / 60.0)
        notes.update(more)
    return tuple(factors), min(uptakes), tuple(sorted(notes))


def _uptake_or_none(datasets: Sequence[Dataset]) -> float | None:
    """Return uptake minutes where the header allows it; the value is only recorded."""
    try:
        isotope = _isotope(datasets[0])
        half_life = float(isotope.get("RadionuclideHalfLife") or 6586.2)
        scan, _ = scan_start(datasets, half_life)
        return uptake_seconds(isotope, scan, half_life)[0] / 60.0
    except (UnitsError, TypeError, ValueError):
        return None


def _isotope(dataset: Dataset) -> Dataset:
    items = dataset.get("RadiopharmaceuticalInformationSequence")
    if not items:
        raise UnitsError("expected RadiopharmaceuticalInformationSequence for SUV, found none")
    if len(items) > 1:
        raise UnitsError(f"expected one radiopharmaceutical for SUV, found {len(items)}")
    return items[0]


def _has_start(isotope: Dataset) -> bool:
    return bool(
        isotope.get("RadiopharmaceuticalStartTime")
        or isotope.get("RadiopharmaceuticalStartDateTime")
    )


def _within(value: Any, keyword: str, limits: tuple[float, float]) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not limits[0] <= number <= limits[1]:
        # The value itself is a fact of the patient and stays out of the message.
        raise UnitsError(
            f"expected {keyword} from {limits[0]:g} to {limits[1]:g}, found a value outside"
        )
    return number


def _private_number(dataset: Dataset, group: int, creator: str, element: int) -> float | None:
    value = private(dataset, group, creator, element)
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore").strip(" \0")
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
