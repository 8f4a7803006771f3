"""A model of another tool runs as a release: in a worker, from its own bytes, with findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from adapters.model_import.build import import_model
from audit.errors import RefusalError, ReleaseError
from governance.release import Release, build, folder_name, open_release, unpack
from models.importers import description as descriptions
from models.importers import segment as path
from models.importers.networks.runner import load
from plugins.host.case import Case, Subject
from plugins.host.findings import Segmentation
from plugins.host.images import Geometry, Volume
from plugins.host.runner import ReleaseWorkers
from plugins.imported.plugin import Imported
from tests.simulators.foreign_bundles import (
    BONE,
    TUMOUR,
    Blurred,
    bundle_folder,
    bundle_statement,
    onnx_file,
    statement,
    torchscript,
)
from tests.simulators.foreign_models import (
    AXES,
    SPACING,
    body,
    dataset,
    nnunet_folder,
    plans,
    structures,
)
from tests.simulators.released_plugins import request_for


def nnunet(root: Path) -> Path:
    """Write a small nnU-Net folder."""
    return nnunet_folder(root / "nnunet", plans(), dataset(), folds=("0", "1"), mirror=(2,))


def onnx(root: Path) -> Path:
    """Write a small ONNX file."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    (root / "model.onnx").write_bytes(onnx_file())
    return root / "model.onnx"


def script(root: Path) -> Path:
    """Write a small TorchScript file."""
    (root / "model.pt").write_bytes(torchscript(Blurred()))
    return root / "model.pt"


def bundle(root: Path) -> Path:
    """Write a small MONAI bundle."""
    return bundle_folder(root / "bundle", Blurred(), script=True)


FORMATS: dict[str, tuple[Callable[[Path], Path], Callable[..., dict[str, Any]]]] = {
    "nnunet-v2": (nnunet, bundle_statement),
    "monai-bundle": (bundle, bundle_statement),
    "onnx": (onnx, statement),
    "torchscript": (script, statement),
}


def released(root: Path, kind: str, **changes: Any) -> Release:
    """Import a model of one format and return its release."""
    write, state = FORMATS[kind]
    model = write(root)
    (root / "statement.yaml").write_text(yaml.safe_dump(state(**changes)))
    return open_release(import_model(model, root / "statement.yaml", root / "out"))


def case_of(channels: np.ndarray, roles: tuple[tuple[str, str, str], ...]) -> Case:
    """Return a case with one image for each channel, all on one grid."""
    shape = (channels.shape[1], channels.shape[2], channels.shape[3])
    axes = tuple((float(a), float(b), float(c)) for a, b, c in AXES)
    geometry = Geometry(shape, SPACING, (-20.0, -30.0, 40.0), (axes[0], axes[1], axes[2]), "1.2.3")
    images = {
        role: Volume(
            channels[index], geometry, modality, units, "1.2", f"1.2.{index}",
            "1.2.840.10008.5.1.4.1.1.2", (f"1.2.{index}.0",),
        )
        for index, (role, modality, units) in enumerate(roles)
    }  # fmt: skip
    return Case("1.2", Subject(), images, body_part="LEG")


CT = (("ct", "CT", "[hnsf'U]"),)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_release_of_each_format_runs_in_a_worker(kind: str, tmp_path: Path) -> None:
    """Structures, sizes, uncertainty and explanation come out of the released bytes alone."""
    release = released(tmp_path, kind)
    unpack(release, tmp_path / "releases" / folder_name(release.digest))
    case = case_of(body(), CT)
    with ReleaseWorkers(tmp_path / "releases", patience=5.0) as workers:
        answer = workers.run(request_for(release.digest), case)
    found = {f.name: f for f in answer.prediction.findings if isinstance(f, Segmentation)}
    described = descriptions.decode(release.manifest["imported"])
    runner = load(
        described.network, [release.member(f"weights/{n}") for n in described.network.files]
    )
    expected = path.segment(described, runner, body(), SPACING, AXES)
    truth = structures()
    for name, value in (("Bone", 1), ("GTVp", 2)):
        assert np.mean(found[name].mask != expected.masks[name]) < 1e-4
        overlap = (found[name].mask & (truth == value)).sum()
        assert 2 * overlap / (found[name].mask.sum() + (truth == value).sum()) > 0.8
        volume, diameter = (item.value for item in found[name].measurements)
        assert volume == pytest.approx(found[name].mask.sum() * 3.0 * 1.2 * 1.2 / 1000)
        assert 10.0 < diameter < 90.0
    assert found["GTVp"].interpreted_type == "GTV"
    assert found["GTVp"].property_type.value == TUMOUR["value"]
    assert found["Bone"].property_type.value == BONE["value"]
    uncertainty = answer.prediction.uncertainty
    assert uncertainty.measure == "voxel-entropy"
    assert uncertainty.voxels is not None
    assert uncertainty.voxels.shape == truth.shape
    assert 0.0 <= uncertainty.interval[0] <= uncertainty.score <= uncertainty.interval[1] <= 1.0
    explanation = answer.explanation
    assert explanation is not None, answer.runtime
    assert explanation.method == ("occlusion" if kind == "onnx" else "integrated-gradients")
    assert (
        explanation.faithfulness["deletion_auc"] < explanation.faithfulness["deletion_auc_random"]
    )
    statistics = answer.prediction.statistics
    assert statistics.geometry["GTVp_volume_ml"] == found["GTVp"].measurements[0].value
    assert statistics.geometry["members"] == (2.0 if kind == "nnunet-v2" else 1.0)


def test_a_release_has_no_pickle_and_its_own_code(tmp_path: Path) -> None:
    """Weights are safetensors, code is the plugin's and the importers', and twice is the same."""
    release = released(tmp_path / "one", "nnunet-v2")
    weights = [name for name in release.members if name.startswith("weights/")]
    assert weights == ["weights/fold_0.safetensors", "weights/fold_1.safetensors"]
    rooms = {"/".join(n.split("/")[1:3]) for n in release.members if n.startswith("code/")}
    assert rooms == {"plugins/imported", "models/importers"}
    assert release.manifest["entry_point"] == "plugins.imported.plugin:Imported"
    assert set(release.manifest["runtime"]["pins"]) == {"numpy", "scipy", "torch", "safetensors"}
    again = released(tmp_path / "two", "nnunet-v2")
    assert again.digest == release.digest


def ready(root: Path, kind: str = "torchscript", **changes: Any) -> Imported:
    """Return the plugin with a model loaded, in this process."""
    release = released(root, kind, **changes)

    class Artifact:
        digest = release.digest
        manifest = release.manifest

        def weights(self, name: str) -> bytes:
            return release.member(f"weights/{name}")

    plugin = Imported()
    plugin.load(Artifact())
    return plugin


def test_nothing_found_is_an_answer(tmp_path: Path) -> None:
    """In air the model finds nothing: no finding, an abstention, and nothing to explain."""
    plugin = ready(tmp_path)
    case = case_of(np.full((1, 20, 24, 24), -200.0, np.float32), CT)
    prediction = plugin.predict(case, {})
    assert prediction.findings == ()
    assert prediction.uncertainty.abstain
    assert prediction.uncertainty.reasons == ("NOTHING_FOUND",)
    assert plugin.explain(case, prediction).method == "none"


def test_any_axis_order_gives_the_same_structure(tmp_path: Path) -> None:
    """A series with other axes, in space the same, has the same structures in space."""
    plugin = ready(tmp_path, explanation="none")
    straight = case_of(body(), CT)
    first = plugin.predict(straight, {})
    ct = straight.images["ct"]
    geometry = ct.geometry
    turned = np.ascontiguousarray(ct.array.transpose(2, 0, 1)[:, ::-1])
    shape = (turned.shape[0], turned.shape[1], turned.shape[2])
    spacing = (geometry.spacing_mm[2], geometry.spacing_mm[0], geometry.spacing_mm[1])
    axes = (geometry.axes[2], (0.0, 0.0, -1.0), geometry.axes[1])
    origin = geometry.to_patient(np.array([geometry.shape[0] - 1.0, 0.0, 0.0]))
    corner = (float(origin[0]), float(origin[1]), float(origin[2]))
    other = Volume(
        turned, Geometry(shape, spacing, corner, axes, "1.2.3"), "CT", ct.units, "1.2", "1.2.0",
        ct.sop_class_uid, ("1.2.0.0",),
    )  # fmt: skip
    second = plugin.predict(Case("1.2", Subject(), {"ct": other}), {})
    for one, two in zip(first.findings, second.findings, strict=True):
        assert isinstance(one, Segmentation)
        assert isinstance(two, Segmentation)
        back = two.mask[:, ::-1].transpose(1, 2, 0)
        assert np.mean(back != one.mask) < 1e-3


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Another unit, another frame of reference or no image at all is refused by a stable code."""
    plugin = ready(tmp_path, explanation="none")
    for roles, reason in (("ct", "CT", "g/ml"), "UNITS"), (("mr", "MR", "1"), "MISSING_INPUT"):
        with pytest.raises(RefusalError) as caught:
            plugin.predict(case_of(body(), (roles,)), {})
        assert caught.value.reasons == (reason,)


def two_channels(root: Path) -> Imported:
    """Return a plugin with a model of CT and PET."""
    root.mkdir()
    data = dataset(2)
    plan = plans(channels=2)
    plan["configurations"]["3d_fullres"]["normalization_schemes"] = [
        "CTNormalization", "ZScoreNormalization",
    ]  # fmt: skip
    folder = nnunet_folder(root / "nnunet", plan, data, mirror=None)
    inputs = [
        {"role": "ct", "modality": "CT"},
        {"role": "pet", "modality": "PT", "unit": "g/ml"},
    ]
    stated = bundle_statement(inputs=inputs, explanation="none")
    (root / "s.yaml").write_text(yaml.safe_dump(stated))
    release = open_release(import_model(folder, root / "s.yaml", root))

    class Artifact:
        digest = release.digest
        manifest = release.manifest

        def weights(self, name: str) -> bytes:
            return release.member(f"weights/{name}")

    plugin = Imported()
    plugin.load(Artifact())
    return plugin


def test_a_second_input_is_brought_to_the_first(tmp_path: Path) -> None:
    """PET on another grid of the same frame is interpolated; of another frame it is refused."""
    plugin = two_channels(tmp_path / "model")
    assert [item.same_frame_as for item in plugin.manifest.inputs] == [None, "ct"]
    case = case_of(body(channels=2), (*CT, ("pet", "PT", "g/ml")))
    expected = plugin.predict(case, {})
    pet = case.images["pet"]
    padded = np.pad(pet.array, ((2, 2), (3, 3), (1, 1)))
    shape = (padded.shape[0], padded.shape[1], padded.shape[2])
    first = pet.geometry.to_patient(np.array([-2.0, -3.0, -1.0]))
    origin = (float(first[0]), float(first[1]), float(first[2]))
    for frame in ("1.2.3", "9.9"):
        geometry = Geometry(shape, SPACING, origin, pet.geometry.axes, frame)
        moved = Volume(padded, geometry, "PT", "g/ml", "1.2", "1.2.1", "1.2", ("1.2.1.0",))
        other = Case("1.2", Subject(), {"ct": case.images["ct"], "pet": moved})
        if frame == "9.9":
            with pytest.raises(RefusalError) as caught:
                plugin.predict(other, {})
            assert caught.value.reasons == ("FRAME_OF_REFERENCE",)
            continue
        for one, two in zip(expected.findings, plugin.predict(other, {}).findings, strict=True):
            assert isinstance(one, Segmentation)
            assert isinstance(two, Segmentation)
            assert np.mean(one.mask != two.mask) < 1e-3


def test_a_release_that_cannot_be_obeyed_is_a_fault_of_the_release(tmp_path: Path) -> None:
    """A description that names an unknown step is refused in the worker, with its field."""
    release = released(tmp_path, "torchscript")
    declaration = {k: v for k, v in release.manifest.items() if k not in ("schema", "members")}
    described = dict(release.manifest["imported"])
    described["preprocessing"] = [{"kind": "denoise"}]
    members = {name: release.member(name) for name in release.members}
    raw = build({**declaration, "imported": described}, members)
    (tmp_path / "broken.osteon").write_bytes(raw)
    broken = open_release(tmp_path / "broken.osteon")
    unpack(broken, tmp_path / "releases" / folder_name(broken.digest))
    with (
        ReleaseWorkers(tmp_path / "releases") as workers,
        pytest.raises(ReleaseError, match="kind: expected one of"),
    ):
        workers.run(request_for(broken.digest), case_of(body(), CT))
