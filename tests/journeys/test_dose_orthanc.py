"""A head-and-neck patient reaches Orthanc, and its predicted dose is there, read by others."""

import io
import os
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from adapters.orthanc.pacs import OrthancPacs
from adapters.rt.read_dose import read_dose
from adapters.rt.write_dose import MARK
from models.dose.predict import DosePredictor
from models.training.dose.packs import read_pack
from models.weights.store import weight_paths
from tests.simulators.dicom_validators import dciodvfy_errors
from tests.simulators.example_site import prepare, served

DATA = Path(
    os.environ.get("OSTEON_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
PATIENT = DATA / "openkbp_dicom" / "pt_1.zip"
TIMEOUT_S = 240.0

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(not PATIENT.exists(), reason="no test data (set OSTEON_TEST_DATA)"),
]


def _changes(server: Any, fhir: Any) -> dict[str, Any]:
    return {
        "pacs": [
            {
                "name": "orthanc", "kind": "orthanc", "url": server.url,
                "username": server.username, "password": server.password,
            }
        ],
        "targets": [
            {"name": "orthanc", "kind": "pacs", "pacs": "orthanc"},
            {"name": "fhir", "kind": "fhir", "url": fhir.url},
        ],
    }  # fmt: skip


def _files() -> tuple[str, tuple[bytes, ...]]:
    """Return study UID and objects of pt_1 as a planning CT comes: without its dose."""
    with zipfile.ZipFile(PATIENT) as archive:
        files = tuple(archive.read(name) for name in archive.namelist() if name != "RD.dcm")
    return str(pydicom.dcmread(io.BytesIO(files[0])).StudyInstanceUID), files


def _run(server: Any, fhir: Any, root: Path) -> tuple[OrthancPacs, str, Any]:
    """Upload the patient and wait until everything is verified; return archive, study, run."""
    changes = _changes(server, fhir)
    home = prepare(root, "dose", **changes)
    study, files = _files()
    sender = OrthancPacs("sender", server.url, server.username, server.password)
    with served(home, root, **changes) as (site, turn):
        sender.store(study, files)
        ends = time.monotonic() + TIMEOUT_S
        rows: list[Any] = []
        while not (rows and rows[0].status in ("done", "refused", "failed", "abstained")):
            assert time.monotonic() < ends, [row.status for row in rows]
            turn()
            time.sleep(0.02)
            with site.database.reading() as transaction:
                rows = transaction.runs(study=study)
        with site.database.reading() as transaction:
            deliveries = transaction.deliveries(rows[0].run_id)
        assert rows[0].status == "done", rows[0].reason
        assert {item.state for item in deliveries} == {"verified"}
        site.verify_log()
    return sender, study, rows[0]


def test_a_predicted_dose_comes_back_into_orthanc_and_the_fhir_server(
    orthanc_server: Any, fhir: Any, tmp_path: Path
) -> None:
    """RT Dose, report, map and capture in Orthanc; points on the server; the dose of the arrays."""
    archive, study, run = _run(orthanc_server, fhir, tmp_path)
    series = {item.modality: item for item in archive.search_series(study)}
    (content,) = archive.retrieve_series(study, series["RTDOSE"].series_instance_uid)
    dataset = pydicom.dcmread(io.BytesIO(content))
    assert MARK in dataset.DoseComment
    assert "ReferencedRTPlanSequence" not in dataset
    path = tmp_path / "dose.dcm"
    path.write_bytes(content)
    assert dciodvfy_errors(path) == []
    volume, _ = read_dose(content)
    # The packs have the CT in steps of 4 HU, the DICOM every value: 0.1 Gy at most was found.
    patient, _ = read_pack(DATA / "openkbp" / "train" / "pt_1.npz")
    arrays = DosePredictor.load(weight_paths("dose")[0]).predict(patient)
    assert np.abs(np.transpose(volume.array[::-1], (1, 2, 0)) - arrays).max() < 0.3
    stored = dataset.pixel_array * float(dataset.DoseGridScaling)
    assert np.abs(stored - volume.array).max() < 1e-3
    _read_by_plastimatch(path, stored, tmp_path)
    texts = {item["code"].get("text", ""): item for item in fhir.all("Observation")}
    mean = next(item for text, item in texts.items() if text.startswith("Mean dose of Parotid_L"))
    assert mean["valueQuantity"]["code"] == "Gy"
    assert run.plugin == "dose"


def _read_by_plastimatch(path: Path, stored: np.ndarray, folder: Path) -> None:
    """Another reader finds each voxel within 1e-3 Gy."""
    import SimpleITK

    if shutil.which("plastimatch") is None:
        pytest.skip("plastimatch is not installed")
    out = folder / "dose.mha"
    subprocess.run(
        ["plastimatch", "convert", "--input", str(path), "--output-dose-img", str(out)],
        check=True, capture_output=True,
    )  # fmt: skip
    read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(out)))
    assert np.abs(read - stored).max() < 1e-3
