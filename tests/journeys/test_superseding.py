"""A result that a later one replaces is marked everywhere: here, in the archive, in the EHR."""

import io
import shutil
from pathlib import Path
from typing import Any

import pydicom
import pytest

from adapters.compose import Site
from adapters.home import Home
from tests.simulators.answers import drive
from tests.simulators.example_site import prepare, served, small_phantom


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared home, copied by every test."""
    root = tmp_path_factory.mktemp("template")
    prepare(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy of the prepared home."""
    shutil.copytree(template / "home", tmp_path / "home")
    return tmp_path


def objects_of(site: Site, run_id: str) -> dict[str, Any]:
    """Return what the archive has of the objects of a run, by kind."""
    with site.database.reading() as transaction:
        documents = [item for item in transaction.documents(run_id) if item.kind != "FHIR"]
    found = {}
    for item in documents:
        series = site.archives["pacs"].retrieve_series(
            item.study_instance_uid, item.series_instance_uid
        )
        found[item.kind] = pydicom.dcmread(io.BytesIO(next(iter(series))))
    return found


@pytest.mark.server
def test_a_late_series_replaces_the_result_outside_too(root: Path, fhir: Any) -> None:
    """Old report cancelled, new one names it; SR and RTSTRUCT point to their predecessors."""
    study, files = small_phantom()
    targets = [
        {"name": "pacs", "kind": "pacs", "pacs": "pacs"},
        {"name": "ehr", "kind": "fhir", "url": fhir.url},
    ]
    with served(Home(root / "home"), root, targets=targets) as (site, turn):
        site.archives["pacs"].store(study, files[: len(files) // 2])
        assert drive(site, turn, 1) == ["done"]
        assert [item["status"] for item in fhir.all("DiagnosticReport")] == ["preliminary"]
        site.archives["pacs"].store(study, files[len(files) // 2 :])
        assert drive(site, turn, 2) == ["done", "done"]
        with site.database.reading() as transaction:
            new, old = transaction.runs()
            states = {item.state for item in transaction.deliveries(new.run_id)}
        assert states == {"verified"}
        assert old.superseded_by == new.run_id
        before, after = objects_of(site, old.run_id), objects_of(site, new.run_id)
        site.verify_log()
    (structures,) = after["RTSTRUCT"].PredecessorStructureSetSequence
    assert structures.ReferencedSOPInstanceUID == before["RTSTRUCT"].SOPInstanceUID
    (series,) = after["SR"].PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == before["SR"].SOPInstanceUID
    reports = {item["identifier"][0]["value"]: item for item in fhir.all("DiagnosticReport")}
    assert reports[old.run_id]["status"] == "cancelled"
    assert reports[new.run_id]["status"] == "preliminary"
    replaced = reports[new.run_id]["extension"][0]["valueReference"]["identifier"]["value"]
    assert replaced == old.run_id
    statuses = [item["status"] for item in fhir.all("Observation")]
    assert statuses.count("cancelled") == statuses.count("preliminary") > 0
