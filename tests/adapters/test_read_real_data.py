"""Real objects of several vendors read as others have read them; skipped without the data."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from adapters.rt.raster import mask_from_contours
from adapters.rt.read_dose import read_dose
from adapters.rt.read_facts import merge_subject
from adapters.rt.read_folder import scan_folder
from adapters.rt.read_frames import Frame
from adapters.rt.read_part10 import read_instance
from adapters.rt.read_pixels import decode, pixel_format
from adapters.rt.read_plan import read_plan
from adapters.rt.read_series import read_series
from adapters.rt.read_structures import read_structures
from audit.errors import MissingAttributeError, SuiteError, TruncatedError, UnitsError
from tests.simulators import dicom_objects as objects

DATA = Path(
    os.environ.get("OSTEON_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)


def _folder(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"test data {name} are not here (OSTEON_TEST_DATA)")
    return DATA / name


def _unpack(archive: Path, target: Path) -> Path:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(target)
    return target


def _array(packed: NDArray[np.generic], key: str) -> NDArray[np.generic]:
    shape = packed[key].shape
    bits = np.unpackbits(packed[f"{key}_mask"])[: packed[key].size]
    return bits.reshape(shape).astype(bool)


@pytest.mark.parametrize("patient", ["STS_006", "STS_042"])
def test_sarcoma_patients_agree_with_their_published_arrays(patient: str, tmp_path: Path) -> None:
    """CT, PET and MR values and all three contours equal the reference arrays."""
    archive, arrays = _folder("sts_dicom") / f"{patient}.zip", _folder("sts51")
    folder = _unpack(archive, tmp_path) / patient
    scan = scan_folder(folder)
    assert len(scan.studies) == 1
    assert len(scan.studies[0].series) == 6
    assert scan.skipped == ()
    with np.load(arrays / f"{patient}.npz") as packed:
        for modality, place, key in (
            ("CT", "CT", "ct"),
            ("PT", "PET", "pet"),
            ("MR", "MR_T1", "mr"),
        ):
            volume, series = read_series(sorted((folder / place / "image").iterdir()), modality)
            structures, _ = read_structures(next((folder / place / "mask").iterdir()))
            assert structures.frame_of_reference_uid == volume.geometry.frame_of_reference_uid
            mask = mask_from_contours(structures.rois[0].contours, volume.geometry)
            expected, reference = packed[key], _array(packed, key)
            if modality == "PT":
                # stored as SUV x 1000, rounded
                np.testing.assert_allclose(volume.array * 1000, expected, atol=0.51)
                np.testing.assert_array_equal(mask, reference)
                assert volume.acquisition["uptake_minutes"] == pytest.approx(90, abs=5)
                subject = merge_subject([series.first])
                assert subject.age_years == {"STS_006": 64, "STS_042": 16}[patient]
            else:
                np.testing.assert_allclose(
                    _halved(volume.array, expected.shape), expected, atol=0.51
                )
                half = _halved(mask.astype(np.float32), expected.shape) >= 0.5
                np.testing.assert_array_equal(half, reference)
            if modality == "CT":
                volume_ml = mask.sum() * volume.geometry.voxel_volume_ml()
                assert volume_ml == pytest.approx(float(packed["gtv_cc_native"][0]), rel=1e-6)


def _halved(array: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return means of 2 x 2 pixels in plane, as the arrays were made."""
    frames, rows, columns = shape
    cut = array[:frames, : rows * 2, : columns * 2]
    return cut.reshape(frames, rows, 2, columns, 2).mean(axis=(2, 4))


def test_openkbp_chain_is_linked_and_in_its_units(tmp_path: Path) -> None:
    """CT, structures, plan and dose of one patient share one frame of reference."""
    folder = _unpack(_folder("openkbp_dicom") / "pt_1.zip", tmp_path)
    scan = scan_folder(folder)
    by_modality = {series.modality: series for study in scan.studies for series in study.series}
    assert set(by_modality) == {"CT", "RTSTRUCT", "RTPLAN", "RTDOSE"}
    files = {kind: scan.files[item.series_instance_uid] for kind, item in by_modality.items()}
    ct, _ = read_series(files["CT"], "CT")
    dose, _ = read_dose(files["RTDOSE"][0])
    structures, _ = read_structures(files["RTSTRUCT"][0])
    plan, _ = read_plan(files["RTPLAN"][0])
    assert ct.geometry == dose.geometry
    assert 50 < dose.array.max() < 90
    assert plan.beams
    targets = [roi for roi in structures.rois if "PTV" in roi.name.upper()]
    mask = mask_from_contours(targets[0].contours, ct.geometry)
    assert dose.array[mask].mean() > 4 * dose.array[~mask].mean()


def test_phantom_without_frame_of_reference_is_refused_by_name(tmp_path: Path) -> None:
    """The OpenTPS phantom leaves Frame of Reference UID empty."""
    folder = _unpack(_folder("phantom_ct_rs") / "SimpleFantomWithStruct.zip", tmp_path)
    ct = sorted(folder.rglob("CT*.dcm"))
    with pytest.raises(MissingAttributeError, match="FrameOfReferenceUID"):
        read_series(ct, "CT")
    datasets = [dcmread(path) for path in ct]
    for dataset in datasets:
        dataset.FrameOfReferenceUID = "2.25.1"
    volume, _ = read_series(objects.encode_all(datasets), "CT")
    assert volume.geometry.shape == (200, 200, 200)
    assert volume.geometry.spacing_mm == (1.0, 1.0, 1.0)
    structures, _ = read_structures(next(folder.rglob("RS*.dcm")))
    assert "MODALITY_DISAGREES_WITH_SOP_CLASS" in structures.notes
    masks = [mask_from_contours(roi.contours, volume.geometry) for roi in structures.rois]
    assert any(mask.any() for mask in masks)


def test_jpeg_lossless_ct_of_a_siemens_scanner_is_in_hounsfield_units() -> None:
    """A series without UIDs is refused; with UIDs it decodes to plausible HU."""
    files = sorted((_folder("totalseg_ct") / "example_ct_dicom").iterdir())
    with pytest.raises(MissingAttributeError):
        read_series(files, "CT")
    datasets = [dcmread(path) for path in files]
    for index, dataset in enumerate(datasets):
        dataset.SOPClassUID = objects.CLASSES["CT"]
        dataset.SOPInstanceUID = f"2.25.{index + 1}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.100", "2.25.101"
    syntax = datasets[0].file_meta.TransferSyntaxUID
    volume, _ = read_series([objects.encode(item, syntax) for item in datasets], "CT")
    assert volume.array.shape == (20, 512, 512)
    assert volume.geometry.spacing_mm[0] == pytest.approx(2.0)
    assert -1025 <= volume.array.min() < -900
    soft = volume.array[(volume.array > -200) & (volume.array < 200)]
    assert -120 < np.median(soft) < 100


def test_a_monochrome1_radiograph_becomes_brighter_where_more_was_absorbed() -> None:
    """Values are turned within ten bits, so that bone is bright."""
    instance = read_instance(_folder("radiograph") / "RG3_J2KI.dcm")
    layout = pixel_format(instance)
    assert layout.monochrome1
    frame = Frame(0, 0, "", (0, 0, 0), objects.AXIAL, (1, 1), None, 1.0, 0.0, "", ())
    plain = decode([instance], [frame], [(1.0, 0.0)])
    turned = decode([instance], [frame], [(1.0, 0.0)], turn_monochrome1=True)
    np.testing.assert_array_equal(turned, 1023 - plain)


def test_every_object_of_the_corpus_reads_or_says_why_not() -> None:
    """Structure sets, plans and doses of many vendors end in a value or in our error."""
    root = _folder("dicom_rt")
    readers = {"RTSTRUCT": read_structures, "RTPLAN": read_plan, "RTDOSE": read_dose}
    codes = []
    for path in sorted(root.rglob("*.dcm")):
        try:
            kind = str(read_instance(path).dataset.Modality)
            if kind in readers:
                readers[kind](path)
                codes.append("")
        except SuiteError as error:
            codes.append(error.code)
    assert codes.count("") >= 30
    assert len(codes) - codes.count("") <= 9
    assert all(code.startswith("INPUT_") for code in codes if code)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("pydicom/rtplan_truncated.dcm", TruncatedError),
        ("pydicom/rtdose.dcm", UnitsError),
        ("pymedphys_history/orientation/RD.DICOMORIENT.Dose_FFS.dcm", TruncatedError),
    ],
)
def test_known_faults_of_the_corpus_are_named(name: str, error: type[SuiteError]) -> None:
    """A cut plan, a relative dose, and a dose whose pixels were taken out."""
    path = _folder("dicom_rt") / name
    with pytest.raises(error):
        (read_plan if "plan" in name else read_dose)(path)


@pytest.mark.parametrize("name", ["rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm"])
def test_doses_in_three_encodings_hold_the_same_values(name: str) -> None:
    """Implicit, big endian and RLE give what pydicom gives, once the unit is Gy."""
    dataset = dcmread(_folder("dicom_rt") / "pydicom" / name)
    expected = dataset.pixel_array.astype(float) * float(dataset.DoseGridScaling)
    dataset.DoseUnits = "GY"
    sink = io.BytesIO()
    dataset.save_as(sink)
    volume, _ = read_dose(sink.getvalue())
    np.testing.assert_allclose(volume.array, expected, rtol=1e-6)
    assert volume.array.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("non_existent_reference_rt.dcm", "REFERENCE_NOT_IN_SET"),
        ("rt.dcm", None),
    ],
)
def test_structure_sets_with_broken_references_are_read(name: str, note: str | None) -> None:
    """References to images that do not exist cost a note."""
    structures, _ = read_structures(_folder("dicom_rt") / "rt-utils" / "mock_data" / name)
    assert structures.rois
    assert note is None or note in structures.notes


def test_plans_of_the_corpus_have_the_published_numbers() -> None:
    """Beams, fractions and metersets as their files state them."""
    plan, _ = read_plan(_folder("dicom_rt") / "pymedphys_history" / "monaco_imrt_RP.dcm")
    assert (len(plan.beams), plan.fraction_count, plan.prescriptions_gy) == (9, 28, (50.4,))
    assert all(point.gantry_angle_deg is not None for point in plan.beams[0].control_points)
    several, _ = read_plan(
        _folder("dicom_rt") / "pymedphys_history" / "monaco_multi_fraction_groups_RP.dcm"
    )
    assert "SEVERAL_FRACTION_GROUPS" in several.notes
