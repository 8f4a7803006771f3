"""`osteon predict-dose`: plain arrays in, a dose in Gy out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from adapters.cli.main import app
from audit.errors import ConfigurationError, InputError
from models.dose.network import DoseNet

SHAPE = (32, 36, 20)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights of a small network that leaves the quick plan as it is."""
    torch.manual_seed(0)
    network = DoseNet((16, 16, 16, 16), (1, 1, 1, 1), 8)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file({name: value.half() for name, value in network.state_dict().items()}, path)
    return path


def arrays(level: str = "PTV70", voxel_mm: tuple[float, float, float] = (4, 4, 3)) -> dict:
    """Return a water cylinder with one target."""
    row, column, slices = np.ogrid[tuple(map(slice, SHAPE))]
    body = (np.hypot(row - 16, column - 18) < 13) & (slices >= 0)
    return {
        "ct": np.where(body, 0, -1000).astype(np.int16),
        "voxel_mm": np.asarray(voxel_mm, float),
        "possible_dose_mask": body & (abs(slices - 10) < 6),
        level: (np.hypot(row - 16, column - 15) < 4) & (abs(slices - 10) < 3),
    }


def run(*arguments: object) -> object:
    """Run the command and give back what it raised."""
    return CliRunner().invoke(app, ["predict-dose", *map(str, arguments)])


def test_one_patient_gets_its_dose(tmp_path: Path, weights: Path) -> None:
    """The dose is float32, of the CT's shape, near the prescription and inside the mask only."""
    given = arrays("PTV63")
    np.savez_compressed(tmp_path / "in.npz", **given)
    result = run(
        "--npz", tmp_path / "in.npz", "--output", tmp_path / "out.npy", "--weights", weights
    )
    assert result.exit_code == 0, result.output
    dose = np.load(tmp_path / "out.npy")
    assert dose.dtype == np.float32
    assert dose.shape == SHAPE
    assert np.all(dose[~given["possible_dose_mask"]] == 0)
    assert dose[given["PTV63"]].mean() == pytest.approx(63 * 1.03, rel=0.05)
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_gives_a_file_for_each(tmp_path: Path, weights: Path) -> None:
    """Each NAME.npz has its NAME.npy, and times are told as JSON; a coarse grid is resampled."""
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "a.npz", **arrays())
    np.savez(tmp_path / "in" / "b.npz", **arrays(voxel_mm=(6, 6, 4)))
    result = run(
        *("--npz", tmp_path / "in", "--output", tmp_path / "out"),
        *("--weights", weights, "--json"),
    )
    assert result.exit_code == 0, result.output
    assert [Path(line["output"]).name for line in json.loads(result.stdout)] == ["a.npy", "b.npy"]
    other = np.load(tmp_path / "out" / "b.npy")
    assert other.shape == SHAPE
    assert other[arrays()["PTV70"]].mean() == pytest.approx(70, rel=0.08)


@pytest.mark.parametrize("broken", ["text", "no ct", "no target", "shapes"])
def test_a_broken_file_is_named_and_writes_nothing(
    tmp_path: Path, weights: Path, broken: str
) -> None:
    """What cannot be used is refused with the file's name, and no output appears."""
    path = tmp_path / "in.npz"
    given = arrays()
    if broken == "text":
        path.write_text("not an archive")
    else:
        if broken == "no ct":
            del given["ct"]
        elif broken == "no target":
            del given["PTV70"]
        else:
            given["PTV70"] = given["PTV70"][1:]
        np.savez(path, **given)
    result = run("--npz", path, "--output", tmp_path / "out.npy", "--weights", weights)
    assert isinstance(result.exception, InputError)
    assert "in.npz" in str(result.exception)
    assert not list(tmp_path.glob("out*"))


def test_missing_input_and_weights_are_told(tmp_path: Path) -> None:
    """A path that is not there and weights that are none end with a known error."""
    output = tmp_path / "out.npy"
    np.savez(tmp_path / "in.npz", **arrays())
    missing = run("--npz", tmp_path / "none.npz", "--output", output)
    assert isinstance(missing.exception, InputError)
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    wrong = run(
        *("--npz", tmp_path / "in.npz", "--output", output),
        *("--weights", tmp_path / "w.safetensors"),
    )
    assert isinstance(wrong.exception, ConfigurationError)
