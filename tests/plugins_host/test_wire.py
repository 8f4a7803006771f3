"""What crosses a process border or a crash comes back equal, and nothing else comes out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from plugins.host.array_box import decode_array, encode_array
from plugins.host.case import Case
from plugins.host.findings import (
    CaseStatistics,
    Classification,
    Explanation,
    Measurement,
    Prediction,
    Segmentation,
    Uncertainty,
)
from plugins.host.images import Code, Contour, Geometry, RegionOfInterest, StructureSet
from plugins.host.ports import Answer
from plugins.host.wire import WireError, decode, encode
from tests.simulators.released_plugins import AXES, small_case

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(max_size=12)
CODES = st.builds(Code, TEXT, TEXT, TEXT)
SHAPES = st.tuples(*[st.integers(1, 5)] * 3)


def equal(first: Any, second: Any) -> bool:
    """Tell whether two values are the same, bit for bit in their arrays."""
    if isinstance(first, np.ndarray):
        same = first.shape == second.shape and first.dtype == second.dtype
        return same and first.tobytes() == second.tobytes()
    if is_dataclass(first):
        return type(first) is type(second) and all(
            equal(getattr(first, f.name), getattr(second, f.name)) for f in fields(first)
        )
    if isinstance(first, Mapping):
        return set(first) == set(second) and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return type(first) is type(second) and first == second


@st.composite
def predictions(draw: st.DrawFn) -> Prediction:
    """Draw a prediction with every kind of finding."""
    geometry = Geometry(draw(SHAPES), (2.0, 1.0, 1.0), (0.0, -1.5, 3.0), AXES, draw(TEXT))
    mask = draw(arrays.arrays(np.bool_, geometry.shape))
    unit = st.floats(0, 1, width=32)
    voxels = draw(st.none() | arrays.arrays(np.float32, geometry.shape, elements=unit))
    measurement = st.builds(Measurement, CODES, FINITE, TEXT, st.none() | st.tuples(FINITE, FINITE))
    measurements = tuple(draw(st.lists(measurement, max_size=2)))
    code = draw(CODES)
    findings = draw(
        st.lists(
            st.just(Segmentation("GTVp", mask, geometry, "ct", code, code, "GTV", measurements))
            | measurement
            | st.builds(
                Classification, CODES, st.lists(st.tuples(CODES, st.floats(0, 1))).map(tuple)
            ),
            max_size=3,
        )
    )
    statistics = CaseStatistics(
        draw(st.dictionaries(TEXT, TEXT | FINITE, max_size=3)),
        draw(st.dictionaries(TEXT, FINITE, max_size=3)),
        tuple(draw(st.lists(FINITE, max_size=4))),
        quality_flags=tuple(draw(st.lists(TEXT, max_size=2))),
    )
    uncertainty = Uncertainty(
        "dsc", draw(FINITE), (0.0, 1.0), voxels, geometry, draw(st.booleans())
    )
    return Prediction(tuple(findings), uncertainty, statistics)


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_predictions_come_back_equal(prediction: Prediction) -> None:
    """Encoding and decoding a prediction, alone or inside an answer, changes nothing."""
    message = encode(prediction, Prediction)
    assert equal(decode(message.header, message.block(), Prediction, finite=True), prediction)
    attribution = prediction.uncertainty.voxels
    geometry = prediction.uncertainty.geometry
    explanation = Explanation("m", "t", (("ct", 0.5),), attribution, geometry, {"auc": 1.0}, 2.0)
    answer = Answer(prediction, explanation, {"python": "3"}, 1.5)
    message = encode(answer, Answer)
    assert equal(decode(message.header, message.block(), Answer), answer)


@settings(max_examples=80, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int16, np.uint8, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
def test_arrays_come_back_bit_for_bit(array: np.ndarray[Any, Any]) -> None:
    """Any array, with NaN and -0.0, comes back with the same bits, whatever its box."""
    entry, content = encode_array(array)
    found = decode_array({**entry, "offset": 0}, memoryview(bytes(content)), finite=False)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert not found.flags.writeable


def test_zeros_around_a_finding_are_not_sent() -> None:
    """A mask is as large as the box of its voxels, and -0.0 is not taken for nothing."""
    array = np.zeros((40, 50, 60), np.float32)
    array[3, 4, 5] = -0.0
    array[7, 9, 8] = 1.0
    entry, content = encode_array(array)
    assert entry["box"] == [[3, 8], [4, 10], [5, 9]]
    assert content.nbytes == 5 * 6 * 4 * 4


def test_case_with_structures_comes_back() -> None:
    """A case with contours, an odd memory layout and empty mappings comes back equal."""
    points = np.arange(12, dtype=np.float64).reshape(3, 4).T
    roi = RegionOfInterest(1, "GTV", "GTV", (Contour(points), Contour(points[:0])))
    structures = StructureSet("1", "2", "3", "4", ("5",), "UNAPPROVED", (roi,))
    case = small_case()
    whole = Case("1", case.subject, case.images, {"rs": structures}, seed_point_mm=(1.0, 2.0, 3.0))
    message = encode(whole, Case)
    assert equal(decode(message.header, message.block(), Case), whole)


def test_numpy_scalars_become_numbers() -> None:
    """A plugin may give NumPy numbers where a number is asked for."""
    code = Code("1", "2", "3")
    message = encode(Measurement(code, np.float32(2.5), "ml"), Measurement)  # type: ignore[arg-type]
    assert decode(message.header, b"", Measurement).value == 2.5


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d["tree"].pop("unit"), "Measurement"),
        (lambda d: d["tree"].update(value="1"), "value"),
        (lambda d: d["tree"].update(value=True), "value"),
        (lambda d: d["tree"].update(value=math.nan), "finite"),
        (lambda d: d["tree"].update(interval=[1.0]), "2 items"),
        (lambda d: d["tree"].update(extra=1), "Measurement"),
        (lambda d: d["tree"].update(code=None), "code"),
        (lambda d: d.pop("arrays"), "KeyError"),
        (lambda d: d.update(tree=[1, 2]), "Measurement"),
        (lambda d: d.update(arrays=[{"dtype": "O", "shape": [1], "box": [[0, 1]], "offset": 0}]),
         "array entry"),
        (lambda d: d.update(arrays=[{"dtype": "bool", "shape": [9], "box": [[0, 9]], "offset": 0}]),
         "malformed"),
        (lambda d: d.update(
            arrays=[{"dtype": "bool", "shape": [2**40], "box": [[0, 0]], "offset": 0}]), "at most"),
    ],
)  # fmt: skip
def test_foreign_content_is_refused(change: Any, named: str) -> None:
    """Missing, additional, mistyped or impossible content gives an error, never a value."""
    message = encode(Measurement(Code("1", "2", "3"), 1.0, "ml", (0.0, 2.0)), Measurement)
    document = json.loads(message.header)
    change(document)
    with pytest.raises(WireError, match=named):
        decode(json.dumps(document).encode(), message.block(), Measurement, finite=True)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.data())
def test_damaged_bytes_never_give_another_error(noise: bytes, data: st.DataObject) -> None:
    """Whatever bytes come, decoding gives a value of the type or a WireError."""
    message = encode(small_case((2, 3, 4)), Case)
    header = bytearray(message.header)
    position = data.draw(st.integers(0, len(header) - 1))
    header[position : position + len(noise)] = noise
    try:
        found = decode(bytes(header), message.block(), Case)
    except WireError:
        return
    assert isinstance(found, Case)
