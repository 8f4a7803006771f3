"""Legacy converted enhanced objects, made by highdicom, read as the series they were made of."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence as Items

from adapters.rt.read_case import read_case
from adapters.rt.read_flat import body_part_of, flat_header
from adapters.rt.read_series import read_series
from audit.errors import UnitsError
from plugins.host import envelope
from plugins.host.images import Volume
from plugins.host.manifest import Envelope, Input, Manifest
from plugins.host.ports import RunRequest
from tests.simulators import dicom_objects as objects

DATA = Path(
    os.environ.get("OSTEON_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
CHANGED = {"image_type"}
"""Conversion writes another Image Type (PS3.3 C.7.6.16.2.8)."""


def _converted(datasets: Sequence[Dataset], modality: str) -> bytes:
    """Return a series as highdicom converts it."""
    from highdicom import legacy

    kinds = {"CT": "CT", "PT": "PET", "MR": "MR"}
    convert = getattr(legacy, f"LegacyConvertedEnhanced{kinds[modality]}Image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = convert(
            legacy_datasets=datasets,
            series_instance_uid=objects.uid("converted series"),
            series_number=7,
            sop_instance_uid=objects.uid("converted"),
            instance_number=1,
        )
    sink = io.BytesIO()
    whole.save_as(sink, enforce_file_format=True)
    return sink.getvalue()


def _same(whole: Volume, plain: Volume) -> None:
    np.testing.assert_array_equal(whole.array, plain.array)
    assert whole.geometry == plain.geometry
    facts, expected = dict(whole.acquisition), dict(plain.acquisition)
    assert {key: value for key, value in facts.items() if key not in CHANGED} == {
        key: value for key, value in expected.items() if key not in CHANGED
    }


@pytest.mark.parametrize("patient", ["STS_006", "STS_042"])
@pytest.mark.parametrize(("modality", "place"), [("CT", "CT"), ("PT", "PET"), ("MR", "MR_T1")])
def test_a_real_series_is_the_same_after_conversion(
    patient: str, modality: str, place: str, tmp_path: Path
) -> None:
    """Values, grid and acquisition of the sarcoma patients survive, frame by frame."""
    archive = DATA / "sts_dicom" / f"{patient}.zip"
    if not archive.exists():
        pytest.skip("test data sts_dicom are not here (OSTEON_TEST_DATA)")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    files = sorted((tmp_path / patient / place / "image").iterdir())
    plain, _ = read_series(files, modality)
    whole, _ = read_series([_converted([dcmread(path) for path in files], modality)], modality)
    _same(whole, plain)


def _series(modality: str, **attributes: object) -> list[Dataset]:
    facts = {"BodyPartExamined": "THIGH", "SoftwareVersions": "1", "LossyImageCompression": "00"}
    if modality == "CT":
        facts |= {"ConvolutionKernel": "B70", "KVP": "120", "Exposure": "12", "RescaleType": "HU"}
    if modality == "MR":
        facts |= {"RepetitionTime": "500", "EchoTime": "12", "ScanningSequence": "SE"}
    datasets = objects.image_series(modality, **{**facts, **attributes})
    for dataset in datasets:
        dataset.Laterality = "L"
        dataset.PatientOrientation = ""
    return _readable(datasets)


def _readable(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Return data sets with file meta, as highdicom wants them."""
    return [dcmread(io.BytesIO(content)) for content in objects.encode_all(datasets)]


@pytest.mark.parametrize("modality", ["CT", "PT", "MR"])
def test_a_made_series_is_the_same_after_conversion(modality: str) -> None:
    """Values, grid, kernel, voltage, body part, tracer: nothing is lost."""
    datasets = _series(modality)
    plain, _ = read_series(objects.encode_all(datasets), modality)
    whole, series = read_series([_converted(datasets, modality)], modality)
    _same(whole, plain)
    assert whole.acquisition["body_part"] == "THIGH"
    assert len(whole.sop_instance_uids) == 1
    assert series.frame(5).frame_number is not None


def test_frames_without_decay_correction_keep_their_own_times() -> None:
    """Two beds of a converted PET half an hour apart get two factors, as before."""
    datasets = _series("PT", DecayCorrection="NONE", CorrectedImage=["ATTN"])
    for dataset in datasets[3:]:
        dataset.AcquisitionTime = "103000"
    for dataset in datasets:
        dataset.ActualFrameDuration = 180_000
    plain, _ = read_series(objects.encode_all(datasets), "PT")
    whole, _ = read_series([_converted(datasets, "PT")], "PT")
    np.testing.assert_allclose(whole.array, plain.array, rtol=1e-6)
    stored = objects.stored_values((6, 5, 7)).astype(float)
    ratio = (whole.array[4] / stored[4]) / (whole.array[1] / stored[1])
    np.testing.assert_allclose(ratio, 2 ** (1800 / 6586.2), rtol=1e-5)


def _philips(group: Dataset, factor: float) -> None:
    """Put the private factor where a converter puts what has no group of its own."""
    item = Dataset()
    item.private_block(0x7053, "Philips PET Private Group", create=True).add_new(
        0x00, "DS", f"{factor}"
    )
    group.UnassignedPerFrameConvertedAttributesSequence = Items([item])


def test_private_factors_of_frames_are_found_after_conversion() -> None:
    """(7053,1000) of each frame counts for that frame."""
    whole = dcmread(io.BytesIO(_converted(_series("PT", Units="CNTS"), "PT")))
    for number, group in enumerate(whole.PerFrameFunctionalGroupsSequence):
        _philips(group, 0.5 + number)
    volume, series = read_series([objects.encode(whole)], "PT")
    plain, _ = read_series(objects.encode_all(_series("PT", Units="GML")), "PT")
    for index in range(6):
        factor = 0.5 + series.frame(index).frame_number - 1
        np.testing.assert_allclose(volume.array[index], plain.array[index] * factor, rtol=1e-6)


@pytest.mark.parametrize("kind", ["MGML", "Z_EFF", "OD"])
def test_an_enhanced_ct_that_is_not_in_hounsfield_units_is_refused(kind: str) -> None:
    """Rescale Type of the functional groups counts as that at the top does."""
    whole = objects.enhanced(objects.image_series("CT"))
    groups = whole.PerFrameFunctionalGroupsSequence
    groups[2].PixelValueTransformationSequence[0].RescaleType = kind
    with pytest.raises(UnitsError, match="RescaleType HU"):
        read_series([objects.encode(whole)], "CT")


def test_the_envelope_sees_kernel_and_body_part_of_a_converted_series() -> None:
    """What refuses a single-frame series refuses it as a multi-frame object too."""
    manifest = Manifest(
        plugin="contouring",
        version="1.0.0",
        title="t",
        intended_purpose="p",
        evidence="simulated",
        inputs=(Input("ct", "CT"),),
        outputs=(),
        envelope=Envelope(body_parts=("PELVIS",), kernels_refused=("B70",)),
    )
    datasets = _series("CT")
    converted = dcmread(io.BytesIO(_converted(datasets, "CT")))
    reasons = []
    for objects_of_series in (datasets, [converted]):
        request = RunRequest(
            run_id="a" * 32,
            study_instance_uid=objects.uid("study"),
            plugin="contouring",
            plugin_version="1.0.0",
            release_digest="sha256:00",
            mode="research",
            series={"ct": objects_of_series[0].SeriesInstanceUID},
            sop_instance_uids=tuple(sorted(item.SOPInstanceUID for item in objects_of_series)),
            opened_at=objects.NOON,
        )
        files = {request.series["ct"]: objects.encode_all(objects_of_series)}
        case = read_case(request, manifest, files).case
        soft = replace(case.images["ct"], array=np.zeros_like(case.images["ct"].array))
        reasons.append(envelope.check(replace(case, images={"ct": soft}), manifest))
    assert reasons[0] == reasons[1]
    assert [item.split()[0] for item in reasons[1]] == ["KERNEL", "BODY_PART"]


def test_a_region_code_is_the_body_part_that_it_stands_for() -> None:
    """Table L-1 of PS3.16 by code; a code that it lacks by its meaning."""
    for value, meaning, expected in (
        ("53840002", "Calf of leg", "CALF"),
        ("816092008", "Pelvis", "PELVIS"),
        ("T-99999", "Left calf", "Left calf"),
    ):
        region, dataset = Dataset(), Dataset()
        region.CodeValue, region.CodeMeaning = value, meaning
        dataset.AnatomicRegionSequence = Items([region])
        assert body_part_of(dataset) == expected
    assert body_part_of(Dataset()) == ""


def test_a_single_frame_header_is_flat_already() -> None:
    """Nothing is copied where there are no groups."""
    dataset = objects.image_series()[0]
    assert flat_header(dataset) is dataset


def test_a_value_of_a_frame_is_not_lent_to_another() -> None:
    """Each frame's flat header has its own time; the object's header is left as it was."""
    datasets = _series("PT")
    for number, dataset in enumerate(datasets):
        dataset.AcquisitionTime = f"10{number:02d}00"
    whole = dcmread(io.BytesIO(_converted(datasets, "PT")))
    times = {str(flat_header(whole, index).AcquisitionDateTime)[8:12] for index in range(6)}
    assert times == {f"10{number:02d}" for number in range(6)}
    assert "ActualFrameDuration" not in whole
