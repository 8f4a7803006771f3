"""`osteon predict-dose`: plain arrays in, a dose in Gy out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from adapters.cli.main import app
from audit.errors import ConfigurationError, InputError
from models.dose.fluence import FluenceNet, named_weights

SHAPE = (32, 36, 20)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights of a small network that leaves the quick plan as it is."""
    torch.manual_seed(0)
    network = FluenceNet((8, 8, 8))
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(named_weights(network, 0), path)
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
        *("--npz", tmp_path / "in.npz", "--output", tmp_path / "out.npy"),
        *("--weights", weights, "--outside-envelope"),
    )
    assert result.exit_code == 0, result.output
    assert "PRESCRIPTION_NOT_TRAINED: expected a highest prescription of 66 to 74 Gy" in (
        result.stderr
    )
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


BROKEN = {
    "text": "in.npz",
    "no ct": "array named ct",
    "no target": "target in the possible-dose mask",
    "shapes": "CT's shape",
    "shares": "true and false in PTV70",
    "nan mask": "true and false in PTV70",
    "nan ct": "finite numbers in ct",
    "words": "finite numbers in ct",
    "ct beyond": "-32768 to 32767",
    "nan spacing": "finite numbers in voxel_mm",
    "no spacing": "above zero",
    "other target": "found ['PTV60']",
    "target elsewhere": "target in the possible-dose mask",
    "one array": "in.npz",
}


def broken_arrays(kind: str) -> dict:
    """Return the arrays of a patient with one fault."""
    given = arrays()
    faults = {
        "shapes": {"PTV70": given["PTV70"][1:]},
        "shares": {"PTV70": given["PTV70"] * 0.3},
        "nan mask": {"PTV70": np.where(given["PTV70"], np.nan, 0)},
        "nan ct": {"ct": np.where(given["PTV70"], np.nan, given["ct"])},
        "words": {"ct": np.full(SHAPE, "0")},
        "ct beyond": {"ct": given["ct"].astype(float) * 100},
        "nan spacing": {"voxel_mm": np.asarray([4, np.nan, 3])},
        "no spacing": {"voxel_mm": np.asarray([4, 4, 0])},
        "target elsewhere": {"possible_dose_mask": ~given["PTV70"]},
        "other target": {"PTV60": given["PTV70"]},
    }
    missing = {"no ct": "ct", "no target": "PTV70"}.get(kind)
    return {
        name: array for name, array in (given | faults.get(kind, {})).items() if name != missing
    }


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_file_is_named_and_writes_nothing(
    tmp_path: Path, weights: Path, broken: str
) -> None:
    """What cannot be used is an error with the file's name and fault, and no output appears."""
    path = tmp_path / "in.npz"
    if broken == "text":
        path.write_text("not an archive")
    elif broken == "one array":
        with path.open("wb") as stream:
            np.save(stream, arrays()["ct"])
    else:
        np.savez(path, **broken_arrays(broken))
    result = run("--npz", path, "--output", tmp_path / "out.npy", "--weights", weights)
    assert result.exit_code == 1, result.output
    assert "in.npz" in result.stderr
    assert BROKEN[broken] in result.stderr
    assert not list(tmp_path.glob("out*"))


def outside(kind: str) -> dict:
    """Return the arrays of a patient that lies outside of what was trained in one way."""
    given = arrays("PTV63" if kind == "PRESCRIPTION_NOT_TRAINED" else "PTV70")
    if kind == "CT_WITHOUT_AIR":
        given["ct"] += 1000
    if kind == "TARGET_OUTSIDE_MASK":
        given["possible_dose_mask"][:, 15:] &= ~given["PTV70"][:, 15:]
    return given


@pytest.mark.parametrize(
    "code", ["PRESCRIPTION_NOT_TRAINED", "CT_WITHOUT_AIR", "TARGET_OUTSIDE_MASK"]
)
def test_a_patient_outside_is_refused_unless_asked_for(
    tmp_path: Path, weights: Path, code: str
) -> None:
    """The refusal names code, expected and found; the option writes the dose and warns."""
    np.savez(tmp_path / "in.npz", **outside(code))
    asked = ("--npz", tmp_path / "in.npz", "--output", tmp_path / "out.npy", "--weights", weights)
    refused = run(*asked)
    assert refused.exit_code == 3, refused.output
    assert f"{code}: expected" in refused.stderr
    assert ", found " in refused.stderr
    assert "--outside-envelope" in refused.stderr
    assert not list(tmp_path.glob("out*"))
    written = run(*asked, "--outside-envelope")
    assert written.exit_code == 0, written.output
    assert f"warning: in.npz lies outside: {code}" in written.stderr
    assert np.load(tmp_path / "out.npy").shape == SHAPE


def test_numbers_of_zero_and_one_are_masks(tmp_path: Path, weights: Path) -> None:
    """Masks kept as numbers give the dose of the same masks; any organ may be missing."""
    given = arrays()
    doses = []
    for name, kind in (("a", bool), ("b", np.float32)):
        np.savez(tmp_path / f"{name}.npz", **given | {"PTV70": given["PTV70"].astype(kind)})
        out = tmp_path / f"{name}.npy"
        result = run("--npz", tmp_path / f"{name}.npz", "--output", out, "--weights", weights)
        assert result.exit_code == 0, result.output
        assert "NO_ORGANS" in result.stderr
        doses.append(np.load(out))
    assert np.array_equal(*doses)


def test_beams_may_be_given_and_others_are_refused(tmp_path: Path, weights: Path) -> None:
    """It is said whether nine fields were assumed; seven fields are not what was trained."""
    asked = ("--npz", tmp_path / "in.npz", "--output", tmp_path / "out.npy", "--weights", weights)
    np.savez(tmp_path / "in.npz", **arrays())
    assert "nine fields assumed" in run(*asked).stdout
    np.savez(tmp_path / "in.npz", **arrays(), gantry_degrees=np.arange(0, 360, 40))
    assert "beams as given" in run(*asked).stdout
    np.savez(tmp_path / "in.npz", **arrays(), gantry_degrees=np.arange(0, 350, 50))
    refused = run(*asked)
    assert refused.exit_code == 3
    assert "BEAMS_NOT_TRAINED: expected nine static coplanar photon fields" in refused.stderr


def test_other_patients_of_a_folder_get_their_dose(tmp_path: Path, weights: Path) -> None:
    """One outside and one broken: both told, both left out, the rest written; exit code not 0."""
    folder = tmp_path / "in"
    folder.mkdir()
    np.savez(folder / "a.npz", **outside("PRESCRIPTION_NOT_TRAINED"))
    (folder / "b.npz").write_text("not an archive")
    np.savez(folder / "c.npz", **arrays())
    asked = ("--npz", folder, "--output", tmp_path / "out", "--weights", weights, "--json")
    result = run(*asked)
    assert result.exit_code == 1, result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.npy"]
    lines = json.loads(result.stdout)
    assert [line.get("error") for line in lines] == ["REFUSED", "INPUT", None]
    assert lines[0]["outside"][0] == {
        "code": "PRESCRIPTION_NOT_TRAINED",
        "expected": "a highest prescription of 66 to 74 Gy",
        "found": "63 Gy",
    }
    (folder / "b.npz").unlink()
    assert run(*asked).exit_code == 3


def test_what_cannot_be_predicted_costs_no_other_patient_its_dose(
    tmp_path: Path, weights: Path
) -> None:
    """A grid too large for memory is told, a target of one voxel gets a dose as the rest does."""
    folder, given = tmp_path / "in", arrays()
    folder.mkdir()
    point = np.zeros(SHAPE, bool)
    point[16, 18, 10] = True
    np.savez(folder / "a.npz", **arrays(voxel_mm=(8e4, 8e4, 8e4)))
    np.savez(folder / "b.npz", **given | {"PTV70": point, "possible_dose_mask": point})
    np.savez(folder / "c.npz", **given)
    result = run("--npz", folder, "--output", tmp_path / "out", "--weights", weights)
    assert result.exit_code == 1, result.output
    assert "cannot predict for a.npz" in result.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["b.npy", "c.npy"]


def test_a_dose_without_a_number_is_not_written(tmp_path: Path, weights: Path) -> None:
    """Weights that give no number are told of each patient."""
    np.savez(tmp_path / "in.npz", **arrays())
    broken = {name: torch.full_like(value, np.nan) for name, value in load_file(weights).items()}
    save_file(broken, tmp_path / "broken.safetensors")
    output = tmp_path / "out.npy"
    given = ("--npz", tmp_path / "in.npz", "--output", output)
    result = run(*given, "--weights", tmp_path / "broken.safetensors")
    assert result.exit_code == 1
    assert "the dose has voxels without a number" in str(result.exception) + result.output
    assert not output.exists()


def test_the_folder_of_an_output_is_made(tmp_path: Path, weights: Path) -> None:
    """One patient's dose may go to a folder that is not there yet."""
    np.savez(tmp_path / "in.npz", **arrays())
    output = tmp_path / "new" / "deep" / "out.npy"
    result = run("--npz", tmp_path / "in.npz", "--output", output, "--weights", weights)
    assert result.exit_code == 0, result.output
    assert [path.name for path in output.parent.iterdir()] == ["out.npy"]


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
