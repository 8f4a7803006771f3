"""Series become volumes: order, geometry, encodings and values."""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from pathlib import Path

import gdcm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items

from adapters.rt.read_series import read_series
from audit.errors import (
    GeometryError,
    MissingAttributeError,
    MixedSeriesError,
    ModalityError,
    TransferSyntaxError,
    TruncatedError,
    UnitsError,
)
from tests.simulators import dicom_objects as objects

SYNTAXES = {
    "implicit": gdcm.TransferSyntax.ImplicitVRLittleEndian,
    "big endian": gdcm.TransferSyntax.ExplicitVRBigEndian,
    "deflated": gdcm.TransferSyntax.DeflatedExplicitVRLittleEndian,
    "RLE": gdcm.TransferSyntax.RLELossless,
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "JPEG lossless SV1": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
}


def _transcode(content: bytes, syntax: int) -> bytes:
    """Return the object in another transfer syntax, written by GDCM."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a", Path(folder) / "b"
        source.write_bytes(content)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(source))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return target.read_bytes()


@pytest.mark.parametrize("name", SYNTAXES)
def test_every_transfer_syntax_gives_the_same_native_floats(name: str) -> None:
    """Encoding changes neither values nor type."""
    datasets = objects.image_series(shape=(3, 64, 48))
    plain, _ = read_series(objects.encode_all(datasets), "CT")
    files = [_transcode(item, SYNTAXES[name]) for item in objects.encode_all(datasets)]
    volume, _ = read_series(files, "CT")
    np.testing.assert_array_equal(volume.array, plain.array)
    assert volume.array.dtype == np.dtype("=f4")
    assert volume.array.flags["C_CONTIGUOUS"]
    assert volume.geometry == plain.geometry


def test_twelve_bit_jpeg_extended_is_refused_by_name() -> None:
    """What cannot be decoded is said in the words of the standard."""
    dataset = objects.image_series(shape=(1, 8, 8))[0]
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    with pytest.raises(TransferSyntaxError, match=r"JPEG Extended .* 12 bits"):
        read_series([objects.encode(dataset, "1.2.840.10008.1.2.4.51")], "CT")


def test_a_damaged_compressed_frame_is_a_transfer_syntax_error() -> None:
    """A decoder's own exception does not reach the caller."""
    content = _transcode(
        objects.encode(objects.image_series(shape=(1, 64, 48))[0]), SYNTAXES["JPEG lossless"]
    )
    place = content.index(b"\xff\xd8\xff")
    with pytest.raises(TransferSyntaxError):
        read_series([content[:place] + b"\0" * 64 + content[place + 64 :]], "CT")


def test_a_deflated_object_cut_short_is_truncated() -> None:
    """The inflater's failure is reported as a truncated object."""
    content = _transcode(objects.encode(objects.image_series()[0]), SYNTAXES["deflated"])
    with pytest.raises(TruncatedError):
        read_series([content[:-40]], "CT")


@pytest.mark.parametrize("position", objects.ORIENTATIONS)
def test_voxels_lie_where_the_headers_say_for_every_patient_position(position: str) -> None:
    """PS3.3 C.7.6.2.1.1, Equation C.7.6.2.1-1, holds at every corner of every frame."""
    orientation = objects.ORIENTATIONS[position]
    datasets = objects.image_series(orientation=orientation, PatientPosition=position[:4])
    volume, series = read_series(objects.encode_all(datasets[::-1]), "CT")
    for index, header in enumerate(series.datasets):
        values = dcmread(io.BytesIO(objects.encode(_by_uid(datasets, header)))).pixel_array
        np.testing.assert_array_equal(volume.array[index], values)
        origin = np.array(header.ImagePositionPatient, dtype=float)
        cosines = np.array(header.ImageOrientationPatient, dtype=float)
        expected = origin + cosines[:3] * 1.25 * 6 + cosines[3:] * 1.5 * 4
        found = volume.geometry.to_patient(np.array([index, 4.0, 6.0]))
        np.testing.assert_allclose(found, expected, atol=1e-9)


def _by_uid(datasets: list[Dataset], header: Dataset) -> Dataset:
    return next(item for item in datasets if item.SOPInstanceUID == header.SOPInstanceUID)


@settings(max_examples=40, deadline=None)
@given(
    quaternion=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    order=st.permutations(range(6)),
)
def test_order_of_arrival_changes_nothing_in_any_orientation(
    quaternion: tuple[float, ...], origin: tuple[float, ...], order: list[int]
) -> None:
    """The same objects in any order give the same volume, affine and list of instances."""
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    column = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    row = (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x))
    datasets = objects.image_series(orientation=(*column, *row), origin_mm=origin)
    files = objects.encode_all(datasets)
    sorted_volume, _ = read_series(files, "CT")
    volume, series = read_series([files[index] for index in order], "CT")
    np.testing.assert_array_equal(volume.array, sorted_volume.array)
    np.testing.assert_array_equal(volume.geometry.affine(), sorted_volume.geometry.affine())
    assert volume.sop_instance_uids == sorted_volume.sop_instance_uids
    assert volume.sop_instance_uids == tuple(item.SOPInstanceUID for item in series.datasets)
    np.testing.assert_array_equal(volume.array, objects.stored_values((6, 5, 7)))
    np.testing.assert_allclose(volume.geometry.origin_mm, origin, atol=1e-9)


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_enhanced_multi_frame_gives_the_same_volume(modality: str) -> None:
    """Functional groups and single frames say the same."""
    datasets = objects.image_series(modality)
    for index, dataset in enumerate(datasets):
        dataset.RescaleSlope, dataset.RescaleIntercept = str(index + 1), "-5"
    plain, _ = read_series(objects.encode_all(datasets), modality)
    volume, series = read_series([objects.encode(objects.enhanced(datasets[::-1]))], modality)
    np.testing.assert_array_equal(volume.array, plain.array)
    np.testing.assert_allclose(volume.geometry.affine(), plain.geometry.affine())
    assert len(volume.sop_instance_uids) == 1
    assert series.frame(0).frame_number == 6
    assert series.frame(5).frame_number == 1


def test_rescale_is_applied_frame_by_frame() -> None:
    """Slope and intercept of one frame do not leak into another."""
    datasets = objects.image_series()
    for index, dataset in enumerate(datasets):
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{0.5 + index}", f"{-1024 + index}"
    volume, _ = read_series(objects.encode_all(datasets), "CT")
    stored = objects.stored_values((6, 5, 7)).astype(float)
    for index in range(6):
        np.testing.assert_allclose(
            volume.array[index], stored[index] * (0.5 + index) - 1024 + index, rtol=1e-6
        )


def test_bits_above_bits_stored_are_not_values() -> None:
    """Overlay bits in the high bits of a 12-bit image do not change it."""
    values = (np.arange(30, dtype=np.uint16) * 100).reshape(1, 5, 6)
    dataset = objects.image_series(shape=(1, 5, 6))[0]
    objects.set_pixels(dataset, values[0] | 0x3000)
    dataset.BitsStored, dataset.HighBit = 12, 11
    volume, _ = read_series([objects.encode(dataset)], "CT")
    np.testing.assert_array_equal(volume.array, values)


def test_monochrome1_turns_unitless_values_and_leaves_units_alone() -> None:
    """In MR larger becomes brighter; a Hounsfield unit stays what it is."""
    stored = objects.stored_values((6, 5, 7)).astype(float)
    mr, _ = read_series(objects.encode_all(_monochrome1(objects.image_series("MR"))), "MR")
    np.testing.assert_array_equal(mr.array, -1 - stored)
    assert "MONOCHROME1_TURNED" in mr.notes
    ct, _ = read_series(objects.encode_all(_monochrome1(objects.image_series("CT"))), "CT")
    np.testing.assert_array_equal(ct.array, stored)
    assert "MONOCHROME1_KEPT" in ct.notes


def _monochrome1(datasets: list[Dataset]) -> list[Dataset]:
    for dataset in datasets:
        dataset.PhotometricInterpretation = "MONOCHROME1"
    return datasets


def test_localizers_are_left_out_with_a_note() -> None:
    """A scout in the series is no frame of the volume."""
    scout = objects.image_series(orientation=objects.ORIENTATIONS["coronal"])[0]
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.SOPInstanceUID = objects.uid("scout")
    volume, _ = read_series(objects.encode_all([scout, *objects.image_series()]), "CT")
    assert volume.array.shape == (6, 5, 7)
    assert "LOCALIZER_EXCLUDED" in volume.notes


def test_the_same_object_twice_is_one_frame() -> None:
    """A second copy of an instance is dropped with a note."""
    files = objects.encode_all(objects.image_series())
    volume, _ = read_series([*files, files[2]], "CT")
    assert volume.array.shape[0] == 6
    assert "DUPLICATE_INSTANCE" in volume.notes


def test_two_objects_under_one_uid_are_refused() -> None:
    """Which of two different objects is meant cannot be known."""
    other = objects.image_series()[2]
    other.PixelData = bytes(len(other.PixelData))
    with pytest.raises(GeometryError, match="one object under SOP Instance UID"):
        read_series(objects.encode_all([*objects.image_series(), other]), "CT")


@pytest.mark.parametrize("keyword", ["TemporalPositionIdentifier", "EchoNumbers", "TriggerTime"])
def test_time_points_in_one_series_are_mixed(keyword: str) -> None:
    """Frames at one position that differ in time are several acquisitions."""
    again = objects.image_series("MR", **{keyword: 2})
    for number, dataset in enumerate(again):
        dataset.SOPInstanceUID = objects.uid("again", number)
    first = objects.image_series("MR", **{keyword: 1})
    with pytest.raises(MixedSeriesError):
        read_series(objects.encode_all([*first, *again]), "MR")


@pytest.mark.parametrize(
    "change",
    [
        {"FrameOfReferenceUID": "2.25.1"},
        {"SeriesInstanceUID": "2.25.2"},
        {"StudyInstanceUID": "2.25.3"},
        {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
        {"PixelSpacing": [1.0, 1.0]},
    ],
)
def test_what_must_be_one_in_a_series_is_one(change: dict[str, object]) -> None:
    """A frame of another kind makes the series mixed."""
    datasets = objects.image_series()
    for keyword, value in change.items():
        setattr(datasets[3], keyword, value)
    with pytest.raises(MixedSeriesError):
        read_series(objects.encode_all(datasets), "CT")


def test_step_and_shoot_numbers_are_one_acquisition() -> None:
    """A scanner that numbers every rotation still gives one volume, with a note."""
    datasets = objects.image_series()
    for index, dataset in enumerate(datasets):
        dataset.AcquisitionNumber = index // 2 + 1
    volume, _ = read_series(objects.encode_all(datasets), "CT")
    assert "SEVERAL_ACQUISITION_NUMBERS" in volume.notes


def test_ct_without_hounsfield_units_is_refused() -> None:
    """Another Rescale Type than HU has no meaning to a model trained on HU."""
    with pytest.raises(UnitsError):
        read_series(objects.encode_all(objects.image_series(RescaleType="OD")), "CT")


def test_a_modality_lut_sequence_is_refused() -> None:
    """A table is not a slope; nothing guesses it."""
    table = Dataset()
    table.LUTDescriptor = [1, 0, 16]
    with pytest.raises(UnitsError):
        read_series(
            objects.encode_all(objects.image_series(ModalityLUTSequence=Items([table]))), "CT"
        )


def test_files_and_bytes_read_the_same(tmp_path: Path) -> None:
    """Pixels read in place from a file are those of the bytes."""
    files = objects.encode_all(objects.image_series())
    paths = []
    for index, content in enumerate(files):
        paths.append(tmp_path / f"{index}")
        paths[-1].write_bytes(content)
    from_bytes, _ = read_series(files, "CT")
    from_files, _ = read_series(paths, "CT")
    np.testing.assert_array_equal(from_bytes.array, from_files.array)
    assert from_bytes.geometry == from_files.geometry


def test_facts_of_the_acquisition_hold_no_date_and_no_name() -> None:
    """What is recorded with a volume says nothing about who the patient is."""
    volume, _ = read_series(objects.encode_all(objects.image_series("PT")), "PT")
    text = repr(dict(volume.acquisition))
    assert "20240305" not in text
    assert not [word for word in objects.PATIENT_WORDS if word in text]
    assert volume.acquisition["manufacturer"] == "Osteon Tests"


def test_image_sizes_are_one_in_a_series() -> None:
    """A frame of another matrix is found before anything is decoded."""
    odd = objects.image_series(shape=(6, 4, 7))[3]
    datasets = objects.image_series()
    odd.ImagePositionPatient = datasets[3].ImagePositionPatient
    with pytest.raises(MixedSeriesError, match="image size"):
        read_series(objects.encode_all([*datasets[:3], odd, *datasets[4:]]), "CT")


def test_several_frames_without_functional_groups_are_refused() -> None:
    """Frames whose place nobody states are not stacked by guess."""
    dataset = objects.enhanced(objects.image_series())
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], list(objects.AXIAL)
    with pytest.raises(MissingAttributeError, match="PerFrameFunctionalGroups"):
        read_series([objects.encode(dataset)], "CT")


def test_a_localizer_in_another_frame_of_reference_does_not_mix_the_series() -> None:
    """What is left out is not checked against the rest."""
    scout = objects.image_series(FrameOfReferenceUID="2.25.8")[0]
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.SOPInstanceUID = objects.uid("scout")
    volume, _ = read_series(objects.encode_all([*objects.image_series(), scout]), "CT")
    assert volume.array.shape == (6, 5, 7)


def test_memory_stays_near_the_volume_itself(tmp_path: Path) -> None:
    """Reading from files holds the volume and one frame, not every file at once."""
    datasets = objects.image_series(shape=(40, 128, 128))
    paths = []
    for index, content in enumerate(objects.encode_all(datasets)):
        paths.append(tmp_path / str(index))
        paths[-1].write_bytes(content)
    del datasets
    read_series(paths[:2], "CT")
    tracemalloc.start()
    volume, _ = read_series(paths, "CT")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # headers of 40 frames take about a megabyte beside 2.6 MB of values
    assert peak < volume.array.nbytes * 1.25 + 3_000_000


def test_a_screen_shot_filed_as_ct_is_no_ct() -> None:
    """The SOP Class decides what an object is; a secondary capture has no Hounsfield units."""
    shots = objects.image_series(SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    with pytest.raises(ModalityError, match="Secondary Capture"):
        read_series(objects.encode_all(shots), "CT")
