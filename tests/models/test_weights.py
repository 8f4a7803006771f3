"""The committed weights: size, digests, and who was trained on whom."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from models.contouring.contour import contour_case
from models.contouring.ensemble import Ensemble, members_unseen
from models.contouring.uncertainty import Calibration
from models.training.contouring.cases import Case
from models.training.contouring.metrics import dsc
from models.weights.store import (
    FOLDER,
    PLUGINS,
    check_weights,
    read_index,
    store_role,
    weight_paths,
)


def test_every_file_has_its_digest_and_is_small() -> None:
    """Each file in the index has the digest it names and stays below 15 MB."""
    entries = read_index()
    assert entries
    for entry in entries:
        check_weights(entry)


def test_every_training_patient_has_one_unseen_member() -> None:
    """The five members each left a fifth of the 34 patients out, and the index agrees."""
    ensemble = Ensemble.load(weight_paths("contouring"))
    patients = frozenset().union(*ensemble.trained_on)
    assert len(ensemble.networks) == 5
    assert len(patients) == 34
    for patient in patients:
        assert len(members_unseen(ensemble.trained_on, patient)) == 1
    entries = [entry for entry in read_index() if entry.role == "contouring"]
    assert [frozenset(entry.trained_on) for entry in entries] == list(ensemble.trained_on)


def test_the_calibration_covers_both_modality_sets() -> None:
    """The committed calibration knows CT with PET and CT alone, the latter no surer."""
    sets = Calibration.load().modality_sets
    assert set(sets) == {"ct", "ct+pet"}
    assert sets["ct"].dsc_margin >= sets["ct+pet"].dsc_margin


def test_the_committed_ensemble_contours_a_made_up_tumour(toy_case: Case) -> None:
    """A plain avid ellipsoid in a limb is found, with a DSC of 0.7 or more."""
    ensemble = Ensemble.load(weight_paths("contouring"))
    contour = contour_case(
        ensemble, toy_case.ct_hu, toy_case.ct_grid, toy_case.pet_suv, toy_case.pet_grid
    )
    assert dsc(contour.mask, toy_case.gtv) >= 0.7


def test_a_changed_file_is_found_out(tmp_path: Path) -> None:
    """A flipped byte is noticed, and files that nothing names are removed."""
    (entry,) = store_role("toy", [(b"abc", 0, "sha256:0", ["A"])], "made up", "none", tmp_path)
    check_weights(entry, tmp_path)
    assert weight_paths("toy", tmp_path) == (tmp_path / entry.file,)
    (tmp_path / entry.file).write_bytes(b"abd")
    with pytest.raises(ValueError, match="digest"):
        check_weights(entry, tmp_path)
    store_role("toy", [(b"xyz", 0, "sha256:0", ["A"])], "made up", "none", tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    with pytest.raises(ValueError, match="role"):
        weight_paths("other", tmp_path)
    assert np.array_equal(read_index(tmp_path / "nowhere"), ())


def test_what_a_published_release_names_is_kept(tmp_path: Path) -> None:
    """A role that is trained anew takes nothing from a version that was published before."""
    folder, plugins = tmp_path / "weights", tmp_path / "plugins"
    folder.mkdir()
    release = plugins / "toy" / "releases" / "1.0.0"
    release.mkdir(parents=True)

    def store(content: bytes) -> str:
        row = (content, 0, "sha256:0", ["A"])
        (entry,) = store_role("toy", [row], "made up", "none", folder, plugins)
        return entry.file

    frozen = store(b"abc")
    (release / "manifest.json").write_text(json.dumps({"weights": [frozen]}))
    between = store(b"def")
    newest = store(b"xyz")
    assert {path.name for path in folder.glob("*.safetensors")} == {frozen, newest}
    assert between not in {frozen, newest}
    (release / "manifest.json").write_text("not JSON")
    with pytest.raises(ValueError, match="Expecting value"):
        store(b"other")
    assert {path.name for path in folder.glob("*.safetensors")} == {frozen, newest}


def test_every_published_release_has_its_weights() -> None:
    """The files that frozen manifests name lie here, with the content of their name."""
    for path in PLUGINS.glob("*/releases/*/manifest.json"):
        for name in json.loads(path.read_text("utf-8"))["weights"]:
            content = (FOLDER / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == name.removesuffix(".safetensors")
