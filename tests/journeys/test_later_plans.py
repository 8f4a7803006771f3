"""A plan that is approved after the prediction is held against it: record, page, monitoring."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from adapters.compose import Site
from adapters.monitoring.reading import read
from adapters.oversight.finding import find_reviews
from adapters.web.later_plans import later_plans
from audit.record import Record, decode
from governance.monitoring.default_plan import default_plan
from governance.oversight.plans import PlanComparison
from models.dose.predict import DosePredictor
from models.training.dose.packs import read_pack
from models.weights.store import weight_paths
from tests.simulators.answers import PROMPT, drive
from tests.simulators.example_site import prepare, served

DATA = Path(
    os.environ.get("OSTEON_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
PATIENT = DATA / "openkbp_dicom" / "pt_1.zip"
SETTINGS = {"trigger": PROMPT, "oversight": {"quiet_time_s": 0.0}}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PATIENT.exists(), reason="no test data (set OSTEON_TEST_DATA)"),
]


@dataclass
class Predicted:
    """A site that predicted the dose of pt_1, and the plan and dose that pt_1 really has."""

    site: Site
    turn: Callable[[], None]
    run_id: str
    study: str
    plan: bytes
    dose: bytes


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predicted]:
    """Return a site whose dose plugin finished its one run."""
    root = tmp_path_factory.mktemp("plans")
    home = prepare(root, "dose", **SETTINGS)
    with zipfile.ZipFile(PATIENT) as archive:
        objects = {name: archive.read(name) for name in archive.namelist()}
    plan, dose = objects["RP.dcm"], objects.pop("RD.dcm")
    study = str(pydicom.dcmread(io.BytesIO(plan)).StudyInstanceUID)
    with served(home, root, **SETTINGS) as (site, turn):
        site.archives["pacs"].store(study, list(objects.values()))
        assert drive(site, turn, 1) == ["done"]
        with site.database.reading() as transaction:
            (row,) = transaction.runs(study=study)
        yield Predicted(site, turn, row.run_id, study, plan, dose)


def later(
    once: Predicted, status: str = "APPROVED", gray: float | None = None, **changes: str
) -> list[bytes]:
    """Return plan and dose as a planning system sends them later, under UIDs of their own."""
    plan = pydicom.dcmread(io.BytesIO(once.plan))
    dose = pydicom.dcmread(io.BytesIO(once.dose))
    for dataset in (plan, dose):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID = generate_uid()
    plan.ApprovalStatus = status
    for item in plan.get("DoseReferenceSequence", ()) if gray else ():
        item.TargetPrescriptionDose = gray
    dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID = plan.SOPInstanceUID
    for keyword, value in changes.items():
        setattr(dose, keyword, value)
    return [_bytes(plan), _bytes(dose)]


def _bytes(dataset: Dataset) -> bytes:
    sink = io.BytesIO()
    dataset.save_as(sink, enforce_file_format=True)
    return sink.getvalue()


def comparisons(once: Predicted) -> tuple[PlanComparison, ...]:
    """Return what was compared."""
    with once.site.database.reading() as transaction:
        return transaction.plan_comparisons_of(once.run_id)


def arrive(once: Predicted, objects: list[bytes]) -> int:
    """Store objects and look, until the site has looked; return how many comparisons are new."""
    before = len(comparisons(once))
    once.site.archives["pacs"].store(once.study, objects)
    ends = time.monotonic() + 20.0
    while time.monotonic() < ends:
        once.turn()
        once.site.feed.poll()
        find_reviews(once.site)
        with once.site.database.reading() as transaction:
            if not transaction.due_review_looks(once.site.now()):
                break
        time.sleep(0.02)
    return len(comparisons(once)) - before


def records(once: Predicted) -> list[Record]:
    """Return the records of comparisons."""
    once.site.seal()
    with once.site.database.reading() as transaction:
        leaves = transaction.records_of(once.run_id)
        return [decode(leaf.leaf) for leaf in leaves if leaf.kind == "plan_comparison"]


@pytest.mark.reg("AIA-72.1")
def test_an_approved_plan_is_held_against_the_prediction_once(once: Predicted) -> None:
    """Voxels and points agree as the patient's arrays say; on record without a UID; once."""
    objects, earlier = later(once), len(records(once))
    assert arrive(once, objects) == 1
    found = comparisons(once)[-1]
    patient, planned = read_pack(DATA / "openkbp" / "train" / "pt_1.npz")
    arrays = DosePredictor.load(weight_paths("dose")[0]).predict(patient)
    error_gy = np.abs(arrays - planned)[patient.possible_dose].mean()
    # The pack has its CT in steps of 4 HU, and its plan's dose is that of the DICOM.
    assert found.dose_mae_gy == pytest.approx(error_gy, abs=0.05)
    assert found.covered_share == pytest.approx(1.0, abs=0.01)
    assert found.same_structures
    names = {(point.structure, point.point) for point in found.points}
    assert {("Parotid_L", "Mean"), ("PTV_7000", "D95"), ("SpinalCord", "D0.1cc")} <= names
    assert found.numbers()["dvh_mae_gy"] < 3.0
    (record,) = records(once)[earlier:]
    assert record.body["numbers"]["dose_mae_gy"] == found.dose_mae_gy
    for data in objects:
        assert str(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID) not in str(record.body)
    once.site.verify_log()
    with once.site.database.transaction() as transaction:
        transaction.put_review_look("pacs", once.study, once.site.now(), once.site.now())
    find_reviews(once.site)
    assert len(records(once)) == earlier + 1


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        ("UNAPPROVED", {}),
        ("APPROVED", {"DoseSummationType": "BEAM"}),
        ("APPROVED", {"DoseType": "ERROR"}),
    ],
    ids=["draft", "beam", "difference"],
)
def test_what_is_no_whole_approved_dose_says_nothing(
    once: Predicted, status: str, changes: dict[str, str]
) -> None:
    """A draft, the dose of one beam, a difference of doses."""
    assert arrive(once, later(once, status=status, **changes)) == 0


def test_monitoring_takes_the_plan_unless_it_is_for_another_dose(once: Predicted) -> None:
    """A plan for 60 Gy is told and not counted; the page says why."""
    if not comparisons(once):
        arrive(once, later(once))
    assert arrive(once, later(once, gray=60.0)) == 1
    other = comparisons(once)[-1]
    assert other.same_prescription is False
    with once.site.database.reading() as transaction:
        row = transaction.run(once.run_id)
        assert row is not None
        items = {item.name: item for item in default_plan("dose").items}
        batch = read(
            transaction, row.release_digest, items["later-plans"], (None, ""), once.site.now()
        )
    assert [case.case for case in batch.cases] == [
        item.comparison_id for item in comparisons(once) if item.counts
    ]
    assert other.comparison_id not in [case.case for case in batch.cases]
    assert batch.cursor[1] == other.comparison_id
    assert set(batch.cases[0].numbers) >= set(items["later-plans"].data)
    shown = later_plans(comparisons(once), "Europe/Berlin")
    assert "plan_other_dose" in shown[0].warnings
    assert np.isclose(float(shown[0].dose_mae.split()[0]), other.dose_mae_gy, atol=0.01)
