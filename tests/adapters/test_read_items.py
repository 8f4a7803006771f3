"""Sequences walked in their bytes say what pydicom says, or are left to pydicom."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence as Items

from adapters.rt import read_items
from adapters.rt.read_items import Item, of_sequence
from adapters.rt.read_part10 import read_instance
from adapters.rt.read_structures import read_structures
from audit.errors import SuiteError
from models.physics.decimals import parse_decimals
from tests.simulators import dicom_objects as objects
from tests.simulators.given_data import folder_of

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
ENCODINGS = [(EXPLICIT, False), (EXPLICIT, True), (IMPLICIT, False), (IMPLICIT, True)]


def _drawn(undefined: bool) -> Dataset:
    """Return a structure set with two regions; sequences below the top are of either length."""
    dataset = objects.header("RTSTRUCT")
    dataset.SOPInstanceUID = objects.uid("RS")
    regions = []
    for number in (1, 2):
        contours = []
        for place in range(3):
            image = Dataset()
            image.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
            image.ReferencedSOPInstanceUID = f"1.2.3.{place}"
            contour = Dataset()
            contour.ContourImageSequence = Items([image])
            contour["ContourImageSequence"].is_undefined_length = undefined
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 3
            contour.ContourData = [f"{number * value + place:.4f}" for value in range(9)]
            contour.is_undefined_length_sequence_item = undefined
            contours.append(contour)
        region = Dataset()
        region.ROIDisplayColor, region.ReferencedROINumber = [255, 0, 0], number
        region.ContourSequence = Items(contours)
        region["ContourSequence"].is_undefined_length = undefined
        region.is_undefined_length_sequence_item = undefined
        regions.append(region)
    dataset.ROIContourSequence = Items(regions)
    return dataset


def _said(items: list[Item]) -> list[object]:
    return [
        [
            region.text("ReferencedROINumber"),
            region.text("ROIGenerationAlgorithm"),
            [
                (
                    contour.text("ContourGeometricType"),
                    contour.numbers("ContourData"),
                    contour.numbers("ContourSlabThickness"),
                    [
                        i.text("ReferencedSOPInstanceUID")
                        for i in contour.items("ContourImageSequence")
                    ],
                )
                for contour in region.items("ContourSequence")
            ],
        ]
        for region in items
    ]


@pytest.mark.parametrize(("syntax", "undefined"), ENCODINGS)
def test_items_say_in_every_encoding_what_pydicom_says(
    syntax: str, undefined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Explicit and implicit VR, defined and undefined lengths, without one parsed item."""
    content = objects.encode(_drawn(undefined), syntax)
    plain = of_sequence(read_instance(content).dataset, "ROIContourSequence", _said)
    parsed = dcmread(io.BytesIO(content))
    assert _said([read_items._ParsedItem(item) for item in parsed.ROIContourSequence]) == plain
    monkeypatch.delattr(read_items, "_ParsedItem")
    assert of_sequence(read_instance(content).dataset, "ROIContourSequence", _said) == plain


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_sequences_are_read_or_refused_as_pydicom_would(data: st.DataObject) -> None:
    """A flipped byte gives what pydicom makes of it, in either way of asking."""
    syntax, undefined = data.draw(st.sampled_from(ENCODINGS))
    dataset = read_instance(objects.encode(_drawn(undefined), syntax)).dataset
    raw = dataset.get_item(0x30060039)
    place = data.draw(st.integers(0, len(raw.value) - 1))
    byte = bytes([data.draw(st.integers(0, 255))])
    damaged = raw.value[:place] + byte + raw.value[place + 1 :]
    dataset[0x30060039] = raw._replace(value=damaged)
    try:
        plain = _said(read_items._items(damaged, syntax == IMPLICIT))
    except read_items.UnusualEncodingError:
        return
    parsed = [read_items._ParsedItem(item) for item in dataset.ROIContourSequence]
    assert len(parsed) == len(plain)
    for ours, item in zip(plain, parsed, strict=True):
        theirs = _said([item])[0]
        assert _trimmed(ours) == _trimmed(theirs)


def _trimmed(value: object) -> object:
    """Return texts as those compare who use them: numbers as numbers, no padding."""
    if isinstance(value, (list, tuple)):
        return [_trimmed(item) for item in value]
    return value.strip(" \0\t") if isinstance(value, str) else value


def test_text_that_is_not_plain_is_left_to_pydicom() -> None:
    """Several values or other characters: pydicom knows what they mean."""
    dataset = _drawn(False)
    dataset.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "A\\B"
    parsed = read_instance(objects.encode(dataset)).dataset
    kinds = of_sequence(
        parsed,
        "ROIContourSequence",
        lambda items: [c.text("ContourGeometricType") for c in items[0].items("ContourSequence")],
    )
    assert kinds == ["['A', 'B']", "CLOSED_PLANAR", "CLOSED_PLANAR"]


def test_structure_sets_of_others_read_the_same_in_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Objects that we did not make: the same regions, contours, points and notes."""
    count = 0
    for path in sorted(folder_of("dicom_rt").rglob("*.dcm")):
        try:
            plain, _ = read_structures(path)
        except SuiteError:
            continue
        with monkeypatch.context() as context:
            context.setattr(read_items, "RawDataElement", ())
            parsed, _ = read_structures(path)
        assert repr(plain) == repr(parsed)
        for ours, theirs in zip(plain.rois, parsed.rois, strict=True):
            for contour, other in zip(ours.contours, theirs.contours, strict=True):
                assert contour.points_mm.tobytes() == other.points_mm.tobytes()
        count += 1
    assert count >= 4


DS = st.one_of(
    st.floats(-1e6, 1e6).map(lambda value: f"{value:.6f}"),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: f"{value:.10g}"),
    st.integers(-(10**14), 10**14).map(str),
    st.sampled_from([".5", "5.", "+1.5e-3", "-0", " 7 ", "1E5", "00012.50", "-.25e+2"]),
)


@settings(max_examples=300)
@given(st.lists(DS, min_size=1, max_size=12))
def test_decimals_are_the_doubles_that_python_reads(texts: list[str]) -> None:
    """Every number that is parsed at all is parsed to the last bit."""
    found = parse_decimals("\\".join(texts).encode())
    exact = np.array([float(text) for text in texts])
    if found is None:
        plain = [len(text.strip("+-").partition("e")[0].replace(".", "")) < 15 for text in texts]
        small = [abs(value) < 1e6 and (value == 0 or abs(value) > 1e-4) for value in exact]
        assert not all(plain) or not all(small)
    else:
        assert found.tobytes() == exact.tobytes()


@settings(max_examples=200)
@given(st.text(alphabet="0123456789.eE+- \\nai_\0x", max_size=14))
def test_no_other_text_is_taken_for_numbers(text: str) -> None:
    """What Python does not read as numbers is not read here."""
    found = parse_decimals(text.encode())
    if found is not None:
        assert found.tolist() == [float(part) for part in text.split("\\")]
