"""PET becomes SUV body weight by the rules of the standard, or is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from adapters.rt.read_series import read_series
from adapters.rt.read_suv import suv_scale
from audit.errors import UnitsError
from tests.simulators import dicom_objects as objects

DOSE, HALF_LIFE, GRAMS = 370e6, 6586.2, 70_000.0


def _factor(seconds: float) -> float:
    return GRAMS / (DOSE * 2 ** (-seconds / HALF_LIFE))


def _header(**changes: object) -> Dataset:
    dataset = objects.image_series("PT", shape=(1, 4, 4), **changes)[0]
    return dataset


def _isotope(dataset: Dataset) -> Dataset:
    return dataset.RadiopharmaceuticalInformationSequence[0]


def test_start_corrects_the_dose_to_the_start_of_the_series() -> None:
    """An hour between injection and Series Time decays the dose by an hour."""
    scale = suv_scale([_header()])
    assert scale.factors[0] == pytest.approx(_factor(3600))
    assert scale.uptake_minutes == pytest.approx(60)


def test_admin_uses_the_dose_as_injected() -> None:
    """Values corrected to administration need no decay."""
    assert suv_scale([_header(DecayCorrection="ADMIN")]).factors[0] == pytest.approx(GRAMS / DOSE)


def test_none_corrects_each_frame_from_its_own_time() -> None:
    """Two beds half an hour apart get two factors, with decay during the frame."""
    plain = {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"], "ActualFrameDuration": 180_000}
    first = _header(**plain)
    second = _header(**plain, AcquisitionTime="103000")
    rate = math.log(2) / HALF_LIFE
    mean = (1 - math.exp(-rate * 180)) / (rate * 180)
    scale = suv_scale([first, second])
    assert scale.factors[0] == pytest.approx(_factor(3600) / mean)
    assert scale.factors[1] == pytest.approx(_factor(5400) / mean)
    assert "DECAY_NOT_CORRECTED" in scale.notes


def test_series_time_after_acquisition_is_not_believed() -> None:
    """A workstation's Series Time gives way to the earliest acquisition."""
    late = {"SeriesTime": "150000"}
    scale = suv_scale([_header(**late, AcquisitionTime="101500"), _header(**late)])
    assert scale.factors[0] == pytest.approx(_factor(3600))
    assert "SCAN_TIME_FROM_ACQUISITION" in scale.notes


def test_ge_private_scan_time_comes_before_the_acquisition() -> None:
    """(0009,100D) of GEMS_PETD_01 is the scanner's own word."""
    dataset = _header(SeriesTime="150000", AcquisitionTime="101500")
    block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
    block.add_new(0x0D, "DT", "20240305095000.00")
    scale = suv_scale([dataset])
    assert scale.factors[0] == pytest.approx(_factor(3000))
    assert "SCAN_TIME_FROM_GE_PRIVATE" in scale.notes


def _frame_reference(bed: int, duration_s: float = 180.0) -> dict[str, object]:
    """Return what a scanner writes for a bed: its start, and its mean activity's time."""
    rate = math.log(2) / HALF_LIFE
    mean_s = math.log(rate * duration_s / (1 - math.exp(-rate * duration_s))) / rate
    start_s = bed * duration_s
    return {
        "SeriesTime": "150000",
        "AcquisitionTime": f"10{int(start_s // 60):02d}00",
        "ActualFrameDuration": int(duration_s * 1000),
        "FrameReferenceTime": f"{(start_s + mean_s) * 1000:.3f}",
    }


@pytest.mark.parametrize("beds", [(0, 1, 2), (4, 5), (7,)])
def test_a_part_of_a_scan_is_corrected_to_the_start_of_the_whole(beds: tuple[int, ...]) -> None:
    """Frame Reference Time (PS3.3 C.8.9.4.1.5) finds the start, also where beds are missing."""
    scale = suv_scale([_header(**_frame_reference(bed)) for bed in beds])
    assert scale.factors[0] == pytest.approx(_factor(3600), rel=1e-5)
    assert "SCAN_TIME_FROM_FRAME_REFERENCE" in scale.notes


def test_a_frame_reference_time_that_means_nothing_is_left_alone() -> None:
    """An offset of zero, or one before the frame's mean activity, gives way to the acquisition."""
    for offset in ("0", "1000", ""):
        facts = _frame_reference(4) | {"FrameReferenceTime": offset}
        scale = suv_scale([_header(**facts)])
        assert scale.factors[0] == pytest.approx(_factor(3600 + 4 * 180))
        assert "SCAN_TIME_FROM_ACQUISITION" in scale.notes


@pytest.mark.parametrize("dated", [True, False])
def test_a_scan_may_cross_midnight(dated: bool) -> None:
    """Beds before and after midnight belong to one scan, with dates and without."""
    beds = []
    for clock, day in (("235900", "20240305"), ("000200", "20240306"), ("000500", "20240306")):
        facts = {"SeriesTime": "235900", "AcquisitionTime": clock, "AcquisitionDate": day}
        bed = _header(**facts)
        _isotope(bed).RadiopharmaceuticalStartTime = "225900"
        if not dated:
            del bed.SeriesDate, bed.AcquisitionDate
        beds.append(bed)
    assert suv_scale(beds[::-1]).factors[0] == pytest.approx(_factor(3600))
    for bed in beds:
        bed.SeriesTime = "130000"  # written by a workstation the day after
        bed.SeriesDate = "20240306" if dated else ""
    scale = suv_scale(beds[::-1])
    assert scale.factors[0] == pytest.approx(_factor(3600))
    assert "SCAN_TIME_FROM_ACQUISITION" in scale.notes


def test_frames_without_decay_correction_may_cross_midnight() -> None:
    """Each frame is corrected from its own time, on whichever side of midnight it lies."""
    plain = {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"]}
    first, second = _header(**plain, AcquisitionTime="235500"), _header(**plain)
    second.AcquisitionDate, second.AcquisitionTime = "20240306", "000500"
    for item in (first, second):
        _isotope(item).RadiopharmaceuticalStartTime = "225500"
    scale = suv_scale([first, second])
    assert scale.factors[0] == pytest.approx(_factor(3600))
    assert scale.factors[1] == pytest.approx(_factor(4200))


def test_uptake_may_cross_midnight() -> None:
    """An injection before midnight and a scan after it are an hour apart."""
    dataset = _header(SeriesTime="002000", AcquisitionTime="002000")
    _isotope(dataset).RadiopharmaceuticalStartTime = "232000"
    scale = suv_scale([dataset])
    assert scale.uptake_minutes == pytest.approx(60)
    assert "UPTAKE_CROSSES_MIDNIGHT" in scale.notes


def test_injection_date_and_time_are_used_together() -> None:
    """Radiopharmaceutical Start DateTime settles what a time of day cannot."""
    dataset = _header()
    isotope = _isotope(dataset)
    isotope.RadiopharmaceuticalStartDateTime = "20240305084500.000000"
    assert suv_scale([dataset]).uptake_minutes == pytest.approx(75)


def test_a_shifted_injection_date_falls_back_to_the_time_of_day() -> None:
    """De-identification that moved one date only does not spoil the uptake time."""
    dataset = _header()
    _isotope(dataset).RadiopharmaceuticalStartDateTime = "20010101090000"
    scale = suv_scale([dataset])
    assert scale.uptake_minutes == pytest.approx(60)
    assert "INJECTION_DATE_IGNORED" in scale.notes


def test_dates_may_be_absent_altogether() -> None:
    """Times of day are enough."""
    dataset = _header()
    del dataset.SeriesDate, dataset.AcquisitionDate
    assert suv_scale([dataset]).factors[0] == pytest.approx(_factor(3600))


@pytest.mark.parametrize("kind", [None, "BW"])
def test_gml_is_taken_as_body_weight(kind: str | None) -> None:
    """Values in g/ml are SUVbw already."""
    changes = {} if kind is None else {"SUVType": kind}
    volume, _ = read_series(
        objects.encode_all(objects.image_series("PT", Units="GML", **changes)), "PT"
    )
    np.testing.assert_array_equal(volume.array, objects.stored_values((6, 5, 7)))
    assert volume.units == "g/ml"


@pytest.mark.parametrize("kind", ["LBM", "LBMJAMES128", "BSA", "IBW"])
def test_other_kinds_of_suv_are_refused(kind: str) -> None:
    """Lean body mass or surface area is another quantity."""
    with pytest.raises(UnitsError, match="SUVType BW"):
        suv_scale([_header(Units="GML", SUVType=kind)])


def test_philips_counts_use_the_private_suv_factor() -> None:
    """(7053,1000) turns counts into SUV."""
    dataset = _header(Units="CNTS")
    block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.00025")
    block.add_new(0x09, "DS", "1.5")
    assert suv_scale([dataset]).factors[0] == pytest.approx(0.00025)


def test_philips_counts_use_the_activity_factor_where_the_other_is_zero() -> None:
    """(7053,1009) turns counts into Bq/ml, which then go the common way."""
    dataset = _header(Units="CNTS")
    block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0")
    block.add_new(0x09, "DS", "1.5")
    assert suv_scale([dataset]).factors[0] == pytest.approx(1.5 * _factor(3600))


@pytest.mark.parametrize(
    "changes",
    [
        {"Units": "CNTS"},
        {"Units": "PROPCPS"},
        {"Units": ""},
        {"DecayCorrection": "OTHER"},
        {"PatientWeight": "0"},
        {"PatientWeight": "70000"},
        {"CorrectedImage": ["DECY"]},
    ],
)
def test_what_is_not_suv_is_refused(changes: dict[str, object]) -> None:
    """No factor is guessed."""
    with pytest.raises(UnitsError):
        suv_scale([_header(**changes)])


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("RadionuclideTotalDose", "370"),
        ("RadionuclideTotalDose", ""),
        ("RadionuclideHalfLife", "0"),
        ("RadiopharmaceuticalStartTime", ""),
        ("RadiopharmaceuticalStartTime", "2500"),
    ],
)
def test_impossible_isotope_values_are_refused(keyword: str, value: str) -> None:
    """A dose in MBq, no half life, or no time of injection end in one named error."""
    dataset = _header()
    setattr(_isotope(dataset), keyword, value)
    with pytest.raises(UnitsError):
        suv_scale([dataset])


@pytest.mark.parametrize(
    ("units", "place", "keyword"),
    [
        ("BQML", "series", "PatientWeight"),
        ("BQML", "series", "DecayCorrection"),
        ("BQML", "series", "RadiopharmaceuticalInformationSequence"),
        ("BQML", "isotope", "RadionuclideTotalDose"),
        ("BQML", "isotope", "RadionuclideHalfLife"),
        ("BQML", "isotope", "RadiopharmaceuticalStartTime"),
        ("ACTIVITY", "series", "PatientWeight"),
        ("ACTIVITY", "isotope", "RadionuclideTotalDose"),
        ("BQML", "series", "Units"),
    ],
)
def test_a_missing_attribute_is_named(units: str, place: str, keyword: str) -> None:
    """Whoever reads the refusal knows which attribute the scanner has to fill in."""
    dataset = _header(Units="BQML" if units == "BQML" else "CNTS")
    if units == "ACTIVITY":
        block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x09, "DS", "1.5")
    delattr(_isotope(dataset) if place == "isotope" else dataset, keyword)
    with pytest.raises(UnitsError, match=keyword):
        suv_scale([dataset])


def test_missing_times_are_named() -> None:
    """Neither Series Time nor Acquisition Time, or no Acquisition Time where it is needed."""
    dataset = _header()
    del dataset.SeriesTime, dataset.AcquisitionTime
    with pytest.raises(UnitsError, match="SeriesTime or AcquisitionTime"):
        suv_scale([dataset])
    dataset = _header(DecayCorrection="NONE", CorrectedImage=["ATTN"], AcquisitionTime="")
    with pytest.raises(UnitsError, match="AcquisitionTime"):
        suv_scale([dataset])


def test_counts_without_a_private_factor_name_both() -> None:
    """The vendor's two private attributes are named with their group."""
    with pytest.raises(UnitsError, match=r"\(7053,1000\) or \(7053,1009\)"):
        suv_scale([_header(Units="CNTS")])


@pytest.mark.parametrize(
    ("correction", "corrected"),
    [("START", ["ATTN"]), ("ADMIN", ["ATTN", "SCAT"]), ("NONE", ["DECY", "ATTN"])],
)
def test_a_header_that_contradicts_itself_on_decay_is_refused(
    correction: str, corrected: list[str]
) -> None:
    """Corrected Image and Decay Correction say the same, or nothing is computed."""
    with pytest.raises(UnitsError, match=f"DecayCorrection {correction}"):
        suv_scale([_header(DecayCorrection=correction, CorrectedImage=corrected)])


def test_weight_is_a_fact_of_the_patient_and_stays_out_of_the_message() -> None:
    """The error says which attribute is wrong, not its value."""
    with pytest.raises(UnitsError) as caught:
        suv_scale([_header(PatientWeight="4711.25")])
    assert "PatientWeight" in str(caught.value)
    assert "4711" not in str(caught.value)


def test_enhanced_pet_is_read_through_its_real_world_value_mapping() -> None:
    """Enhanced PET states dose in MBq, its unit in the mapping and its moment outright."""
    datasets = objects.image_series("PT")
    plain, _ = read_series(objects.encode_all(datasets), "PT")
    whole = objects.enhanced(datasets)
    for keyword in ("Units", "DecayCorrection", "CorrectedImage"):
        delattr(whole, keyword)
    code, mapping = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "Bq/ml", "UCUM"
    code.CodeMeaning = "Becquerels/milliliter"
    mapping.MeasurementUnitsCodeSequence = Items([code])
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 1.0, 0.0
    whole.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = Items([mapping])
    whole.AttenuationCorrected = whole.DecayCorrected = "YES"
    whole.DecayCorrectionDateTime = "20240305100000"
    isotope = Dataset()
    isotope.update(_isotope(whole))
    isotope.RadionuclideTotalDose = "370"
    whole.RadiopharmaceuticalInformationSequence = Items([isotope])
    volume, _ = read_series([objects.encode(whole)], "PT")
    np.testing.assert_allclose(volume.array, plain.array, rtol=1e-6)
