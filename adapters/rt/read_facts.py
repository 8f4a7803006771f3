"""Take from headers the few facts that envelope, drift and record need.

No name, number or date of the patient passes through here: an age is computed and its
dates are dropped, free text (descriptions, protocol names) is not read at all.

Standard: PS3.3 C.7.1.1 (Patient), C.7.2.2 (Patient Study), C.7.5.1 (Equipment), C.8.2.1
(CT), C.8.3.1 (MR), C.8.9 (PET).

Read next: `read_series.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from pydicom import Dataset

from adapters.rt.read_flat import body_part_of
from adapters.rt.read_times import parse_date
from plugins.host.case import Subject

AGE_UNITS_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.2425}
AGE_TOLERANCE_YEARS = 1.0
WEIGHT_TOLERANCE_KG = 1.0

TEXT_FACTS = {
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "software_versions": "SoftwareVersions",
    "patient_position": "PatientPosition",
    "convolution_kernel": "ConvolutionKernel",
    "filter_type": "FilterType",
    "scanning_sequence": "ScanningSequence",
    "sequence_variant": "SequenceVariant",
    "reconstruction_method": "ReconstructionMethod",
    "corrected_image": "CorrectedImage",
    "decay_correction": "DecayCorrection",
    "pet_units": "Units",
    "image_type": "ImageType",
    "lossy_image_compression": "LossyImageCompression",
    "view_position": "ViewPosition",
    "presentation_intent": "PresentationIntentType",
    "dose_type": "DoseType",
    "dose_summation_type": "DoseSummationType",
}
NUMBER_FACTS = {
    "kvp": ("KVP",),
    "slice_thickness_mm": ("SliceThickness",),
    "exposure_mas": ("Exposure", "ExposureInmAs"),
    "tube_current_ma": ("XRayTubeCurrent", "XRayTubeCurrentInmA"),
    "reconstruction_diameter_mm": ("ReconstructionDiameter",),
    "pitch": ("SpiralPitchFactor",),
    "source_detector_distance_mm": ("DistanceSourceToDetector",),
    "magnetic_field_strength_t": ("MagneticFieldStrength",),
    "repetition_time_ms": ("RepetitionTime",),
    "echo_time_ms": ("EchoTime", "EffectiveEchoTime"),
    "inversion_time_ms": ("InversionTime", "InversionTimes"),
    "flip_angle_deg": ("FlipAngle",),
}
"""Fact -> the keywords of single-frame and of enhanced objects, both in its unit."""


def acquisition_facts(dataset: Dataset) -> dict[str, str | float]:
    """Return equipment and protocol facts of one (flat) header; absent ones are left out."""
    facts: dict[str, str | float] = {}
    for name, keyword in TEXT_FACTS.items():
        text = _text(dataset.get(keyword))
        if text:
            facts[name] = text
    for name, keywords in NUMBER_FACTS.items():
        for keyword in reversed(keywords):
            number = _number(_first(dataset.get(keyword)))
            if number is not None:
                facts[name] = number
    station = _text(dataset.get("StationName"))
    if station:
        facts["station"] = station_word(station)
    part = _text(body_part_of(dataset))
    if part:
        facts["body_part"] = part
    if str(dataset.get("Modality", "")) in ("CT", "MR", "PT"):
        facts["contrast"] = "yes" if has_contrast(dataset) else "no"
    tracer = tracer_of(dataset)
    if tracer:
        facts["tracer"] = tracer
    return facts


def station_word(name: str) -> str:
    """Return twelve letters from the digest of a station's name: it tells stations apart.

    Letters, since digits in a row could be a number of somebody.

    Examples
    --------
    >>> station_word("CT01") == station_word("CT01"), station_word("CT01").isalpha()
    (True, True)
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return digest.translate(str.maketrans("0123456789", "ghijklmnop"))


def has_contrast(dataset: Dataset) -> bool:
    """Say whether a contrast agent is stated; the agent's free text is not kept."""
    agent = _text(dataset.get("ContrastBolusAgent")).upper()
    return bool(dataset.get("ContrastBolusAgentSequence")) or agent not in ("", "NONE", "NO")


def tracer_of(dataset: Dataset) -> str:
    """Return the radiopharmaceutical by its code's meaning, else as it is written."""
    items = dataset.get("RadiopharmaceuticalInformationSequence")
    if not items:
        return ""
    codes = items[0].get("RadiopharmaceuticalCodeSequence")
    meaning = _text(codes[0].get("CodeMeaning")) if codes else ""
    return meaning or _text(items[0].get("Radiopharmaceutical"))


def merge_subject(datasets: Sequence[Dataset]) -> Subject:
    """Return age, sex and weight of one patient merged over headers of several series.

    A fact on which two series disagree (age by more than a year, weight by more than a
    kilogram) is None and named in ``conflicts``.
    """
    ages = [age for item in datasets if (age := age_years(item)) is not None]
    sexes = sorted({sex for item in datasets if (sex := sex_of(item)) is not None})
    weights = [weight for item in datasets if (weight := weight_kg(item)) is not None]
    conflicts = []
    if ages and max(ages) - min(ages) > AGE_TOLERANCE_YEARS:
        conflicts.append("age")
    if len(sexes) > 1:
        conflicts.append("sex")
    if weights and max(weights) - min(weights) > WEIGHT_TOLERANCE_KG:
        conflicts.append("weight")
    return Subject(
        age_years=None if "age" in conflicts or not ages else min(ages),
        sex=None if "sex" in conflicts or not sexes else sexes[0],
        weight_kg=None if "weight" in conflicts or not weights else min(weights),
        conflicts=tuple(conflicts),
    )


def merge_tags(subject: Subject, tags: Sequence[Mapping[str, str]]) -> Subject:
    """Return ``subject`` with facts that search results of other series add or dispute."""
    datasets = []
    for item in tags:
        dataset = Dataset()
        for keyword in ("PatientAge", "PatientSex", "PatientWeight"):
            if item.get(keyword):
                setattr(dataset, keyword, item[keyword])
        datasets.append(dataset)
    own = Dataset()
    if subject.sex is not None:
        own.PatientSex = subject.sex
    if subject.weight_kg is not None:
        own.PatientWeight = f"{subject.weight_kg:.10g}"
    other = merge_subject([own, *datasets])
    ages = [age for age in (subject.age_years, other.age_years) if age is not None]
    conflicts = {*subject.conflicts, *other.conflicts}
    if ages and max(ages) - min(ages) > AGE_TOLERANCE_YEARS:
        conflicts.add("age")
    return Subject(
        age_years=None if "age" in conflicts or not ages else ages[0],
        sex=None if "sex" in conflicts else other.sex,
        weight_kg=None if "weight" in conflicts else other.weight_kg,
        conflicts=tuple(sorted(conflicts)),
    )


def age_years(dataset: Dataset) -> float | None:
    """Return the age from Patient's Age (PS3.5 AS), else from birth and study date."""
    text = str(dataset.get("PatientAge") or "").strip().upper()
    if len(text) >= 2 and text[:-1].isdigit() and text[-1] in AGE_UNITS_PER_YEAR:
        return int(text[:-1]) / AGE_UNITS_PER_YEAR[text[-1]]
    born = parse_date(dataset.get("PatientBirthDate"))
    studied = parse_date(dataset.get("StudyDate"))
    if born is None or studied is None or studied < born:
        return None
    return round((studied - born).days / AGE_UNITS_PER_YEAR["D"], 1)


def sex_of(dataset: Dataset) -> str | None:
    """Return M, F or O; other values are not known to PS3.3 C.7.1.1 and count as unknown."""
    text = str(dataset.get("PatientSex") or "").strip().upper()
    return text if text in ("M", "F", "O") else None


def weight_kg(dataset: Dataset) -> float | None:
    """Return a positive Patient's Weight, else None."""
    number = _number(dataset.get("PatientWeight"))
    return number if number is not None and number > 0 else None


def _first(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    try:
        return value[0] if len(value) else None
    except TypeError:
        return value


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number == number and abs(number) != float("inf") else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()[:64]
    try:
        return "\\".join(str(item).strip() for item in value)[:64]
    except TypeError:
        return str(value)[:64]
