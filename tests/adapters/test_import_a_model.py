"""The tour in docs/import-a-model.md works as it is written; what is faulty is refused by name."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.model_import.build import import_model
from adapters.model_import.source import open_model, read_document
from audit.errors import ModelImportError, NotFoundError
from governance.release import open_release
from models.importers import nnunet
from models.importers.source import Source
from models.importers.statement import read_statement
from tests.simulators.foreign_bundles import (
    BONE,
    Blurred,
    bundle_folder,
    bundle_statement,
    onnx_file,
    statement,
    torchscript,
)
from tests.simulators.foreign_models import dataset, nnunet_folder, plans, saved

PAGE = Path(__file__).resolve().parents[2] / "docs" / "import-a-model.md"


def test_the_page_is_followed_word_for_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every statement of the page is written, every command of it is run, in its order."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OSTEON_HOME", str(tmp_path / "home"))
    text = PAGE.read_text(encoding="utf-8")
    for name, content in re.findall(r"^```yaml (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        Path(name).write_text(content, encoding="utf-8")
    Path("limb_bone.onnx").write_bytes(onnx_file())
    nnunet_folder(tmp_path / "Dataset900_Small", plans(), dataset())
    bundle_folder(tmp_path / "bundle", Blurred(), script=True)
    lines = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(lines) == 6
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, (line, result.output, result.exception)
    names = ("limb_bone-1.0.0", "limb_nnunet-1.0.1", "limb_monai-0.3.1")
    bone, small, monai = (open_release(Path(f"{name}.osteon")) for name in names)
    assert bone.manifest["imported"]["format"] == "onnx"
    assert bone.manifest["training"][0]["patient_count"] == 120
    assert [item["name"] for item in small.manifest["outputs"]] == ["GTVp"]
    assert small.manifest["imported"]["inference"]["mirror_axes"] == []
    assert [item["name"] for item in monai.manifest["outputs"]] == ["Bone", "GTVp"]
    assert b"Never saw a child." in bone.member("card.md")
    assert b"patients: not stated" in monai.member("card.md")


def write(root: Path, document: Any) -> Path:
    """Write a statement."""
    path = root / "statement.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def script(root: Path) -> Path:
    """Write a TorchScript file."""
    path = root / "model.ts"
    if not path.exists():
        path.write_bytes(torchscript(Blurred()))
    return path


def refusal(path: Path, stated: Path | None, **options: Any) -> str:
    """Return why a model is refused, after checking that nothing was written."""
    out = path.parent / "out"
    with pytest.raises((ModelImportError, NotFoundError)) as caught:
        import_model(path, stated, out, **options)
    assert not out.exists()
    return str(caught.value)


def put(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a document with one value changed, or taken out where it is ``None``."""
    found = json.loads(json.dumps(document))
    *way, last = path.split(".")
    place: Any = found
    for key in way:
        place = place[int(key) if isinstance(place, list) else key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return dict(found)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("intended_purpose", None, "intended_purpose: expected a text, found nothing"),
        ("evidence", "hearsay", "evidence: expected one of real"),
        ("version", "1.0", "version: expected a version like 1.2.3, found 1.0"),
        ("name", "contouring", "name: expected a word like spleen_ct, other than contouring"),
        ("name", "../up", "name: expected a word like spleen_ct"),
        ("colour", "red", "colour: expected one of"),
        ("envelope", None, "envelope: expected a section, found nothing"),
        ("envelope", {}, "envelope: expected at least one limit"),
        ("envelope", {"age_years": [90, 18]}, "age_years: expected low before high"),
        ("envelope", {"weight": [1, 2]}, "envelope.weight: expected one of"),
        ("limits", {"threads": 0}, "threads: expected a number of at least 1, found 0"),
        ("training", {"patients": ["a"], "patient_count": 2}, "expected 2 patients"),
        ("inputs", None, "inputs: expected a list, found nothing"),
        ("inputs.0.modality", "US", "modality: expected one of CT, PT, MR, found US"),
        ("inputs.0.modality", "PT", "unit: expected g/ml (SUV by body weight), found nothing"),
        ("inputs.0.unit", "1", "unit: expected [hnsf'U], found 1"),
        ("inputs.0.normalise", None, "normalise: expected a section, found nothing"),
        ("inputs.0.normalise.low", None, "range: low: expected a number, found nothing"),
        ("inputs.0.normalise.low", 900, "low: expected less than high"),
        ("outputs.labels.0.code", None, "code: expected a code: {value, scheme, meaning}"),
        ("outputs.labels.0.code", {"value": "1"}, "code.scheme: expected a text"),
        ("outputs.labels.0.name", "much too long a name", "a TG-263 name"),
        ("outputs.labels.0.name", "GTVp", "different names"),
        ("outputs.labels.0.type", "BONE", "type: expected one of GTV"),
        ("outputs.labels.1.from", 3, "expected one of [1, 2] (3 channels), found [3]"),
        ("outputs.labels.1.from", "core", "from: expected a number, found core"),
        ("outputs.activation", None, "activation: expected one of softmax"),
        ("outputs.activation", "sigmoid", "threshold: expected a number"),
        ("outputs.channels", 4, "expected an array of (1, 4, 24, 20, 16), found one of (1, 3,"),
        ("preprocessing.orientation", None, "orientation: expected a text"),
        ("preprocessing.orientation", "RRS", "three letters like RAS"),
        ("preprocessing.spacing_mm", [1, 1], "spacing_mm: expected 3 numbers, found 2"),
        ("preprocessing.crop", "brain", "crop: expected one of none"),
        ("preprocessing.bias_field", True, "bias_field: expected one of"),
        ("inference", None, "patch: expected three sizes, found nothing"),
        ("inference.overlap", 1.0, "overlap: expected a number from 0 to 0.95"),
        ("inference.mirror_axes", [0, 3], "mirror_axes: expected different axes"),
        ("explanation", "guess", "explanation: expected one of"),
    ],
)
def test_a_faulty_statement_is_refused_by_its_field(
    path: str, value: Any, expected: str, tmp_path: Path
) -> None:
    """What is missing, unknown or contradicts is named, with what was expected and found."""
    stated = write(tmp_path, put(statement(), path, value))
    assert expected in refusal(script(tmp_path), stated)


def test_gradients_of_onnx_are_not_promised(tmp_path: Path) -> None:
    """Integrated gradients are refused for ONNX; occlusion is what it can have."""
    pytest.importorskip("onnx")
    (tmp_path / "m.onnx").write_bytes(onnx_file())
    stated = write(tmp_path, statement(explanation="integrated-gradients"))
    assert "occlusion or none, as ONNX has no gradients" in refusal(tmp_path / "m.onnx", stated)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (lambda: onnx_file(external=True), "weights: expected in the file itself"),
        (lambda: onnx_file(domain="org.example"), "operators: expected the standard ones"),
        (lambda: b"\x08\x01nonsense", "a valid ONNX model"),
        (lambda: b"", "ONNX"),
    ],
)
def test_a_strange_onnx_file_is_refused(content: Any, expected: str, tmp_path: Path) -> None:
    """Weights in other files, foreign operators and broken files are refused by what they are."""
    pytest.importorskip("onnx")
    (tmp_path / "m.onnx").write_bytes(content())
    assert expected in refusal(tmp_path / "m.onnx", write(tmp_path, statement()))


def test_a_pickled_module_is_no_torchscript(tmp_path: Path) -> None:
    """A whole module saved by pickle, a state dict or a text is none of the four formats."""
    stated = write(tmp_path, statement())
    for name, content in (
        ("module.pt", saved(Blurred())),
        ("state.pt", saved(Blurred().state_dict())),
        ("text.pt", b"hello"),
    ):
        (tmp_path / name).write_bytes(content)
        assert "expected" in refusal(tmp_path / name, stated)
    (tmp_path / "empty").mkdir()
    assert "one of configs/metadata.json, plans.json, found none" in refusal(
        tmp_path / "empty", stated
    )
    assert "found nothing" in refusal(tmp_path / "gone", stated)


def test_a_statement_must_be_there_and_readable(tmp_path: Path) -> None:
    """No statement, a missing file, a list or broken YAML is refused; no tag builds an object."""
    model = script(tmp_path)
    assert "expected a statement of model.ts, found none" in refusal(model, None)
    assert "found no file" in refusal(model, tmp_path / "gone.yaml")
    path = tmp_path / "bad.yaml"
    for content, expected in (
        ("- a\n- b\n", "a mapping with named keys"),
        ("a: [1\n", "a YAML document, found a fault in line"),
        ("!!python/object/apply:os.system ['true']", "a YAML document"),
    ):
        path.write_text(content)
        assert expected in refusal(model, path)
    with pytest.raises(ModelImportError, match="a JSON document"):
        read_document(b"{", "x.json")


def test_a_zip_is_read_like_its_folder(tmp_path: Path) -> None:
    """The same bundle as folder, as zip, and as zip of the folder gives the same release."""
    folder = bundle_folder(tmp_path / "bundle", Blurred(), script=True)
    (folder / "osteon-model.yaml").write_text(yaml.safe_dump(bundle_statement()))
    plain, nested = tmp_path / "plain.zip", tmp_path / "nested.zip"
    for path, root in ((plain, folder), (nested, tmp_path)):
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(root))
    digests = {
        open_release(import_model(path, None, tmp_path / str(index))).digest
        for index, path in enumerate((folder, plain, nested))
    }
    assert len(digests) == 1
    assert "found MONAI" not in str(open_model(folder).format)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    """A model's folder that links to a file elsewhere does not bring it along."""
    folder = bundle_folder(tmp_path / "bundle", Blurred(), script=True)
    (tmp_path / "secret.json").write_text("{}")
    (folder / "configs" / "secret.json").symlink_to(tmp_path / "secret.json")
    assert "configs/secret.json" not in open_model(folder).source.files
    assert "configs/metadata.json" in open_model(folder).source.documents


def nnunet_reason(tmp_path: Path, plan: Any = None, data: Any = None, **options: Any) -> str:
    """Return why an nnU-Net folder is refused."""
    stated = options.pop("stated", bundle_statement())
    folder = nnunet_folder(tmp_path / "nnunet", plans(), dataset(), **options)
    if plan is not None:
        (folder / "plans.json").write_text(json.dumps(plan))
    if data is not None:
        (folder / "dataset.json").write_text(json.dumps(data))
    with pytest.raises(ModelImportError) as caught:
        nnunet.read(open_model(folder).source, read_statement(stated))
    shutil.rmtree(folder)
    return str(caught.value)


CONFIGURATION = "configurations.3d_fullres"
ARGUMENTS = f"{CONFIGURATION}.architecture.arch_kwargs"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("configurations", {}, "expected 3d_fullres"),
        (f"{CONFIGURATION}.previous_stage", "3d_lowres", "none, no cascade"),
        (f"{CONFIGURATION}.preprocessor_name", "Other", "preprocessor_name: expected one of"),
        (f"{CONFIGURATION}.normalization_schemes", ["Magic"], "found Magic"),
        (f"{CONFIGURATION}.resampling_fn_data", "resample_torch", "found resample_torch"),
        (f"{CONFIGURATION}.spacing", [1.0], "spacing: expected 3 numbers, found 1"),
        (f"{CONFIGURATION}.patch_size", [8, 8, 8, 8], "patch_size: axes"),
        (f"{CONFIGURATION}.inherits_from", "3d_fullres", "a chain that ends, found a circle"),
        (f"{CONFIGURATION}.architecture.network_class_name", "a.SwinUNETR", "found SwinUNETR"),
        (f"{ARGUMENTS}.features_per_stage", [8, 12], "kernels: stages"),
        (f"{ARGUMENTS}.features_per_stage", [8, 12, 10**9], "features: expected a number"),
        (f"{ARGUMENTS}.features_per_stage", [8, 12, 20], "the shape"),
        (f"{ARGUMENTS}.norm_op", "torch.nn.GroupNorm", "norm_op: expected InstanceNorm or"),
        (f"{ARGUMENTS}.nonlin", "torch.nn.GELU", "nonlin: expected LeakyReLU or ReLU"),
        (f"{ARGUMENTS}.kernel_sizes", [[3, 3]] * 3, "sizes"),
        (f"{ARGUMENTS}.n_conv_per_stage", [1, 2, 3], "missing and"),
        ("image_reader_writer", "NaturalImage2DIO", "image_reader_writer: expected one of"),
        ("transpose_forward", [0, 0, 1], "the axes 0, 1, 2"),
        ("foreground_intensity_properties_per_channel", {}, "0: expected a section"),
        ("foreground_intensity_properties_per_channel.0.std", 0.0, "deviation: expected more"),
        ("label_manager", "Custom", "label_manager: expected one of LabelManager"),
    ],
)
def test_plans_that_are_not_known_are_refused(
    path: str, value: Any, expected: str, tmp_path: Path
) -> None:
    """What inference would have to guess is refused by its place in plans.json."""
    assert expected in nnunet_reason(tmp_path, plan=put(plans(), path, value))


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("labels.background", 1, "background: expected 0"),
        ("labels.bone", 3, "the values 1 to 2"),
        ("labels.bone", [1, 2], "regions_class_order: expected a list, as regions have"),
        ("labels.third", 3, "third: expected the structure of dataset.json among `labels`"),
        ("channel_names", {"0": "CT", "1": "PET"}, "2 channels as in dataset.json, found 1"),
    ],
)
def test_data_and_statement_must_agree(
    path: str, value: Any, expected: str, tmp_path: Path
) -> None:
    """What dataset.json and the statement say differently is refused by its field."""
    assert expected in nnunet_reason(tmp_path, data=put(dataset(), path, value))


def test_modality_and_normalisation_must_agree(tmp_path: Path) -> None:
    """A channel that was normalised as CT is no MR, whatever it was called."""
    stated = bundle_statement(inputs=[{"role": "mr", "modality": "MR"}])
    data = put(dataset(), "channel_names", {"0": "T1"})
    found = nnunet_reason(tmp_path, data=data, stated=stated)
    assert "expected CT (channel 'T1', CTNormalization), found MR" in found


def test_folds_must_be_one_ensemble(tmp_path: Path) -> None:
    """Missing folds, other trainers, objects in a checkpoint and strange tensors are refused."""
    stated = bundle_statement(inference={"folds": [3]})
    assert "fold_3/: expected a checkpoint" in nnunet_reason(tmp_path, stated=stated)
    stated = bundle_statement(inference={"checkpoint": "checkpoint_latest.pth"})
    assert "checkpoint_latest.pth" in nnunet_reason(tmp_path, stated=stated)
    stated = bundle_statement(preprocessing={"orientation": "RAS"})
    assert "as plans.json says it" in nnunet_reason(tmp_path, stated=stated)
    extra = {"optimizer": Path("/")}
    assert "pickled objects: pathlib" in nnunet_reason(tmp_path, extra=extra)
    assert "network_weights: expected" in nnunet_reason(tmp_path, extra={"network_weights": None})
    extra = {"network_weights": {"encoder.x": Blurred().centres.detach()}}
    assert "missing and 1 others" in nnunet_reason(tmp_path, extra=extra)
    extra = {"init_args": {"configuration": "2d"}}
    assert "configurations: expected 2d, found 3d_fullres" in nnunet_reason(tmp_path, extra=extra)


def test_old_plans_state_the_same_network(tmp_path: Path) -> None:
    """Plans from before nnU-Net 2.4 give the same description as new ones of the same network."""
    new = plans()
    old = json.loads(json.dumps(new))
    configuration = old["configurations"]["3d_fullres"]
    arguments = configuration.pop("architecture")["arch_kwargs"]
    arguments["features_per_stage"] = [8, 16, 16]
    configuration |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 8,
        "unet_max_num_features": 16,
        "n_conv_per_stage_encoder": arguments["n_conv_per_stage"],
        "n_conv_per_stage_decoder": arguments["n_conv_per_stage_decoder"],
        "conv_kernel_sizes": arguments["kernel_sizes"],
        "pool_op_kernel_sizes": arguments["strides"],
    }
    new["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"] = arguments
    found = []
    for name, plan in (("old", old), ("new", new)):
        folder = nnunet_folder(tmp_path / name, plan, dataset())
        found.append(nnunet.read(open_model(folder).source, read_statement(bundle_statement())))
    assert found[0].description == found[1].description


def test_a_missing_document_is_named() -> None:
    """A folder without dataset.json says so."""
    source = Source({}, {"plans.json": plans()})
    with pytest.raises(ModelImportError, match=r"dataset\.json: expected a JSON or YAML document"):
        nnunet.read(source, read_statement(bundle_statement()))


def test_codes_may_be_numbers_in_yaml() -> None:
    """A SNOMED code without quotes is a number to YAML, and a text to the suite."""
    document = bundle_statement()
    document["outputs"]["labels"][0]["code"] = {**BONE, "value": 272673000}
    assert read_statement(document).labels[0][1].code.value == "272673000"
