"""The RT Dose comes back as the dose that it was made from, in every reader."""

import io
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from adapters.rt.equipment import encode
from adapters.rt.read_dose import read_dose
from adapters.rt.write_dose import MARK, DoseObject, write_dose
from audit.errors import PluginOutputError
from models.physics.dvh import DoseVolumeHistogram
from tests.simulators.dicom_validators import dciodvfy_errors, program
from tests.simulators.limb_case import context_for, headers_for, oblique

SHAPE = (5, 9, 8)
STRUCTURE_SET, PLAN = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"


def dose_of(tilt_deg=0.0, plan=None):
    """Return a dose up to 71.3 Gy on a tilted grid, with one histogram."""
    values = np.random.default_rng(2).random(SHAPE, dtype=np.float32) * np.float32(71.3)
    values[0] = 0
    held = DoseVolumeHistogram(np.asarray([500.0, 250.0, 0.0, 250.0]), 20.0, 1.0, 71.3, 22.0, 0.0)
    return DoseObject(values, oblique(SHAPE, tilt_deg), STRUCTURE_SET, plan, ((3, held),))


def written(dose):
    """Return the object as bytes."""
    return encode(write_dose(context_for(headers_for(dose.geometry)), dose))


@pytest.mark.parametrize("tilt_deg", [0.0, 20.0, -33.0])
def test_the_dose_comes_back_in_its_place(tilt_deg):
    """Dose, grid and units survive writing and reading, on oblique grids too."""
    dose = dose_of(tilt_deg)
    volume, _ = read_dose(written(dose))
    assert volume.units == "Gy"
    assert np.abs(volume.array - dose.dose_gy).max() < 1e-5
    assert np.allclose(volume.geometry.affine(), dose.geometry.affine(), atol=1e-5)


def test_it_says_that_it_is_predicted_wherever_a_system_shows_it():
    """Description and comment carry the mark; type, units and references are as decided."""
    dataset = pydicom.dcmread(io.BytesIO(written(dose_of(plan=PLAN))))
    assert MARK in dataset.DoseComment
    assert "predicted dose" in dataset.SeriesDescription
    assert (dataset.DoseType, dataset.DoseUnits) == ("PHYSICAL", "GY")
    assert dataset.DoseSummationType == "PLAN"
    assert dataset.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == PLAN
    alone = pydicom.dcmread(io.BytesIO(written(dose_of())))
    assert alone.DoseSummationType == "PLAN_OVERVIEW"
    assert "ReferencedRTPlanSequence" not in alone


def test_the_histogram_is_cumulative_in_cubic_centimetres():
    """The first pair holds the whole volume, the last the hottest bin."""
    item = pydicom.dcmread(io.BytesIO(written(dose_of()))).DVHSequence[0]
    data = np.asarray(item.DVHData, float).reshape(-1, 2)
    assert np.allclose(data, [[20, 1.0], [20, 0.5], [20, 0.25], [20, 0.25]])
    assert item.DVHNumberOfBins == 4
    assert item.DVHReferencedROISequence[0].ReferencedROINumber == 3


@pytest.mark.parametrize("plan", [None, PLAN])
def test_dciodvfy_finds_no_error(tmp_path: Path, plan: str | None):
    """The validator of dicom3tools has nothing to say about it."""
    path = tmp_path / "dose.dcm"
    path.write_bytes(written(dose_of(plan=plan)))
    assert dciodvfy_errors(path) == []


def test_dciodvfy_finds_what_is_missing(tmp_path: Path):
    """It does look at an RT Dose: one without the kind of its dose is no RT Dose."""
    dataset = pydicom.dcmread(io.BytesIO(written(dose_of())))
    del dataset.DoseType
    dataset.save_as(tmp_path / "dose.dcm")
    assert any("DoseType" in line for line in dciodvfy_errors(tmp_path / "dose.dcm"))


def test_plastimatch_reads_the_same_dose(tmp_path: Path):
    """Another reader finds each voxel within 1e-3 Gy."""
    import SimpleITK

    dose = dose_of(plan=PLAN)
    (tmp_path / "dose.dcm").write_bytes(written(dose))
    done = subprocess.run(
        [
            *(program("plastimatch"), "convert", "--input-dose-img", str(tmp_path / "dose.dcm")),
            *("--output-dose-img", str(tmp_path / "dose.mha")),
        ],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("latin-1")[-300:]
    found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "dose.mha")))
    assert np.abs(found - dose.dose_gy).max() < 1e-3


@pytest.mark.parametrize("fault", ["negative", "not finite", "shape", "nothing"])
def test_what_is_no_dose_is_not_written(fault):
    """A negative or infinite dose, another grid and no dose at all are refused."""
    values = np.ones(SHAPE, np.float32)
    if fault == "negative":
        values[1, 1, 1] = -1
    elif fault == "not finite":
        values[1, 1, 1] = np.inf
    elif fault == "nothing":
        values[:] = 0
    else:
        values = values[1:]
    with pytest.raises(PluginOutputError):
        DoseObject(values, oblique(SHAPE), STRUCTURE_SET)
