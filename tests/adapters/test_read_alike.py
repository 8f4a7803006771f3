"""Headers read beside others say what they say alone, whatever differs between them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from adapters.rt.read_alike import HeaderReader, distinct, each
from adapters.rt.read_part10 import Instance, read_instance
from adapters.rt.read_series import read_series
from audit.errors import MixedSeriesError, NotDicomError, SuiteError, TruncatedError
from models.physics.rescale import rescale
from tests.simulators import dicom_objects as objects
from tests.simulators.given_data import folder_of

EXPLICIT = "1.2.840.10008.1.2.1"


def _same(found: Instance, alone: Instance) -> None:
    assert found.dataset == alone.dataset
    assert list(found.dataset.keys()) == list(alone.dataset.keys())
    assert found.dataset.file_meta == alone.dataset.file_meta
    assert found.dataset.original_encoding == alone.dataset.original_encoding
    assert found.dataset.original_character_set == alone.dataset.original_character_set
    assert (found.pixels, found.size) == (alone.pixels, alone.size)
    assert found.transfer_syntax_uid == alone.transfer_syntax_uid


def _together(sources: list[bytes]) -> list[Instance]:
    reader = HeaderReader()
    return [reader.read(source) for source in sources]


def _all_same(sources: list[bytes]) -> list[Instance]:
    found = _together(sources)
    for item, source in zip(found, sources, strict=True):
        _same(item, read_instance(source))
    return found


@pytest.mark.parametrize("syntax", [EXPLICIT, str(ImplicitVRLittleEndian)])
def test_a_series_read_together_is_each_object_read_alone(syntax: str) -> None:
    """One pattern serves all: no object but the first is parsed by pydicom."""
    datasets = objects.image_series(shape=(6, 8, 8))
    found = _all_same([objects.encode(item, syntax) for item in datasets])
    assert len({id(item.varying) for item in found}) == 1
    assert found[0].varying is not None


CHANGES: dict[str, Callable[[Dataset], object]] = {
    "another value": lambda d: setattr(d, "AcquisitionTime", "110000"),
    "a longer value": lambda d: setattr(d, "PatientName", "SYNTHETIC^WITH^A^LONGER^NAME"),
    "an empty value": lambda d: setattr(d, "PatientName", None),
    "an element more": lambda d: setattr(d, "GantryDetectorTilt", "0"),
    "an element less": lambda d: delattr(d, "AcquisitionTime"),
    "a character set": lambda d: setattr(d, "SpecificCharacterSet", "ISO_IR 192"),
    "a sequence": lambda d: setattr(d, "ReferencedImageSequence", Items([_reference("1.2.3")])),
    "rows": lambda d: setattr(d, "Rows", 4),
}


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid
    return item


@pytest.mark.parametrize("name", CHANGES)
def test_an_object_that_differs_unexpectedly_keeps_its_own_words(name: str) -> None:
    """Nothing of the pattern gets into an object that says something else."""
    datasets = objects.image_series(shape=(5, 8, 8))
    CHANGES[name](datasets[2])
    _all_same(objects.encode_all(datasets))


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("differ", [False, True])
def test_sequences_are_the_same_in_every_encoding(undefined: bool, differ: bool) -> None:
    """Sequences of undefined length are compared whole and parsed when they are asked for."""
    datasets = objects.image_series(shape=(4, 8, 8))
    for index, dataset in enumerate(datasets):
        item = _reference(f"1.2.{index if differ else 0}")
        item.PurposeOfReferenceCodeSequence = Items([Dataset()])
        dataset.ReferencedImageSequence = Items([item])
        dataset["ReferencedImageSequence"].is_undefined_length = undefined
        item.is_undefined_length_sequence_item = undefined
    found = _all_same(objects.encode_all(datasets))
    apart = len({id(item.varying) for item in found})
    assert apart == (4 if undefined and differ else 1)


def test_headers_of_one_pattern_do_not_share_what_a_writer_might_change() -> None:
    """A change of one header, also inside a sequence, is seen in no other."""
    datasets = objects.image_series(shape=(3, 8, 8))
    for dataset in datasets:
        dataset.ReferencedImageSequence = Items([_reference("1.2.3")])
        dataset["ReferencedImageSequence"].is_undefined_length = True
    first, second, third = (item.dataset for item in _together(objects.encode_all(datasets)))
    second.PatientID = "CHANGED"
    second.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "9.9"
    for other in (first, third):
        assert other.PatientID != "CHANGED"
        assert other.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3"


def test_big_endian_and_bare_data_sets_are_read_one_by_one() -> None:
    """What is not little endian with a preamble has no pattern, and reads as before."""
    datasets = objects.image_series(shape=(3, 8, 8))
    plain, _ = read_series(objects.encode_all(datasets), "CT")
    bare = [content[132:] for content in objects.encode_all(datasets)]
    assert all(item.varying is None for item in _all_same(bare))
    np.testing.assert_array_equal(read_series(bare, "CT")[0].array, plain.array)
    swapped = [objects.encode(item, str(ExplicitVRBigEndian)) for item in datasets]
    assert all(item.varying is None for item in _all_same(swapped))
    np.testing.assert_array_equal(read_series(swapped, "CT")[0].array, plain.array)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damage_anywhere_in_a_header_reads_or_fails_as_it_would_alone(data: st.DataObject) -> None:
    """A flipped byte or a cut gives the same header or the same error, after any pattern."""
    first, second = objects.encode_all(objects.image_series(shape=(2, 8, 8)))
    end = read_instance(second).pixels
    assert end is not None
    place = data.draw(st.integers(0, end.offset + 4))
    if data.draw(st.booleans()):
        damaged = second[:place]
    else:
        damaged = second[:place] + bytes([data.draw(st.integers(0, 255))]) + second[place + 1 :]
    reader = HeaderReader()
    reader.read(first)
    assert _outcome(reader.read, damaged) == _outcome(read_instance, damaged)


def _outcome(read: Callable[[bytes], Instance], content: bytes) -> object:
    try:
        found = read(content)
    except SuiteError as error:
        return type(error)
    values = {tag: _value(found, tag) for tag in found.dataset.keys()}  # noqa: SIM118
    return values, found.pixels, found.transfer_syntax_uid


def _value(found: Instance, tag: int) -> object:
    """Return an element's value; what pydicom says where a damaged kind of value has none."""
    try:
        return found.dataset.get_item(tag).value
    except NotImplementedError as error:
        return str(error)


@pytest.mark.parametrize(
    "change",
    [
        {"StudyInstanceUID": "1.2.3.4"},
        {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]},
        {"PixelSpacing": [2.5, 2.5]},
        {"Rows": 4},
    ],
)
def test_a_stranger_among_files_alike_is_refused(change: dict[str, object]) -> None:
    """The checks look at every object that may differ, also behind a pattern."""
    datasets = objects.image_series(shape=(5, 8, 8))
    for keyword, value in change.items():
        setattr(datasets[3], keyword, value)
    with pytest.raises(MixedSeriesError):
        read_series(objects.encode_all(datasets), "CT")


def test_slopes_and_intercepts_that_vary_are_each_frame_s_own() -> None:
    """PET: every frame has its own slope."""
    datasets = objects.image_series(shape=(5, 8, 8))
    for index, dataset in enumerate(datasets):
        dataset.RescaleSlope, dataset.RescaleIntercept = 1 + index, -index
    found, _ = read_series(objects.encode_all(datasets), "CT")
    parsed = [read_instance(item) for item in objects.encode_all(datasets)]
    np.testing.assert_array_equal(found.array, read_series(parsed, "CT")[0].array)


def test_distinct_and_each_see_every_object_that_may_differ() -> None:
    """An element is shared only as long as no object was seen to differ in it."""
    datasets = objects.image_series(shape=(4, 8, 8))
    datasets[2].AcquisitionTime = "110000"
    found = _together(objects.encode_all(datasets))
    assert [index for index, _ in distinct(found, ("Rows",))] == [0]
    assert [index for index, _ in distinct(found, ("Rows", "AcquisitionTime"))] == [0, 1, 2, 3]
    calls: list[Instance] = []
    assert each(found, ("Rows",), lambda item: calls.append(item) or 8) == [8] * 4
    assert len(calls) == 1
    assert each(found, ("AcquisitionTime",), lambda item: str(item.dataset.AcquisitionTime)) == [
        *["100000"] * 2,
        "110000",
        "100000",
    ]


def test_an_object_cut_short_or_no_object_is_refused_beside_others() -> None:
    """The errors are those of an object alone."""
    reader = HeaderReader()
    contents = objects.encode_all(objects.image_series(shape=(2, 8, 8)))
    reader.read(contents[0])
    with pytest.raises(TruncatedError):
        reader.read(contents[1][:300])
    with pytest.raises(NotDicomError):
        reader.read(b"no DICOM object at all" * 100)


@pytest.mark.parametrize("kind", ["<i2", "<u2"])
@pytest.mark.parametrize("slope", [1.0, 2.5, -0.0312345, 1e-5])
@pytest.mark.parametrize("intercept", [0.0, -1024.0, 0.1])
def test_compiled_rescaling_is_numpys_bit_for_bit(
    kind: str, slope: float, intercept: float
) -> None:
    """One pass rounds where two do."""
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    stored = np.arange(low, high + 1).astype(kind).reshape(256, 256)
    found = np.empty(stored.shape, np.float32)
    rescale(stored, np.float32(slope), np.float32(intercept), found)
    exact = stored * np.float32(slope)
    if intercept:
        exact += np.float32(intercept)
    assert found.tobytes() == exact.tobytes()


def _given(name: str) -> Iterator[bytes]:
    """Yield the files of a set, also of its archives, in the order of their names."""
    for path in sorted(item for item in folder_of(name).rglob("*") if item.is_file()):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for member in sorted(archive.namelist())[:150]:
                    yield archive.read(member)
        else:
            yield path.read_bytes()


@pytest.mark.parametrize(
    ("name", "least"), [("sts_dicom", 40), ("dicom_rt", 1), ("totalseg_ct", 20)]
)
def test_objects_of_real_scanners_read_together_as_alone(name: str, least: int) -> None:
    """Headers that we did not make: every one is what pydicom makes of it alone."""
    reader = HeaderReader()
    marks = []
    for content in _given(name):
        try:
            alone = read_instance(content)
        except SuiteError as error:
            with pytest.raises(type(error)):
                reader.read(content)
            continue
        found = reader.read(content)
        if found.varying is not None:  # the others are read alone anyway
            marks.append(id(found.varying))
            _same(found, alone)
    assert max(marks.count(mark) for mark in marks) >= least
