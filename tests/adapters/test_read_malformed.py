"""Every way in which a series goes wrong ends in its own error, without patient data."""

from __future__ import annotations

import io
import random
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from adapters.rt.read_dose import read_dose
from adapters.rt.read_part10 import read_instance
from adapters.rt.read_plan import read_plan
from adapters.rt.read_series import read_series
from adapters.rt.read_structures import read_structures
from audit.errors import SuiteError
from tests.simulators import dicom_objects as objects

CORPUS = {
    "missing slice": (objects.missing_slice, "CT", "INPUT_GEOMETRY"),
    "duplicate slice position": (objects.duplicate_position, "CT", "INPUT_GEOMETRY"),
    "two acquisitions": (objects.two_acquisitions, "CT", "INPUT_MIXED_SERIES"),
    "interleaved": (objects.interleaved_acquisitions, "CT", "INPUT_MIXED_SERIES"),
    "gantry tilt": (objects.gantry_tilt, "CT", "INPUT_GEOMETRY"),
    "truncated pixels": (objects.truncated_pixels, "CT", "INPUT_TRUNCATED"),
    "truncated header": (objects.truncated_header, "CT", "INPUT_TRUNCATED"),
    "zero spacing": (objects.absurd_spacing, "CT", "INPUT_GEOMETRY"),
    "negative spacing": (lambda: objects.absurd_spacing("-1"), "CT", "INPUT_GEOMETRY"),
    "huge spacing": (lambda: objects.absurd_spacing("51"), "CT", "INPUT_GEOMETRY"),
    "spacing not a number": (lambda: objects.absurd_spacing("nan"), "CT", "INPUT_GEOMETRY"),
    "huge slice spacing": (objects.absurd_slice_spacing, "CT", "INPUT_GEOMETRY"),
    "wrong modality": (objects.wrong_modality, "CT", "INPUT_MODALITY"),
    "PET without dose": (objects.pet_without_dose, "PT", "INPUT_UNITS"),
    "PET without isotope": (
        lambda: objects.without("RadiopharmaceuticalInformationSequence", "PT"),
        "PT",
        "INPUT_UNITS",
    ),
    "PET without weight": (lambda: objects.without("PatientWeight", "PT"), "PT", "INPUT_UNITS"),
    "PET without units": (lambda: objects.without("Units", "PT"), "PT", "INPUT_UNITS"),
    "text": (objects.not_dicom, "CT", "INPUT_NOT_DICOM"),
    "empty file": (lambda: [b""], "CT", "INPUT_NOT_DICOM"),
    "2 GB": (objects.two_gigabytes, "CT", "INPUT_TOO_LARGE"),
    "no object": (list, "CT", "INPUT_MODALITY"),
} | {
    f"without {keyword}": (
        lambda keyword=keyword: objects.without(keyword),
        "CT",
        "INPUT_TRUNCATED" if keyword == "PixelData" else "INPUT_MISSING_ATTRIBUTE",
    )
    for keyword in (
        "FrameOfReferenceUID",
        "PixelSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "SOPInstanceUID",
        "SeriesInstanceUID",
        "StudyInstanceUID",
        "Rows",
        "BitsStored",
        "PixelData",
    )
}


@pytest.mark.parametrize("name", CORPUS)
def test_malformed_series_is_refused_by_its_own_error(name: str) -> None:
    """The code names what is wrong, and neither message nor advice holds patient data."""
    build, modality, code = CORPUS[name]
    with pytest.raises(SuiteError) as caught:
        read_series(build(), modality)
    assert caught.value.code == code
    assert caught.value.advice
    words = "".join(traceback.format_exception(caught.value))
    assert not [word for word in objects.PATIENT_WORDS if word in words]
    assert objects.uid("study") not in words


def test_a_gap_is_named_with_its_place_and_both_spacings() -> None:
    """The operator reads between which frames a slice is missing."""
    with pytest.raises(SuiteError, match=r"3\.000 mm between frames 3 and 4 .* 6\.000 mm"):
        read_series(objects.missing_slice(), "CT")


def test_a_small_gantry_tilt_within_tolerance_is_read() -> None:
    """Rounding in Image Position (Patient) is no tilt."""
    read_series(objects.gantry_tilt(0.1), "CT")


def test_size_is_known_before_pixels_are_touched(tmp_path: Path) -> None:
    """A series over the limit is refused from its headers; the limit can be set."""
    files = objects.encode_all(objects.image_series())
    with pytest.raises(SuiteError) as caught:
        read_series(files, "CT", limit_bytes=6 * 5 * 7 * 2 - 1)
    assert caught.value.code == "INPUT_TOO_LARGE"
    read_series(files, "CT", limit_bytes=6 * 5 * 7 * 2)


def _code_of(read: Callable[[], object]) -> str:
    """Return the code of the suite's error that reading ends in, or an empty text.

    A traceback that shows patient data counts as the code ``LEAK``.
    """
    try:
        read()
    except SuiteError as error:
        words = "".join(traceback.format_exception(error))
        return "LEAK" if any(word in words for word in objects.PATIENT_WORDS) else error.code
    return ""


def test_a_plan_cut_inside_an_element_never_reads() -> None:
    """Every length ends in an input error, save where a whole element ends."""
    plan = objects.header("RTPLAN")
    plan.RTPlanLabel = "x" * 16
    content = objects.encode(plan)
    dataset = dcmread(io.BytesIO(content))
    raw = [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118
    borders = {element.value_tell + element.length for element in raw}
    for size in range(len(content)):
        code = _code_of(lambda cut=content[:size]: read_plan(cut))
        assert code.startswith("INPUT_") or (code == "" and size in borders)


def test_random_bytes_after_the_prefix_are_an_input_error() -> None:
    """Damage inside a Part 10 file is reported as ours, never as a parser's exception."""
    good = objects.encode(objects.image_series()[0])
    for place in range(132, len(good), 37):
        damaged = good[:place] + b"\xff\xfe\xfd\xfc" + good[place + 4 :]
        code = _code_of(lambda damaged=damaged: read_series([damaged], "CT"))
        assert code == "" or code.startswith("INPUT_")


def test_bare_data_sets_are_recognised() -> None:
    """A data set without preamble and meta information is read as its elements say."""
    good = objects.encode(objects.image_series()[0])
    dataset = dcmread(io.BytesIO(good))
    for implicit in (True, False):
        sink = DicomBytesIO()
        sink.is_little_endian, sink.is_implicit_VR = True, implicit
        write_dataset(sink, dataset)
        instance = read_instance(sink.getvalue())
        assert instance.dataset.SOPInstanceUID == dataset.SOPInstanceUID
        assert instance.pixels is not None


def _mutated(content: bytes, generator: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 5))):
        place = generator.randrange(132, len(content) - 8)
        kind = generator.random()
        if kind < 0.5:
            damaged[place] = generator.randrange(256)
        elif kind < 0.75:
            damaged[place : place + 4] = generator.choice((b"\xff" * 4, bytes(4), b"nan ", b"1e99"))
        elif kind < 0.9:
            del damaged[place : place + generator.randrange(1, 9)]
        else:
            damaged[place:place] = generator.randbytes(3)
    return bytes(damaged)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["CT", "PT", "enhanced", "RTSTRUCT", "RTDOSE"])
def test_random_damage_never_ends_in_a_foreign_exception(kind: str) -> None:
    """Sixty seeded mutations of each object read, or end in an error of ours."""
    generator = random.Random(20240305)
    if kind == "RTSTRUCT":
        points = np.array([[0.0, 0, 30], [5, 0, 30], [5, 5, 30]])
        content = objects.encode(objects.structure_set([points], images=objects.image_series()))
        read: Callable[[bytes], object] = read_structures
    elif kind == "RTDOSE":
        values = np.arange(60, dtype=np.uint32).reshape(4, 3, 5)
        content = objects.encode(objects.dose_grid(values, offsets=[0, 3, 6, 9]))
        read = read_dose
    else:
        modality = "CT" if kind == "enhanced" else kind
        series = objects.image_series(modality)
        content = objects.encode(objects.enhanced(series) if kind == "enhanced" else series[0])
        others = [] if kind == "enhanced" else objects.encode_all(series[1:])

        def read(damaged: bytes) -> object:
            return read_series([damaged, *others], modality)

    codes = [_code_of(lambda: read(_mutated(content, generator))) for _ in range(60)]
    assert all(code == "" or code.startswith("INPUT") for code in codes)
    assert any(codes)
