"""What the writers ask of masks and numbers: extents, outlines and decimal text."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from models.physics.decimals import format_decimals, parse_decimals
from models.physics.extents import extents, extents_of
from models.physics.outlines import outlines

MASKS = arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=17), elements=st.booleans())
PLANES = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans())


def _checked(mask: NDArray[np.bool_]) -> None:
    found = extents(mask)
    assert found.planes == np.flatnonzero(mask.any(axis=(1, 2))).tolist()
    for plane, voxels in enumerate(mask):
        assert found.counts[plane] == np.count_nonzero(voxels)
        if voxels.any():
            rows, columns = np.flatnonzero(voxels.any(axis=1)), np.flatnonzero(voxels.any(axis=0))
            box = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
            assert found.boxes[plane].tolist() == box
            assert np.count_nonzero(found.cut(mask, plane)) == found.counts[plane]
        else:
            assert found.boxes[plane].tolist() == [0, 0, 0, 0]


@settings(max_examples=80, deadline=None)
@given(MASKS)
def test_extents_are_the_boxes_and_counts_of_each_frame(mask: NDArray[np.bool_]) -> None:
    """Whatever the mask, as NumPy finds them."""
    _checked(mask)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 16, 24]), st.sampled_from([0.0, 0.02, 0.9]))
def test_extents_of_eight_voxels_at_once_are_the_same(
    seed: int, columns: int, density: float
) -> None:
    """Rows of whole words, also seen through a view that is not contiguous."""
    random = np.random.default_rng(seed)
    _checked(random.random((3, 5, columns)) < density)
    _checked((random.random((columns, 5, 3)) < density).transpose(2, 1, 0))


def test_extents_of_several_masks_come_in_their_order() -> None:
    """Threads change nothing."""
    masks = [np.zeros((2, 3, 8), dtype=np.bool_) for _ in range(7)]
    for number, mask in enumerate(masks):
        mask.reshape(-1)[:number] = True
    assert [int(item.counts.sum()) for item in extents_of(masks)] == list(range(7))
    assert extents_of([]) == []


@settings(max_examples=80, deadline=None)
@given(PLANES)
def test_loops_enclose_each_voxel_once_and_pass_each_edge_once(plane: NDArray[np.bool_]) -> None:
    """Areas sum to the voxels, and the lengths to the edges between voxels and none."""
    area = 0.0
    edges = 0
    for around, loop in outlines(plane):
        following = np.roll(loop, -1, axis=0)
        assert np.abs(following - loop).sum(axis=1).tolist() == [1] * len(loop)
        assert len({tuple(corner) for corner in loop.tolist()}) == len(loop)
        doubled = np.sum(loop[:, 1] * following[:, 0] - following[:, 1] * loop[:, 0])
        assert around == bool(doubled > 0)
        area += doubled / 2
        edges += len(loop)
    padded = np.pad(plane, 1)
    assert area == plane.sum()
    assert edges == sum(np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1))


NUMBERS = st.one_of(
    st.floats(-1e6, 1e6),
    st.integers(-(10**6), 10**6).map(lambda value: value / 32),  # ties of the fourth decimal
    st.integers(-(10**6), 10**6).map(lambda value: (value + 0.5) / 10**4),  # beside ties
    st.sampled_from([0.0, -0.0, -1e-9, 9.99995, 1e15, 1e300, float("inf"), float("nan")]),
)


@settings(max_examples=300)
@given(st.lists(NUMBERS, min_size=1, max_size=20), st.integers(1, 6))
def test_decimal_text_is_what_python_writes(values: list[float], decimals: int) -> None:
    """To the last digit, also at ties, of either sign and beyond what is written fast."""
    found = format_decimals(np.array(values), decimals)
    assert found.decode() == "\\".join(f"{value:.{decimals}f}" for value in values)


@settings(max_examples=100)
@given(st.lists(st.floats(-9e5, 9e5), min_size=1, max_size=9))
def test_text_comes_back_as_the_numbers_that_it_says(values: list[float]) -> None:
    """Writing rounds to the decimals, reading adds nothing to that."""
    found = parse_decimals(format_decimals(np.array(values), 4))
    assert found is not None
    assert found.tolist() == [float(f"{value:.4f}") for value in values]
