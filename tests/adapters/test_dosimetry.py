"""The physicist's commands on real RT objects, and geometry that turns with the patient."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from adapters.rt.dosimetry import (
    FRAMES_DIFFER,
    GRID_SMALLER,
    PATIENTS_DIFFER,
    compare_doses,
    pass_rate_percent,
    region_histograms,
)
from audit.errors import GeometryError, InputError
from models.physics.dose_metrics import DoseMetric
from models.physics.gamma import GammaCriteria
from plugins.host.images import Contour, Geometry, RegionOfInterest, Volume
from tests.simulators.given_data import folder_of


def _osteon(*words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("osteon")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


def _dose(array: np.ndarray, turn: np.ndarray, frame: str = "1.2.3") -> Volume:
    """Return a dose whose axes and origin are turned."""
    axes = tuple(tuple(float(v) for v in turn @ axis) for axis in np.eye(3)[::-1])
    origin = tuple(float(v) for v in turn @ np.array([-50.0, -50.0, -40.0]))
    geometry = Geometry(array.shape, (2.0, 2.5, 2.5), origin, axes, frame)  # type: ignore[arg-type]
    return Volume(array.astype(np.float32), geometry, "RTDOSE", "Gy", "1.1", "1.2", "1.3", ("1.4",))


def _turned(degrees: float) -> np.ndarray:
    """Return a rotation about an axis that is no patient axis."""
    x, y, z = np.array([1.0, 2.0, 3.0]) / math.sqrt(14)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = math.radians(degrees)
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


def _ball(turn: np.ndarray) -> RegionOfInterest:
    """Return the contours of a sphere of 15 mm, its planes turned."""
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    contours = []
    for z in np.arange(-13.5, 14, 3.0):
        r = math.sqrt(15**2 - z**2)
        ring = np.stack([r * np.cos(angle), r * np.sin(angle), np.full(200, z)], axis=1)
        contours.append(Contour(ring @ turn.T))
    return RegionOfInterest(1, "ball", "PTV", tuple(contours))


def _slope() -> np.ndarray:
    z, y, x = np.mgrid[:41, :41, :41]
    return 20.0 + 0.2 * (2.0 * z - 40) + 0.1 * (2.5 * y - 50) + 0 * x


@pytest.mark.parametrize("degrees", [0.0, 35.0, 170.0])
def test_a_region_turns_with_its_dose(degrees: float) -> None:
    """Turned together, contours and dose give the figures of the sphere."""
    turn = _turned(degrees)
    found = region_histograms([_ball(turn)], _dose(_slope(), turn))["ball"]
    assert found.total_mm3 == pytest.approx(4 / 3 * math.pi * 15**3, rel=2e-3)
    assert found.mean_gy == pytest.approx(20.0, abs=0.02)
    swing = 15 * math.hypot(0.2, 0.1)
    assert found.most_gy == pytest.approx(20 + swing, abs=0.15)


@pytest.mark.parametrize("degrees", [0.0, 35.0])
def test_gamma_turns_with_both_doses(degrees: float) -> None:
    """A dose on a turned grid compared with itself on an unturned one passes wherever both are."""
    turn = _turned(degrees)
    reference, evaluated = (
        _dose(np.full((9, 9, 9), 10.0), turn),
        _dose(np.full((41, 41, 41), 10.0), turn),
    )
    result = compare_doses(reference, evaluated, GammaCriteria(3, 3))
    assert pass_rate_percent(result.sampled) == pass_rate_percent(result.true) == 100.0
    assert result.notes == ()
    shifted = _dose(np.full((41, 41, 41), 10.6), turn, "9.9")
    result = compare_doses(reference, shifted, GammaCriteria(3, 3))
    assert np.nanmax(np.abs(result.true - 2.0)) < 1e-5
    assert result.notes == (FRAMES_DIFFER,)


def test_points_outside_the_evaluated_grid_are_counted() -> None:
    """An evaluated grid of half the planes is said; one elsewhere is no comparison."""
    whole = _dose(np.full((10, 9, 9), 10.0), np.eye(3))
    result = compare_doses(whole, _dose(np.full((5, 9, 9), 10.0), np.eye(3)), GammaCriteria(3, 1))
    assert (result.judged_count, result.outside_count) == (10 * 81, 5 * 81)
    assert result.notes == (GRID_SMALLER,)
    assert result.normalisation_gy == 10.0
    away = replace(whole, geometry=replace(whole.geometry, origin_mm=(900.0, 0.0, 0.0)))
    with pytest.raises(GeometryError, match="overlap"):
        compare_doses(whole, away, GammaCriteria(3, 1))
    plane = _dose(np.full((1, 9, 9), 10.0), np.eye(3))
    assert compare_doses(whole, plane, GammaCriteria(3, 1)).outside_count == 0


def test_two_regions_of_one_name_are_no_dictionary() -> None:
    """The second would take the place of the first unseen."""
    with pytest.raises(InputError, match="one name"):
        region_histograms([_ball(np.eye(3))] * 2, _dose(_slope(), np.eye(3)))


def test_a_plane_across_the_reference_is_refused() -> None:
    """A single evaluated plane that cuts through the reference planes is no comparison."""
    plane = _dose(np.full((1, 41, 41), 10.0), _turned(40.0))
    with pytest.raises(GeometryError, match="parallel"):
        compare_doses(_dose(np.full((9, 9, 9), 10.0), np.eye(3)), plane, GammaCriteria(3, 3))


def test_a_reference_without_dose_is_refused() -> None:
    """Nothing can be judged against nothing."""
    empty = _dose(np.zeros((3, 3, 3)), np.eye(3))
    with pytest.raises(InputError, match="dose"):
        compare_doses(empty, empty, GammaCriteria(3, 3))


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("D95%", "Gy"), ("D0.1cc", "Gy"), ("V20Gy", "%"), ("V20.5Gy[cc]", "cm3"),
        ("Mean", "Gy"), ("gEUD(-10)", "Gy"),
    ],
)  # fmt: skip
def test_figures_are_known_by_name(name: str, units: str) -> None:
    """Each form has its unit and a value on a real histogram."""
    metric = DoseMetric.parse(name)
    assert metric.units == units
    assert metric.of(region_histograms([_ball(np.eye(3))], _dose(_slope(), np.eye(3)))["ball"]) > 0


@pytest.mark.parametrize("name", ["D150%", "V20", "gEUD(0)", "mean", "", "D-1%"])
def test_unknown_figures_are_refused(name: str) -> None:
    """A figure that is not understood is refused with the forms that are."""
    with pytest.raises(ValueError, match="expected a figure like"):
        DoseMetric.parse(name)


def test_agnew_and_mcgarry(tmp_path: Path) -> None:
    """The published pair passes 93.6 % at 1 %, 1 mm, local, cutoff 20 %, within 0.2 points."""
    with zipfile.ZipFile(folder_of("gamma_agnew_mcgarry") / "images.zip") as archive:
        archive.extractall(tmp_path)
    picture = tmp_path / "gamma.png"
    doses = (str(tmp_path / f"H&N_VMAT_{kind}_1mmPx.dcm") for kind in ("Reference", "Evaluated"))
    done = _osteon(
        "gamma", *doses,
        "--dose-percent", "1", "--distance-mm", "1", "--local", "--cutoff-percent", "20",
        "--png", str(picture), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["pass_rate_percent"] == pytest.approx(93.6, abs=0.2)
    assert document["pass_rate_percent"] < document["true_minimum"]["pass_rate_percent"] < 94.2
    assert document["dimensions"] == 2
    assert sum(document["histogram"]["counts"]) == document["judged_points"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_histograms_and_contours_of_a_real_plan(tmp_path: Path) -> None:
    """Regions of a real case: doses in the order that plans ask for, contours equal themselves."""
    with zipfile.ZipFile(folder_of("openkbp_dicom") / "pt_1.zip") as archive:
        for name in ("RS.dcm", "RD.dcm"):
            (tmp_path / name).write_bytes(archive.read(name))
    structures, dose = tmp_path / "RS.dcm", tmp_path / "RD.dcm"
    done = _osteon("dvh", "--rtstruct", str(structures), "--rtdose", str(dose), "--json")
    assert done.returncode == 0, done.stderr
    regions = {row["name"]: row for row in json.loads(done.stdout)["regions"]}
    doses = [regions[name]["metrics"]["D95%"]["value"] for name in ("PTV56", "PTV63", "PTV70")]
    assert doses == sorted(doses)
    same = _osteon("compare-contours", str(structures), str(structures), "--json")
    rows = json.loads(same.stdout)["regions"]
    assert len(rows) == len(regions)
    assert {(row["dsc"], row["surface_dice"], row["hd95_mm"]) for row in rows} == {(1.0, 1.0, 0.0)}
    for row in rows:
        assert row["volume_ml"] == pytest.approx(regions[row["name"]]["volume_ml"], rel=0.03)


def _changed(folder: Path, name: str, change: Callable[[pydicom.Dataset], None]) -> str:
    """Write a changed copy of a real structure set and return where."""
    with zipfile.ZipFile(folder_of("openkbp_dicom") / "pt_1.zip") as archive:
        dataset = pydicom.dcmread(io.BytesIO(archive.read("RS.dcm")))
    change(dataset)
    dataset.save_as(folder / name)
    return str(folder / name)


def test_nothing_of_a_structure_set_is_lost_unseen(tmp_path: Path) -> None:
    """Regions of one name, without area, of another patient or frame: each is said."""
    with zipfile.ZipFile(folder_of("openkbp_dicom") / "pt_1.zip") as archive:
        (tmp_path / "RD.dcm").write_bytes(archive.read("RD.dcm"))
    dose = str(tmp_path / "RD.dcm")

    def twice(dataset: pydicom.Dataset) -> None:
        dataset.PatientID = "ANOTHER"
        dataset.StructureSetROISequence[1].ROIName = "BRAINSTEM "
        del dataset.ROIContourSequence[2].ContourSequence

    def elsewhere(dataset: pydicom.Dataset) -> None:
        for item in dataset.StructureSetROISequence:
            item.ReferencedFrameOfReferenceUID = "1.2.3"
        for item in dataset.ReferencedFrameOfReferenceSequence:
            item.FrameOfReferenceUID = "1.2.3"

    def renamed(dataset: pydicom.Dataset) -> None:
        for item in dataset.StructureSetROISequence:
            item.ROIName = f"other {item.ROINumber}"

    plain = _changed(tmp_path, "plain.dcm", lambda _: None)
    odd = _changed(tmp_path, "odd.dcm", twice)
    found = json.loads(_osteon("dvh", "--rtstruct", odd, "--rtdose", dose, "--json").stdout)
    names = [row["name"] for row in found["regions"]]
    assert names[:2] == ["Brainstem (ROI 1)", "BRAINSTEM (ROI 2)"]
    assert len({row["volume_ml"] for row in found["regions"][:2]}) == 2
    assert [item["name"] for item in found["not_measured"]] == ["RightParotid"]
    assert found["notes"] == [PATIENTS_DIFFER]
    pair = json.loads(_osteon("compare-contours", odd, plain, "--json").stdout)
    assert [item["name"] for item in pair["not_measured"]] == ["Brainstem", "RightParotid"]
    assert pair["only_second"] == ["SpinalCord"]
    assert pair["notes"] == [PATIENTS_DIFFER]
    other = _changed(tmp_path, "elsewhere.dcm", elsewhere)
    for words in (("dvh", "--rtstruct", other, "--rtdose", dose), ("compare-contours", other, odd)):
        done = _osteon(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("INPUT_GEOMETRY: expected objects of one frame")
    done = _osteon("compare-contours", _changed(tmp_path, "names.dcm", renamed), plain, "--json")
    assert (done.returncode, json.loads(done.stdout)["regions"]) == (3, [])


def test_a_wrong_option_is_answered_with_the_help_of_its_command(tmp_path: Path) -> None:
    """The hint names the command's help and no configuration, which these commands have not."""
    none = str(tmp_path / "none.dcm")
    for words in (
        ("gamma", none, none, "--distance-mm", "-1"),
        ("dvh", "--rtstruct", none, "--rtdose", none, "--metric", "D95x"),
        ("compare-contours", none, none, "--tolerance-mm", "0"),
    ):
        done = _osteon(*words)
        assert done.returncode == 1
        assert f"what to do: Correct the option; `osteon {words[0]} --help`" in done.stderr
        assert "config check" not in done.stderr


def test_wrong_files_are_named(tmp_path: Path) -> None:
    """A file that is missing, no DICOM, or of another kind ends with exit code 1 and a reason."""
    text = tmp_path / "text.dcm"
    text.write_text("no DICOM")
    for words, code in (
        (("gamma", str(tmp_path / "none"), str(text)), "INPUT"),
        (("gamma", str(text), str(text)), "INPUT_NOT_DICOM"),
        (("gamma", str(text), str(text), "--dose-percent", "0"), "CONFIGURATION"),
        (("compare-contours", str(text), str(text)), "INPUT_NOT_DICOM"),
    ):
        done = _osteon(*words)
        assert done.returncode == 1
        assert done.stderr.startswith(code), done.stderr
