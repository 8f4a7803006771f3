"""`osteon run` on two real sarcoma patients in native DICOM, judged by tools of others."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest

from adapters.rt.raster import mask_from_contours
from adapters.rt.read_folder import scan_folder
from adapters.rt.read_series import read_series
from adapters.rt.read_structures import read_structures

DATA = Path(
    os.environ.get("OSTEON_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
PATIENTS = ("STS_006", "STS_042")
OSTEON = Path(sys.executable).with_name("osteon")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / "sts_dicom").is_dir(), reason="no test data (set OSTEON_TEST_DATA)"
    ),
    pytest.mark.xdist_group("real-patients"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Run the published contouring release on each patient, held out of its members."""
    documents = {}
    root = tmp_path_factory.mktemp("sts")
    for patient in PATIENTS:
        source = root / patient
        with zipfile.ZipFile(DATA / "sts_dicom" / f"{patient}.zip") as archive:
            archive.extractall(source)
        result = subprocess.run(
            [
                OSTEON, "run", "--plugin", "contouring", "--input", source,
                "--output", root / f"{patient}-out", "--home", root / "home",
                "--held-out", patient, "--json",
            ],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr[-3000:]
        document = json.loads(result.stdout)
        document["source"], document["output"] = source, root / f"{patient}-out"
        documents[patient] = document
    return documents


def _only(document: dict[str, Any], kind: str) -> Path:
    paths = [Path(o["path"]) for o in document["runs"][0]["outputs"] if o["kind"] == kind]
    assert paths, kind
    return paths[0]


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.mark.parametrize("patient", PATIENTS)
def test_all_objects_are_written_and_verified(runs: dict[str, Any], patient: str) -> None:
    """Each patient gets one run with every kind of object, each read back."""
    (run,) = runs[patient]["runs"]
    assert run["status"] == "done"
    assert {o["kind"] for o in run["outputs"]} == {"RTSTRUCT", "SEG", "SR", "PMAP", "SC", "FHIR"}
    assert all(output["verified"] for output in run["outputs"])


@pytest.mark.parametrize("patient", PATIENTS)
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error(runs: dict[str, Any], patient: str) -> None:
    """David Clunie's validator finds no error in any object."""
    for output in runs[patient]["runs"][0]["outputs"]:
        if output["kind"] == "FHIR":
            continue
        result = subprocess.run(
            ["dciodvfy", output["path"]], capture_output=True, text=True, check=False
        )
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
        assert not errors, (output["kind"], errors[:5])


@pytest.mark.parametrize("patient", PATIENTS)
def test_contour_overlaps_the_reference(runs: dict[str, Any], patient: str) -> None:
    """Members that never saw the patient outline the tumour that the radiologist outlined."""
    scan = scan_folder(runs[patient]["source"])
    study = scan.studies[0]
    ct_uid = next(s.series_instance_uid for s in study.series if s.modality == "CT")
    rs_uid = next(s.series_instance_uid for s in study.series if s.modality == "RTSTRUCT")
    ct, _ = read_series(scan.files[ct_uid], "CT")
    reference, _ = read_structures(scan.files[rs_uid][0])
    regions = [r for r in reference.rois if re.search(r"GTV.*mass", r.name, re.I) and r.contours]
    truth = mask_from_contours(regions[0].contours, ct.geometry)
    ours, _ = read_structures(_only(runs[patient], "RTSTRUCT"))
    mask = mask_from_contours(ours.rois[0].contours, ct.geometry)
    assert _dice(mask, truth) > 0.6


@pytest.mark.parametrize("patient", PATIENTS)
@pytest.mark.skipif(shutil.which("plastimatch") is None, reason="plastimatch is not installed")
def test_plastimatch_reads_the_same_mask(
    runs: dict[str, Any], patient: str, tmp_path: Path
) -> None:
    """plastimatch rasterises our RTSTRUCT to the mask of our SEG (DSC at least 0.99)."""
    import SimpleITK

    scan = scan_folder(runs[patient]["source"])
    study = scan.studies[0]
    ct_uid = next(s.series_instance_uid for s in study.series if s.modality == "CT")
    ct, _ = read_series(scan.files[ct_uid], "CT")
    images = tmp_path / "ct"
    images.mkdir()
    for number, path in enumerate(scan.files[ct_uid]):
        shutil.copyfile(path, images / f"{number:04d}.dcm")
    subprocess.run(
        [
            "plastimatch", "convert", "--input", _only(runs[patient], "RTSTRUCT"),
            "--referenced-ct", images, "--output-prefix", tmp_path / "masks",
            "--prefix-format", "mha",
        ],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    read = SimpleITK.ReadImage(str(next((tmp_path / "masks").glob("*.mha"))))
    theirs = SimpleITK.GetArrayFromImage(read).astype(bool)
    segmentation = highdicom.seg.segread(_only(runs[patient], "SEG"))
    ours = np.zeros(ct.geometry.shape, dtype=bool)
    heights = ct.geometry.origin_mm[2] + ct.geometry.spacing_mm[0] * np.arange(ours.shape[0])
    for index, item in enumerate(segmentation.PerFrameFunctionalGroupsSequence):
        height = float(item.PlanePositionSequence[0].ImagePositionPatient[2])
        frames = np.atleast_3d(segmentation.pixel_array)
        plane = segmentation.pixel_array[index] if frames.ndim == 3 else segmentation.pixel_array
        ours[int(np.argmin(np.abs(heights - height)))] |= plane.astype(bool)
    assert theirs.shape == ours.shape
    assert _dice(theirs, ours) >= 0.99
