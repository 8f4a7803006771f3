"""The difference of two releases names every change, area by area, with a stable code."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from audit.errors import ReleaseTamperedError
from governance.difference import AREAS, ReleaseDifference, difference, encode
from governance.difference_weights import read_tensors
from governance.release import Release, build, digest_of, read_manifest

DECLARATION: dict[str, Any] = {
    "plugin": "knee",
    "version": "1.2.3",
    "title": "Knee",
    "intended_purpose": "Outline the knee.",
    "evidence": "real",
    "built_by": "osteon 0.1.0",
    "entry_point": "plugins.knee.plugin:Knee",
    "host_api": 1,
    "inputs": [{"role": "ct", "modality": "CT", "required": True}],
    "outputs": [{"kind": "Segmentation", "name": "Knee", "code_value": "1"}],
    "envelope": {
        "age_years": [18, 90], "slice_spacing_mm": None, "body_parts": ["KNEE"],
        "quality_flags_refused": ["metal"], "trained_field_mm": [100, 100, 100],
        "oblique_deg": 10,
    },
    "routing": [{"keyword": "BodyPartExamined", "operator": "present"}],
    "parameters": {"mirrored": True, "threshold_hu": 300},
    "limits": {"memory_mb": 4096},
    "runtime": {"python": "3.11", "pins": {"numpy": "2.4.6", "torch": "2.13.0"}},
    "weights": ["a.safetensors", "b.safetensors"],
    "model_packages": ["models.unet"],
    "training": [
        {"file": "a.safetensors", "role": "knee", "fold": 0, "trained_on": ["p1", "p2"],
         "recipe_digest": "sha256:1", "licence": "CC-BY-4.0", "source": "here"},
        {"file": "b.safetensors", "role": "knee", "fold": 1, "trained_on": ["p2", "p3"],
         "recipe_digest": "sha256:1", "licence": "CC-BY-4.0", "source": "here"},
    ],
    "imported": {
        "network": {"kind": "unet", "features": [8, 16]},
        "preprocessing": {"spacing_mm": [2, 1, 1]},
        "inference": {"step": 0.5},
        "format": "onnx",
    },
}  # fmt: skip
BILL = {"components": [{"type": "library", "name": "numpy", "version": "2.4.6"}]}
TENSORS = {
    "stem": np.arange(6, dtype=np.float32).reshape(2, 3),
    "head": np.ones(4, np.float16),
}
MEMBERS = {
    "code/plugins/knee/plugin.py": b"X = 1\n\n\ndef f() -> int:\n    return X\n",
    "code/models/unet/network.py": b"WIDTH = 8\n",
    "code/models/unet/inputs.py": b"SPACING = 2\n",
    "code/models/unet/calibration.json": b'{"abstain_below": 0.5}',
    "card.md": b"# Knee\n",
    "sbom.json": json.dumps(BILL).encode(),
    "weights/a.safetensors": save(TENSORS),
    "weights/b.safetensors": save({"stem": np.zeros(2, np.float32)}),
}


def release(
    change: Callable[[dict[str, Any]], None] | None = None,
    members: dict[str, bytes | None] | None = None,
) -> Release:
    """Return the release, with its declaration changed and some members replaced."""
    declaration = copy.deepcopy(DECLARATION)
    if change is not None:
        change(declaration)
    content = {n: c for n, c in {**MEMBERS, **(members or {})}.items() if c is not None}
    return opened(build(declaration, content))


def opened(raw: bytes) -> Release:
    """Open a bundle in memory."""
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    manifest = content["manifest.json"]
    return Release(digest_of(manifest), read_manifest(manifest, "trial"), (), content.__getitem__)


def compared(*arguments: Any) -> ReleaseDifference:
    """Return the difference from the plain release to a changed one."""
    return difference(release(), release(*arguments))


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change that sets one value of the declaration."""

    def change(declaration: dict[str, Any]) -> None:
        *way, last = path.split(".")
        place: Any = declaration
        for key in way:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value

    return change


def test_a_release_does_not_differ_from_itself() -> None:
    """Two equal releases give an empty difference: no area, no code."""
    found = difference(release(), release())
    assert found.is_empty
    assert found.changed_areas() == ()
    assert found.codes() == ()
    assert json.dumps(encode(found))


CASES = [
    ("version", "1.2.4", "identity", "VERSION_CHANGED"),
    ("plugin", "hip", "identity", "PLUGIN_CHANGED"),
    ("entry_point", "plugins.knee.other:Knee", "identity", "ENTRY_POINT_CHANGED"),
    ("something_new", 1, "identity", "STATEMENT_CHANGED"),
    ("intended_purpose", "Outline the hip.", "purpose", "PURPOSE_CHANGED"),
    ("evidence", "simulated", "purpose", "EVIDENCE_CHANGED"),
    ("inputs.0.required", False, "inputs", "INPUT_CHANGED"),
    ("inputs.0.modality", "MR", "inputs", "INPUT_MODALITY_CHANGED"),
    ("outputs.0.code_value", "2", "outputs", "OUTPUT_CHANGED"),
    ("outputs.0.name", "Patella", "outputs", "OUTPUT_ADDED"),
    ("envelope.age_years", [10, 90], "envelope", "ENVELOPE_WIDENED"),
    ("envelope.age_years", None, "envelope", "ENVELOPE_WIDENED"),
    ("envelope.age_years", [20, 80], "envelope", "ENVELOPE_NARROWED"),
    ("envelope.age_years", [10, 80], "envelope", "ENVELOPE_CHANGED"),
    ("envelope.slice_spacing_mm", [1, 3], "envelope", "ENVELOPE_NARROWED"),
    ("envelope.body_parts", ["KNEE", "HIP"], "envelope", "ENVELOPE_WIDENED"),
    ("envelope.body_parts", [], "envelope", "ENVELOPE_WIDENED"),
    ("envelope.body_parts", ["HIP"], "envelope", "ENVELOPE_CHANGED"),
    ("envelope.quality_flags_refused", [], "envelope", "ENVELOPE_WIDENED"),
    ("envelope.quality_flags_refused", ["metal", "truncated"], "envelope", "ENVELOPE_NARROWED"),
    ("envelope.required_structures", ["GTV"], "envelope", "ENVELOPE_NARROWED"),
    ("envelope.prescription_required", True, "envelope", "ENVELOPE_NARROWED"),
    ("envelope.trained_field_mm", [100, 120, 100], "envelope", "ENVELOPE_WIDENED"),
    ("envelope.trained_field_mm", [90, 120, 100], "envelope", "ENVELOPE_CHANGED"),
    ("envelope.oblique_deg", 5, "envelope", "ENVELOPE_NARROWED"),
    ("envelope.oblique_deg", None, "envelope", "ENVELOPE_WIDENED"),
    ("envelope.oblique_deg", "steep", "envelope", "ENVELOPE_CHANGED"),
    ("envelope.unheard_of", 5, "envelope", "ENVELOPE_CHANGED"),
    ("routing", [], "routing", "ROUTING_RULE_REMOVED"),
    ("parameters.mirrored", 1, "parameters", "PARAMETER_CHANGED"),
    ("parameters.other", 1, "parameters", "PARAMETER_ADDED"),
    ("parameters.threshold_hu", 301, "parameters", "THRESHOLD_CHANGED"),
    ("operating_points", {"high": 0.9}, "parameters", "THRESHOLD_CHANGED"),
    ("imported.inference.step", 0.6, "parameters", "INFERENCE_CHANGED"),
    ("imported.preprocessing.spacing_mm", [3, 1, 1], "preprocessing", "PREPROCESSING_CHANGED"),
    ("imported.network.features", [8, 32], "architecture", "ARCHITECTURE_CHANGED"),
    ("imported.format", "torchscript", "identity", "STATEMENT_CHANGED"),
    ("limits.memory_mb", 8192, "limits", "LIMIT_CHANGED"),
    ("host_api", 2, "runtime", "HOST_API_CHANGED"),
    ("runtime.python", "3.12", "runtime", "RUNTIME_PYTHON_CHANGED"),
    ("runtime.pins.torch", "2.14.0", "runtime", "RUNTIME_PIN_CHANGED"),
    ("runtime.pins.scipy", "1.17.1", "runtime", "RUNTIME_PIN_ADDED"),
    ("weights", ["b.safetensors", "a.safetensors"], "identity", "WEIGHTS_ORDER_CHANGED"),
    ("training.0.recipe_digest", "sha256:2", "training", "TRAINING_RECIPE_CHANGED"),
    ("training.0.trained_on", ["p1", "p2", "p3"], "training", "TRAINING_SPLIT_CHANGED"),
    ("training.0.epochs", 3, "training", "TRAINING_STATEMENT_CHANGED"),
    ("training.0.licence", "unknown", "training", "TRAINING_LICENCE_CHANGED"),
]


@pytest.mark.parametrize(("path", "value", "area", "code"), CASES)
def test_a_changed_statement_is_named(path: str, value: Any, area: str, code: str) -> None:
    """One changed value of the manifest is found in its area, under its code, and nowhere else."""
    found = compared(put(path, value))
    assert code in found.codes()
    assert found.changed_areas() == (area,)
    assert found.changes(area)[0].code in found.codes()


def test_a_flag_is_not_a_number() -> None:
    """``true`` and 1 are two values, although Python takes them for one."""
    (change,) = compared(put("parameters.mirrored", 1)).parameters
    assert (change.path, change.old, change.new) == ("parameters.mirrored", True, 1)


def test_code_is_counted_by_file() -> None:
    """A changed file has its lines counted and its subject named; a comment is told apart."""
    source = MEMBERS["code/plugins/knee/plugin.py"]
    found = compared(
        None,
        {
            "code/plugins/knee/plugin.py": b"# why\n" + source,
            "code/models/unet/network.py": b"WIDTH = 16\n",
            "code/models/unet/inputs.py": None,
            "code/models/unet/more.py": b"A = 1\nB = 2\n",
            "card.md": b"# Knie\n",
        },
    )
    rows = {c.path: (c.code, c.subject, c.lines_added, c.lines_removed) for c in found.code}
    assert rows == {
        "code/plugins/knee/plugin.py": ("CODE_LAYOUT_CHANGED", "code", 1, 0),
        "code/models/unet/network.py": ("CODE_CHANGED", "architecture", 1, 1),
        "code/models/unet/inputs.py": ("CODE_REMOVED", "preprocessing", 0, 1),
        "code/models/unet/more.py": ("CODE_ADDED", "code", 2, 0),
    }
    assert [change.path for change in found.architecture] == ["code/models/unet/network.py"]
    assert [change.path for change in found.preprocessing] == ["code/models/unet/inputs.py"]
    assert [change.code for change in found.documents] == ["CARD_CHANGED"]


def test_a_docstring_is_no_layout() -> None:
    """What a program can read of itself is code: a changed docstring is not called layout."""
    source = b'"""Old."""\n' + MEMBERS["code/plugins/knee/plugin.py"]
    one = release(members={"code/plugins/knee/plugin.py": source})
    other = release(members={"code/plugins/knee/plugin.py": source.replace(b"Old", b"New")})
    assert difference(one, other).codes() == ("CODE_CHANGED",)


def test_code_that_cannot_be_parsed_is_changed() -> None:
    """A file that is no Python any more is a change like another."""
    broken = {"code/plugins/knee/plugin.py": b"def (\n", "code/models/unet/network.py": b"\xff\0"}
    assert compared(None, broken).codes() == ("CODE_CHANGED",)


def test_a_threshold_beside_the_code_is_named() -> None:
    """A limit in a calibration file is a threshold, with its old and new value."""
    other = {"code/models/unet/calibration.json": b'{"abstain_below": 0.6}'}
    (change,) = compared(None, other).parameters
    assert change.code == "THRESHOLD_CHANGED"
    assert change.path == "code/models/unet/calibration.json.abstain_below"
    assert (change.old, change.new) == (0.5, 0.6)


def test_components_are_compared_by_name() -> None:
    """A library of another version, and one that is new, are named."""
    rows = [{"type": "library", "name": name, "version": "3"} for name in ("numpy", "scipy")]
    bill = json.dumps({"components": rows}).encode()
    found = compared(None, {"sbom.json": bill})
    assert [change.code for change in found.components] == ["COMPONENT_CHANGED", "COMPONENT_ADDED"]
    assert found.components[0].path == "sbom.json:library/numpy"
    assert found.changed_areas() == ("components", "documents")


def test_tensors_are_measured() -> None:
    """Largest and mean difference are those of the numbers, by tensor and over the file."""
    stem = TENSORS["stem"].copy()
    stem[1, 2] += 0.5
    found = compared(None, {"weights/a.safetensors": save({**TENSORS, "stem": stem})})
    (change,) = found.weights
    assert (change.code, change.comparable, change.tensor_count) == ("WEIGHTS_CHANGED", True, 2)
    (tensor,) = change.tensors
    assert (tensor.code, tensor.name, tensor.old_shape) == ("TENSOR_CHANGED", "stem", (2, 3))
    assert tensor.max_difference == 0.5
    assert tensor.mean_difference == pytest.approx(0.5 / 6)
    assert change.max_difference == 0.5
    assert change.mean_difference == pytest.approx(0.5 / 10)


def test_other_shapes_types_and_names_of_tensors_are_told_apart() -> None:
    """A new, a removed, a reshaped and a retyped tensor each have their code."""
    old = {"a": np.zeros(4, np.float32), "b": np.ones((2, 2), np.float32), "c": np.ones(3)}
    new = {"b": np.ones((2, 3), np.float32), "c": np.ones(3, np.float16), "d": np.ones(1)}
    found = difference(
        release(members={"weights/a.safetensors": save(old)}),
        release(members={"weights/a.safetensors": save(new)}),
    )
    codes = {tensor.name: tensor.code for tensor in found.weights[0].tensors}
    assert codes == {
        "a": "TENSOR_REMOVED", "b": "TENSOR_RESHAPED", "c": "TENSOR_RETYPED", "d": "TENSOR_ADDED",
    }  # fmt: skip
    retyped = found.weights[0].tensors[2]
    assert (retyped.old_type, retyped.new_type, retyped.max_difference) == ("F64", "F16", 0.0)
    assert found.weights[0].tensors[1].max_difference is None


def test_weights_are_paired_by_role_and_fold() -> None:
    """Files that are named after their content are compared with the one of the same fold."""

    def rename(declaration: dict[str, Any]) -> None:
        declaration["weights"] = ["d.safetensors", "c.safetensors"]
        for row, name in zip(declaration["training"], ("c", "d"), strict=True):
            row["file"] = f"{name}.safetensors"

    stem = save({**TENSORS, "stem": TENSORS["stem"] + 1})
    found = compared(
        rename,
        {
            "weights/a.safetensors": None,
            "weights/b.safetensors": None,
            "weights/c.safetensors": stem,
            "weights/d.safetensors": MEMBERS["weights/b.safetensors"],
        },
    )
    pairs = {(w.code, w.old_name, w.new_name) for w in found.weights}
    assert pairs == {
        ("WEIGHTS_CHANGED", "a.safetensors", "c.safetensors"),
        ("WEIGHTS_RENAMED", "b.safetensors", "d.safetensors"),
    }
    assert [change.code for change in found.training.changes] == ["TRAINING_FILES_CHANGED"]


def test_a_file_without_partner_is_added_or_removed() -> None:
    """One member more or less of an ensemble is named."""
    without = release(lambda d: d.update(training=[]), {"weights/b.safetensors": None})
    again = release(lambda d: d.update(training=[]))
    assert [w.code for w in difference(again, without).weights] == ["WEIGHTS_REMOVED"]
    assert [w.code for w in difference(without, again).weights] == ["WEIGHTS_ADDED"]


def test_opaque_weights_are_compared_by_digest() -> None:
    """A file without readable tensors is changed, and the difference says that it cannot look."""
    found = compared(None, {"weights/a.safetensors": b"\x08\0ONNX"})
    (change,) = found.weights
    assert (change.code, change.comparable, change.max_difference) == (
        "WEIGHTS_CHANGED",
        False,
        None,
    )


def test_a_header_alone_is_told_apart() -> None:
    """Equal tensors under another statement in the header are no change of the numbers."""
    found = compared(None, {"weights/a.safetensors": save(TENSORS, {"note": "2"})})
    (change,) = found.weights
    assert (change.code, change.tensors) == ("WEIGHTS_HEADER_CHANGED", ())


def test_numbers_that_are_not_finite_have_no_size() -> None:
    """NaN against a number has no size; NaN against NaN is no difference."""
    old = {"a": np.array([np.nan, 1.0]), "b": np.array([np.nan, 1.0])}
    new = {"a": np.array([2.0, 1.0]), "b": np.array([np.nan, 1.5])}
    found = difference(
        release(members={"weights/a.safetensors": save(old)}),
        release(members={"weights/a.safetensors": save(new)}),
    )
    sizes = {t.name: (t.max_difference, t.mean_difference) for t in found.weights[0].tensors}
    assert sizes == {"a": (None, None), "b": (0.5, 0.25)}
    assert json.dumps(encode(found), allow_nan=False)


def test_half_precisions_are_read() -> None:
    """bfloat16, which NumPy does not know, is read as the upper half of a float32."""
    numbers = np.array([1.0, -2.5, 0.15625], np.float32)
    upper = (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    tensors = read_tensors(struct.pack("<Q", len(header)) + header + upper)
    assert tensors is not None
    assert tensors["x"].values(0, 3).tolist() == numbers.tolist()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 2**64 - 1), st.booleans())
def test_hostile_weight_files_are_opaque(tail: bytes, length: int, honest: bool) -> None:
    """Whatever bytes a weight file has, reading it ends with tensors or with None."""
    size = len(tail) if honest else length
    assert read_tensors(struct.pack("<Q", size) + tail) in ({}, None)


@pytest.mark.parametrize(
    "row",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]},
        {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        {"dtype": "F33", "shape": [2], "data_offsets": [0, 8]},
        {"shape": [2]},
        [],
    ],
)
def test_offsets_are_not_trusted(row: Any) -> None:
    """A header whose shape, type or place does not fit the bytes is no header."""
    header = json.dumps({"x": row}).encode()
    assert read_tensors(struct.pack("<Q", len(header)) + header + bytes(8)) is None


def test_patients_are_counted_over_all_files() -> None:
    """Patients that came and went are named, with the number before and after."""
    found = compared(put("training.1.trained_on", ["p4", "p5"])).training
    assert (found.patients_added, found.patients_removed) == (("p4", "p5"), ("p3",))
    assert (found.old_patient_count, found.new_patient_count) == (3, 4)
    assert [c.code for c in found.changes] == [
        "TRAINING_PATIENTS_ADDED",
        "TRAINING_PATIENTS_REMOVED",
    ]


def test_a_member_that_was_tampered_with_is_refused() -> None:
    """No difference is stated about bytes that are not what their manifest says."""
    one = release(members={"card.md": b"# Other\n"})
    broken = Release(one.digest, one.manifest, (), {"card.md": b"# Knee"}.__getitem__)
    with pytest.raises(ReleaseTamperedError, match=r"card\.md"):
        difference(release(), broken)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(set(DECLARATION) - {"plugin", "version"})), VALUES)
def test_no_change_of_a_manifest_goes_unnamed(key: str, value: Any) -> None:
    """Whatever a manifest states instead, the difference is empty only for the same digest."""
    old, new = release(), release(put(key, value))
    found = difference(old, new)
    assert bool(found.codes()) == (old.digest != new.digest)
    assert found.is_empty == (old.digest == new.digest)
    back = difference(new, old)
    assert set(back.changed_areas()) == set(found.changed_areas())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*MEMBERS, "extra/file"]), st.none() | st.binary(max_size=20))
def test_no_change_of_a_member_goes_unnamed(name: str, content: bytes | None) -> None:
    """A member with any other content, one too few or one too many is always found."""
    old, new = release(), release(members={name: content})
    found = difference(old, new)
    assert bool(found.codes()) == (old.digest != new.digest)


def test_every_area_is_a_field_and_encodes() -> None:
    """The areas are the fields of the value, and its JSON has each of them beside the codes."""
    found = compared(put("version", "2.0.0"), {"weights/a.safetensors": save({})})
    document = json.loads(json.dumps(encode(found)))
    assert set(document) == {*AREAS, "old_digest", "new_digest", "codes", "changed_areas"}
    assert document["codes"] == list(found.codes())
    assert document["identity"] == [
        {"code": "VERSION_CHANGED", "path": "version", "old": "1.2.3", "new": "2.0.0"}
    ]


def test_a_published_release_is_compared_with_a_retrained_one(tmp_path: Path) -> None:
    """The contouring release against itself with one rounded tensor: that tensor, no other."""
    from adapters.release_builder import assemble
    from governance.release import open_release

    old = open_release(assemble("contouring", "0.1.0", tmp_path))
    name = f"weights/{old.manifest['weights'][0]}"
    tensors = read_tensors(old.member(name))
    assert tensors is not None
    content = bytearray(old.member(name))
    place = bytes(content).index(bytes(tensors["head.bias"].content), 8)
    content[place] ^= 1
    members = {item: old.member(item) for item in old.members} | {name: bytes(content)}
    declaration = {k: v for k, v in old.manifest.items() if k not in ("schema", "members")}
    found = difference(old, opened(build(declaration, members)))
    assert found.changed_areas() == ("weights",)
    (change,) = found.weights
    assert [tensor.name for tensor in change.tensors] == ["head.bias"]
    assert change.tensor_count == len(tensors)
    assert 0 < (change.max_difference or 0) < 1e-2
