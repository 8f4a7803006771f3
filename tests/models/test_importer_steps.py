"""Preprocessing steps go there and back; windows cover every voxel; decisions are by formula."""

from __future__ import annotations

import json
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import ModelImportError
from models.importers import decide, resampling, windows
from models.importers.description import (
    Channel,
    Concept,
    Description,
    Inference,
    Label,
    Network,
    Outputs,
    decode,
    encode,
)
from models.importers.measure import max_diameter_mm, volume_ml
from models.importers.normalisation import Normalisation
from models.importers.segment import on_source, prepare
from models.importers.steps import Crop, Image, Normalise, Orient, Resample, Step, Transpose

CODE = Concept("1", "99TEST", "Test")
AXES = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
DIRECTIONS = [
    "".join(letters) for order in permutations(("RL", "AP", "IS")) for letters in product(*order)
]


def image(shape: tuple[int, int, int] = (6, 7, 8), seed: int = 0) -> Image:
    """Return one channel of noise with a border of zeros."""
    array = np.zeros(shape, np.float32)
    inner = tuple(slice(1, size - 1) for size in shape)
    size = tuple(n - 2 for n in shape)
    array[inner] = np.random.default_rng(seed).uniform(1, 100, size)
    return Image(array[None], (3.0, 1.5, 1.0), AXES)


def label(name: str, *values: int) -> Label:
    """Return a label with these values."""
    return Label(name, values, CODE, CODE, "ORGAN")


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_orientation_goes_there_and_back(directions: str) -> None:
    """Every one of the 48 orientations is reached and undone without interpolation."""
    before = image()
    after, undo = Orient(directions).apply(before)
    letters = {"R": (-1, 0, 0), "L": (1, 0, 0), "A": (0, -1, 0), "P": (0, 1, 0)}
    wanted = {**letters, "I": (0, 0, -1), "S": (0, 0, 1)}
    assert after.axes.tolist() == [list(map(float, wanted[letter])) for letter in directions]
    assert np.array_equal(undo(after.array[0]), before.array[0])
    spacing = {0: 1.0, 1: 1.5, 2: 3.0}
    along = [int(np.argmax(np.abs(axis))) for axis in after.axes]
    assert after.spacing_mm == tuple(spacing[axis] for axis in along)


def test_orientation_follows_the_patient() -> None:
    """A bright voxel at the patient's left, back and top is found there in RAS order."""
    array = np.zeros((4, 5, 6), np.float32)
    array[3, 4, 5] = 1.0  # frames to S, rows to P, columns to L
    after, _ = Orient("RAS").apply(Image(array[None], (1.0, 1.0, 1.0), AXES))
    assert after.array[0].shape == (6, 5, 4)
    assert after.array[0, 0, 0, 3] == 1.0  # smallest x (left), smallest y (back), top


STEPS: list[tuple[Step, ...]] = [
    (Transpose((2, 0, 1)),),
    (Crop("nonzero"),),
    (Crop("positive"), Transpose((1, 2, 0))),
    (Orient("LPI"), Crop("nonzero"), Transpose((2, 1, 0))),
    (Orient("SAR"), Normalise((Normalisation("zscore"),))),
]


@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_steps_without_interpolation_are_undone_exactly(steps: tuple[Step, ...]) -> None:
    """What a crop, a transposition and an orientation did is undone voxel for voxel."""
    before = image()
    after, undo = before, []
    for step in steps:
        after, back = step.apply(after)
        undo.append(back)
    found: Any = np.ones(after.array.shape[1:], np.float32)
    for back in reversed(undo):
        found = back(found)
    assert found.shape == before.array.shape[1:]
    inside = before.array[0] != 0
    assert np.all(found[inside] == 1.0)


def test_a_crop_of_nothing_keeps_everything() -> None:
    """An image of zeros alone is not cut to nothing."""
    after, _ = Crop("nonzero").apply(Image(np.zeros((1, 3, 4, 5), np.float32), (1, 1, 1), AXES))
    assert after.array.shape == (1, 3, 4, 5)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(3, 12)] * 3),
    st.tuples(*[st.floats(0.5, 4.0)] * 3),
    st.sampled_from(["nnunet", "centres"]),
)
def test_a_constant_survives_resampling(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], method: str
) -> None:
    """Both ways of resampling keep a constant, and come back to the shape they came from."""
    step = Resample(spacing, method)
    before = Image(np.full((1, *shape), 7.0, np.float32), (2.0, 1.0, 1.5), AXES)
    after, undo = step.apply(before)
    assert np.allclose(after.array, 7.0, atol=1e-5)
    assert after.spacing_mm == spacing
    back = undo(after.array[0])
    assert back.shape == shape
    assert np.allclose(back, 7.0, atol=1e-5)


def test_boxes_keep_edges_and_centres_keep_the_first_voxel() -> None:
    """Halving the spacing: boxes put new centres at quarters, centres keep the first one."""
    ramp = np.arange(4, dtype=np.float32).reshape(4, 1, 1)
    rule = resampling.Splines(1, 0, None)
    boxes = resampling.between_boxes(ramp, (8, 1, 1), rule).ravel()
    assert boxes.tolist() == [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]
    shape = resampling.centres_shape((4, 1, 1), (2, 1, 1), (1, 1, 1))
    centres = resampling.between_centres(ramp, shape, (2, 1, 1), (1, 1, 1)).ravel()
    assert centres.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]


@pytest.mark.parametrize(
    ("current", "target", "separate", "axis"),
    [
        ((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), None, 0),
        ((1.0, 1.0, 1.0), (1.0, 1.0, 3.1), None, 2),
        ((3.0, 1.0, 1.0), (1.0, 1.0, 1.0), None, None),
        ((0.24, 1.25, 1.25), (1.0, 1.0, 1.0), None, None),
        ((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), False, None),
        ((2.0, 1.0, 1.0), (1.0, 1.0, 1.0), True, 0),
    ],
)
def test_one_coarse_axis_is_taken_apart(
    current: tuple[float, ...], target: tuple[float, ...], separate: bool | None, axis: int | None
) -> None:
    """An axis more than three times coarser is resampled by itself; two such are not."""
    assert resampling.separate_axis(current, target, separate) == axis


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.0, 0.9))
def test_windows_cover_every_voxel(size: int, window: int, overlap: float) -> None:
    """Both placements begin at 0, end at the edge and leave no gap."""
    whole = max(size, window)
    for starts in (windows.even_starts, windows.interval_starts):
        found = starts(whole, window, overlap)
        assert found[0] == 0
        assert found[-1] == whole - window
        covered = {place + step for place in found for step in range(window)}
        assert covered == set(range(whole))


@pytest.mark.parametrize("blend", ["constant", "gaussian-nnunet", "gaussian-monai"])
@pytest.mark.parametrize("placement", ["even", "interval"])
def test_a_network_of_one_voxel_is_reproduced(blend: str, placement: str) -> None:
    """What depends on single voxels alone comes out the same however windows are laid."""
    inference = Inference((4, 5, 6), placement, 0.5, blend, mirror_axes=(0, 2))
    array = np.random.default_rng(1).normal(size=(1, 3, 11, 13)).astype(np.float32)
    found = windows.predict(lambda batch: np.concatenate([batch, -batch], 1), array, inference)
    assert found.shape == (2, 3, 11, 13)
    assert np.allclose(found[0], array[0], atol=1e-5)
    assert np.allclose(found[1], -array[0], atol=1e-5)
    assert windows.weights((4, 5, 6), blend).min() > 0


def test_mirroring_takes_the_mean_of_all_combinations() -> None:
    """A network that answers with places sees each axis from both ends."""
    inference = Inference((1, 1, 4), "even", 0.0, "constant", mirror_axes=(2,))
    place = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 1, 4)
    found = windows.mirrored(lambda batch: np.broadcast_to(place, batch.shape), place, inference)
    assert found.ravel().tolist() == [1.5, 1.5, 1.5, 1.5]


def outputs(**changes: Any) -> Outputs:
    """Return three channels decided by softmax."""
    values: dict[str, Any] = {
        "channel_count": 3, "activation": "softmax", "activated": "after", "decision": "argmax",
        "threshold": 0.5, "class_order": (), "labels": (label("a", 1), label("b", 2)),
    }  # fmt: skip
    return Outputs(**{**values, **changes})


@pytest.mark.parametrize("activated", ["before", "after"])
def test_entropy_is_that_of_the_softmax(activated: str) -> None:
    """The sums that grow channel by channel give Shannon's entropy, also of large logits."""
    logits = np.random.default_rng(2).normal(0, 30, (3, 4, 5, 6)).astype(np.float32)
    found = decide.decide(logits, outputs(activated=activated), ())
    shifted = np.exp(logits.astype(float) - logits.max(axis=0))
    p = np.maximum(shifted / shifted.sum(axis=0), 1e-300)
    expected = -(p * np.log(p)).sum(axis=0) / np.log(3)
    assert np.allclose(found.entropy, expected, atol=1e-5)
    assert np.array_equal(found.maps[0], logits.argmax(axis=0))


def test_overlapping_channels_stay_apart() -> None:
    """Channels over a threshold may share voxels, unless an order is stated."""
    logits = np.array([[5.0, 5.0, -5.0], [-5.0, 5.0, -5.0]], np.float32).reshape(2, 1, 1, 3)
    apart = outputs(
        channel_count=2, activation="sigmoid", decision="threshold",
    )  # fmt: skip
    found = decide.masks(decide.decide(logits, apart, ()).maps, apart)
    assert found["a"].ravel().tolist() == [True, True, False]
    assert found["b"].ravel().tolist() == [False, True, False]
    ordered = outputs(
        channel_count=2, activation="sigmoid", decision="threshold", class_order=(1, 2),
        labels=(label("whole", 1, 2), label("core", 2)),
    )  # fmt: skip
    found = decide.masks(decide.decide(logits, ordered, ()).maps, ordered)
    assert found["whole"].ravel().tolist() == [True, True, False]
    assert found["core"].ravel().tolist() == [False, True, False]
    assert [ordered.channel_of(item) for item in ordered.labels] == [0, 1]
    assert [apart.channel_of(item) for item in apart.labels] == [0, 1]


def test_only_the_largest_part_is_kept_where_the_model_says_so() -> None:
    """Two islands of one label become one; another label keeps its islands."""
    labels = np.zeros((1, 5, 9), np.uint16)
    labels[0, 1:4, 0:3], labels[0, 1, 5] = 1, 1
    labels[0, 4, 8], labels[0, 0, 6] = 2, 2
    found = decide.masks([labels], outputs(largest_component=("a",)))
    assert (int(found["a"].sum()), int(found["b"].sum())) == (9, 2)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Normalisation("none"), [0.0, 10.0, 30.0]),
        (Normalisation("clip-zscore", 0.0, 20.0, 10.0, 5.0), [-2.0, 0.0, 2.0]),
        (Normalisation("range", 0.0, 20.0, to_low=-1.0, to_high=1.0), [-1.0, 0.0, 2.0]),
        (Normalisation("range", 0.0, 20.0, to_low=-1.0, to_high=1.0, clip=True), [-1, 0, 1]),
        (Normalisation("unit"), [0.0, 1 / 3, 1.0]),
        (Normalisation("zscore-nonzero"), [0.0, -1.0, 1.0]),
        (Normalisation("zscore"), [-1.069, -0.267, 1.336]),
    ],
)
def test_intensities_follow_their_formula(rule: Normalisation, expected: list[float]) -> None:
    """Each rule gives the numbers that its formula gives by hand."""
    found = rule.apply(np.array([0.0, 10.0, 30.0], np.float32), None)
    assert np.allclose(found, expected, atol=1e-3)


def test_constant_images_are_not_divided_by_nothing() -> None:
    """An image of one value gives finite numbers under every rule."""
    for method in ("zscore", "zscore-nonzero", "unit", "none"):
        flat = np.full((2, 2, 2), 5.0, np.float32)
        assert np.isfinite(Normalisation(method).apply(flat, None)).all()


def described(**changes: Any) -> Description:
    """Return a whole description."""
    values: dict[str, Any] = {
        "format": "onnx",
        "channels": (Channel("ct", "CT", "[hnsf'U]", -1000.0),),
        "preprocessing": (
            Orient("RAS"), Transpose((0, 2, 1)), Crop("positive"),
            Resample((2.0, 1.0, 1.0), "nnunet", 3, 0, 1, 0, None),
            Normalise((Normalisation("range", 0.0, 1.0, to_low=0.0, to_high=1.0),)),
        ),
        "network": Network("onnx", ("model.onnx",), {}),
        "inference": Inference((8, 8, 8), "interval", 0.5, "constant", (0, 1)),
        "outputs": outputs(),
        "explanation": "none",
    }  # fmt: skip
    return Description(**{**values, **changes})


def test_description_survives_its_manifest() -> None:
    """Encoded, written as JSON and decoded again it is the same description."""
    assert decode(json.loads(json.dumps(encode(described())))) == described()


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("schema", "osteon.imported/9", "schema"),
        ("format", "keras", "format: expected one of"),
        ("channels.0.modality", "US", "modality: expected CT, PT, MR, found US"),
        ("channels.0.unit", "1", "unit: expected [hnsf'U], found 1"),
        ("channels.0.role", "../ct", "role"),
        ("preprocessing.0.kind", "blur", "kind: expected one of"),
        ("preprocessing.0.directions", "RRS", "three letters"),
        ("preprocessing.1.order", [0, 0, 1], "the axes 0, 1, 2"),
        ("preprocessing.4.channels", [], "1 channels, found 0"),
        ("preprocessing.4.channels.0.high", -1.0, "less than high"),
        ("network.kind", "pickle", "kind: expected one of"),
        ("network.files", [], "files: expected at least one"),
        ("inference.patch", [8, 8, 0], "patch[2]: expected a number of at least 1"),
        ("inference.overlap", 1.0, "overlap"),
        ("inference.mirror_axes", [3], "mirror_axes"),
        ("outputs.labels", [], "different names"),
        ("outputs.labels.1.values", [3], "one of [1, 2]"),
        ("outputs.labels.1.name", "a", "different names"),
        ("outputs.labels.1.name", "far too long a name", "TG-263"),
        ("outputs.labels.1.interpreted_type", "MUSCLE", "type"),
        ("outputs.activation", "sigmoid", "threshold beside sigmoid"),
        ("outputs.largest_component", ["c"], "names of"),
        ("explanation", "magic", "explanation"),
        ("outputs.labels.0.code", {"value": "1"}, "a description of this suite"),
    ],
)
def test_a_faulty_description_is_refused_by_its_field(path: str, value: Any, named: str) -> None:
    """A manifest whose description was changed does not run: the field is named."""
    document = json.loads(json.dumps(encode(described())))
    *way, last = path.split(".")
    place: Any = document
    for key in way:
        place = place[int(key) if key.isdigit() else key]
    place[int(last) if last.isdigit() else last] = value
    with pytest.raises(ModelImportError) as caught:
        decode(document)
    assert named in str(caught.value)


def test_maps_go_back_through_all_steps() -> None:
    """A map of ones on the prepared grid is one everywhere inside the crop on the source's."""
    steps = (Orient("RAS"), Crop("nonzero"), Resample((2.0, 2.0, 2.0), "centres"))
    before = image((8, 9, 10))
    prepared = prepare(described(preprocessing=steps), before.array, before.spacing_mm, AXES)
    found = on_source(np.ones(prepared.image.array.shape[1:], np.float32), prepared)
    assert np.array_equal(found > 0.5, before.array[0] != 0)


def test_sizes_of_a_box_are_exact() -> None:
    """Volume counts voxels; the diameter is the box's diagonal, also where it is flat."""
    mask = np.zeros((5, 6, 7), bool)
    mask[1:4, 1:5, 2:6] = True
    assert volume_ml(mask, (2.0, 1.0, 1.0)) == pytest.approx(48 * 2 / 1000)
    assert max_diameter_mm(mask, (2.0, 1.0, 1.0)) == pytest.approx(np.sqrt(16 + 9 + 9))
    mask[2:] = False
    assert max_diameter_mm(mask, (2.0, 1.0, 1.0)) == pytest.approx(np.sqrt(9 + 9))
    mask[:, 2:] = False
    assert max_diameter_mm(mask, (2.0, 1.0, 1.0)) == pytest.approx(3.0)
    mask[:, :, 3:] = False
    assert max_diameter_mm(mask, (2.0, 1.0, 1.0)) == 0.0
    assert max_diameter_mm(np.zeros_like(mask), (1.0, 1.0, 1.0)) == 0.0
