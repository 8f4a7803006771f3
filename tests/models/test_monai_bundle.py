"""An imported MONAI bundle answers as MONAI's own transforms and inferer do."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audit.errors import ModelImportError
from models.importers import segment as path
from models.importers.monai_bundle import read
from models.importers.networks.runner import load
from models.importers.source import Imported, Source
from models.importers.statement import read_statement
from tests.simulators.foreign_bundles import (
    Blurred,
    bundle_folder,
    bundle_statement,
    inference,
    metadata,
    monai_network,
)
from tests.simulators.foreign_models import AXES, SPACING, body

pytest.importorskip("monai")


def source_of(folder: Path) -> Source:
    """Return the files and documents of a bundle's folder."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    documents = {n: json.loads(c) for n, c in files.items() if n.endswith(".json")}
    return Source(files, documents)


def imported(folder: Path, **changes: Any) -> Imported:
    """Return the bundle as a release would carry it."""
    return read(source_of(folder), read_statement(bundle_statement(**changes)))


def ours(model: Imported, image: np.ndarray) -> path.Segmented:
    """Return the suite's answer."""
    network = model.description.network
    runner = load(network, [model.weights[name] for name in network.files])
    return path.segment(model.description, runner, image, SPACING, AXES)


def theirs(folder: Path, image: np.ndarray, network: torch.nn.Module) -> np.ndarray:
    """Return the label map of MONAI: its parser, transforms, inferer and inversion."""
    from monai.bundle import ConfigParser
    from monai.data import MetaTensor
    from monai.transforms import Compose

    config = json.loads((folder / "configs" / "inference.json").read_text())
    config["imports"] = ["$import torch"]
    parser = ConfigParser(config)
    parser.parse()
    before = parser.get_parsed_content("preprocessing").transforms[2:]
    after = parser.get_parsed_content("postprocessing").transforms[:-1]
    # NIfTI order (x, y, z), affine in RAS millimetres, x and y growing to L and P
    affine = np.diag([-SPACING[2], -SPACING[1], SPACING[0], 1.0])
    data = {"image": MetaTensor(torch.from_numpy(image.transpose(0, 3, 2, 1).copy()), affine)}
    preprocessing = Compose(before)
    data = preprocessing(data)
    inferer = parser.get_parsed_content("inferer")
    with torch.inference_mode():
        data["pred"] = inferer(data["image"][None], network)[0]
    for transform in after:
        if hasattr(transform, "transform"):
            transform.transform = preprocessing
        data = transform(data)
    return np.asarray(data["pred"][0]).transpose(2, 1, 0).astype(int)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Dice similarity coefficient of two masks."""
    return 2.0 * int((one & other).sum()) / (int(one.sum()) + int(other.sum()))


def changed(name: str, **values: Any) -> dict[str, Any]:
    """Return the preprocessing with one transform changed."""
    found = inference()["preprocessing"]
    for item in found["transforms"]:
        if item["_target_"] == name:
            item.update(values)
    return {"preprocessing": found}


def inserted(position: int, **transform: Any) -> dict[str, Any]:
    """Return the preprocessing with one transform more."""
    found = inference()["preprocessing"]
    found["transforms"].insert(position, {"keys": "image", **transform})
    return {"preprocessing": found}


CASES: dict[str, dict[str, Any]] = {
    "as_is": {},
    "coarser": changed("Spacingd", pixdim=[2.3, 1.9, 4.0]),
    "finer": changed("Spacingd", pixdim=[1.0, 1.0, 1.5]),
    "own_spacing_kept": changed("Spacingd", pixdim=[1.2, 1.2, -1.0]),
    "another_orientation": changed("Orientationd", axcodes="PLI"),
    "foreground": inserted(4, _target_="CropForegroundd", source_key="image"),
    "constant_windows": {
        "inferer": {**inference()["inferer"], "mode": "constant", "overlap": 0.25}
    },
}


@pytest.mark.parametrize("name", CASES)
def test_label_maps_are_those_of_monai(name: str, tmp_path: Path) -> None:
    """The same bundle and image give the same structures, but for single rounded voxels."""
    network = Blurred()
    folder = bundle_folder(tmp_path, network, script=True, **CASES[name])
    image = body()
    answer = ours(imported(folder), image)
    labels = theirs(folder, image, network)
    for label, value in (("Bone", 1), ("GTVp", 2)):
        assert (labels == value).sum() > 500
        assert dice(answer.masks[label], labels == value) > 0.9995
    mine = answer.masks["Bone"] + 2 * answer.masks["GTVp"]
    assert np.mean(mine != labels) < 1e-4


def test_a_state_dict_becomes_an_exported_program(tmp_path: Path) -> None:
    """MONAI's network with its weights runs without MONAI, without a pickle, and alike."""
    network = monai_network()
    folder = bundle_folder(tmp_path, network)
    model = imported(folder)
    assert model.description.network.kind == "exported"
    (content,) = model.weights.values()
    with zipfile.ZipFile(BytesIO(content)) as archive:
        assert not [e.filename for e in archive.infolist() if e.filename.endswith(".pkl")]
        assert [e.file_size for e in archive.infolist() if e.filename.endswith(".pt")] in ([], [0])
        text = b"".join(archive.read(entry) for entry in archive.infolist())
    assert b"site-packages" not in text
    assert b"stack_trace" not in text
    labels = theirs(folder, body(), network)
    answer = ours(model, body())
    assert (labels == 1).sum() > 500
    assert dice(answer.masks["Bone"], labels == 1) > 0.9995
    assert dice(answer.masks["GTVp"], labels == 2) > 0.9995
    assert imported(folder).weights == model.weights


def refused(folder: Path, **changes: Any) -> str:
    """Return why a bundle is refused."""
    with pytest.raises(ModelImportError) as caught:
        imported(folder, **changes)
    return str(caught.value)


def broken(**changes: Any) -> Source:
    """Return a source whose metadata or inference is changed."""
    documents = {
        "configs/metadata.json": changes.get("metadata", metadata()),
        "configs/inference.json": changes.get("inference", inference()),
    }
    return Source({"models/model.ts": b""}, documents)


def reasons(source: Source, **changes: Any) -> str:
    """Return why a source is refused."""
    with pytest.raises(ModelImportError) as caught:
        read(source, read_statement(bundle_statement(**changes)))
    return str(caught.value)


def test_expressions_are_never_run(tmp_path: Path) -> None:
    """A Python expression where a value is needed is refused, with its place, and not run."""
    trap = tmp_path / "trap"
    code = f"$__import__('pathlib').Path({str(trap)!r}).touch()"
    for place, document in (
        ("inferer::overlap", inference(inferer={**inference()["inferer"], "overlap": code})),
        ("::pixdim", inference(**changed("Spacingd", pixdim=code))),
        ("inferer", inference(inferer=code)),
    ):
        found = reasons(broken(inference=document))
        assert place in found
        assert "an expression" in found
    network = {"_target_": "UNet", **inference()["network_def"], "channels": code}
    folder = bundle_folder(tmp_path / "bundle", Blurred(), network_def=network)
    assert "network_def::channels" in refused(folder)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (inserted(4, _target_="GaussianSmoothd"), "found GaussianSmoothd"),
        (inserted(4, _target_="NormalizeIntensityd", subtrahend=3), "subtrahend"),
        (inserted(4, _target_="CropForegroundd", source_key="label"), "source_key: expected image"),
        (changed("Spacingd", mode="nearest"), "mode: expected bilinear, found nearest"),
        (changed("Spacingd", pixdim=[1, 1]), "pixdim: expected 3 numbers, found 2"),
        (changed("Spacingd", diagonal=True), "diagonal: expected False, found True"),
        (changed("ScaleIntensityRanged", a_max=None), "a_max: expected a number, found nothing"),
        (changed("ScaleIntensityRanged", a_max=-90), "less than high"),
        (changed("Orientationd", axcodes="RAX"), "three letters like RAS"),
        (changed("Orientationd", axcodes="RLS"), "three letters like RAS"),
        ({"inferer": {"_target_": "SimpleInferer"}}, "expected SlidingWindowInferer"),
        ({"inferer": {"_target_": "SlidingWindowInferer"}}, "roi_size: expected a list"),
        ({"inferer": {**inference()["inferer"], "roi_size": [8, 8]}}, "three sizes, found 2"),
        ({"inferer": {**inference()["inferer"], "overlap": 1.0}}, "from 0 to 0.95"),
        ({"inferer": {**inference()["inferer"], "cval": -1}}, "cval: expected 0.0, found -1"),
        ({"inferer": "@nowhere"}, "@nowhere"),
        ({"inferer": "@inferer"}, "a circle"),
        ({"postprocessing": {"_target_": "Compose", "transforms": []}}, "expected AsDiscreted"),
        ({"preprocessing": {"_target_": "Sequential"}}, "expected Compose, found Sequential"),
    ],
)
def test_what_is_not_done_alike_is_refused(document: dict[str, Any], expected: str) -> None:
    """A transform, an argument or a reference that is not known is refused by its place."""
    assert expected in reasons(broken(inference=inference(**document)))


@pytest.mark.parametrize(
    ("postprocessing", "expected"),
    [
        ([("Activationsd", {"softmax": True, "sigmoid": True})], "softmax or sigmoid"),
        ([("AsDiscreted", {"argmax": True}), ("Invertd", {})], "Invertd before AsDiscreted"),
        ([("Invertd", {"nearest_interp": True})], "nearest_interp: expected false, found true"),
        ([("AsDiscreted", {"argmax": True, "threshold": 0.5})], "argmax, or a threshold"),
        ([("FillHolesd", {})], "found FillHolesd"),
    ],
)
def test_postprocessing_that_is_not_known_is_refused(
    postprocessing: list[tuple[str, dict[str, Any]]], expected: str
) -> None:
    """Labels are decided after the way back, on probabilities, in one of two ways."""
    items = [{"_target_": name, "keys": "pred", **values} for name, values in postprocessing]
    document = inference(postprocessing={"_target_": "Compose", "transforms": items})
    assert expected in reasons(broken(inference=document))


def test_metadata_and_statement_must_agree() -> None:
    """Channels, modality, structures: what the two say differently is refused by its field."""
    document = metadata()
    formats = document["network_data_format"]
    two = {"role": "pet", "modality": "PT", "unit": "g/ml"}
    assert "1 channels as in metadata.json, found 2" in reasons(
        broken(), inputs=[{"role": "ct", "modality": "CT"}, two]
    )
    assert "expected CT as in metadata.json, found MR" in reasons(
        broken(), inputs=[{"role": "mr", "modality": "MR"}]
    )
    bone = bundle_statement()["outputs"]["labels"][:1]
    assert "tumour: expected the structure" in reasons(broken(), outputs={"labels": bone})
    assert "spleen: expected a structure" in reasons(
        broken(), outputs={"labels": [{**bone[0], "from": "spleen"}], "ignored": ["tumour"]}
    )
    assert "found both" in reasons(
        broken(), outputs={"labels": bone, "ignored": ["bone", "tumour"]}
    )
    formats["outputs"]["pred"]["channel_def"].pop("2")
    assert "the channels 0 to 2, found 0, 1" in reasons(broken(metadata=document))
    del formats["inputs"]["image"]["num_channels"]
    assert "num_channels: expected a number" in reasons(broken(metadata=document))
    del document["network_data_format"]
    assert "network_data_format: expected a section, found nothing" in reasons(
        broken(metadata=document)
    )


def test_orientation_is_stated_once() -> None:
    """Without an orientation in the bundle the statement gives it, else it may not."""
    stated = {"preprocessing": {"orientation": "RAS"}}
    assert "as the bundle has one" in reasons(broken(), **stated)
    document = inference()
    del document["preprocessing"]["transforms"][2]
    source = broken(inference=document)
    assert "expected Orientationd, or an orientation" in reasons(source)
    model = read(source, read_statement(bundle_statement(**stated)))
    assert model.description.preprocessing[0].kind == "orient"


def test_a_pickle_beyond_tensors_is_refused_by_name(tmp_path: Path) -> None:
    """A model.pt that names another object is refused before anything of it runs."""

    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            import os

            return os.system, (f"touch {tmp_path / 'trap'}",)

    folder = bundle_folder(tmp_path / "bundle", Blurred())
    torch.save({"state_dict": Trap()}, folder / "models" / "model.pt")
    found = refused(folder)
    assert "models/model.pt: expected tensors and plain values only" in found
    assert "posix.system" in found
    assert not (tmp_path / "trap").exists()
    torch.save({"state_dict": {"a": torch.ones(1), "b": 3}}, folder / "models" / "model.pt")
    assert "models/model.pt: b: expected a tensor, found int" in refused(folder)
    (folder / "models" / "model.pt").write_bytes(b"\x80\x04N.")
    assert "a torch checkpoint" in refused(folder)
    torch.save(Blurred().state_dict(), folder / "models" / "model.pt")
    assert "tensors of network_def" in refused(folder)
    (folder / "models" / "model.pt").unlink()
    assert "models/model.pt: expected a file, found no such file" in refused(folder)


def test_a_network_is_one_of_monai(tmp_path: Path) -> None:
    """A class of another module, or none, is not built."""
    for target in ("os.system", "torch.nn.Conv3d", "monai.networks.nets.unet", "Nothing"):
        folder = bundle_folder(
            tmp_path / target, Blurred(), network_def={"_target_": target, "command": "true"}
        )
        assert "a class of monai.networks.nets" in refused(folder)
    wrong = {"_target_": "UNet", "spatial_dims": 3}
    folder = bundle_folder(tmp_path / "wrong", Blurred(), network_def=wrong)
    assert "arguments of UNet" in refused(folder)
