"""A plan of other beams is refused; its revision with nine fields is answered, and told so."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from adapters.compose import Site
from adapters.database.runs import RunRow
from adapters.run_record import inference_body
from adapters.web.access import Session
from adapters.web.pages import run_page
from adapters.web.texts_dose import DOSE_TEXTS
from tests.simulators.answers import PROMPT, drive
from tests.simulators.example_site import prepare, served

DATA = Path(
    os.environ.get("OSTEON_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
PATIENT = DATA / "openkbp_dicom" / "pt_1.zip"
SOMEBODY = Session("nobody", "physicist", 0.0, "token")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PATIENT.exists(), reason="no test data (set OSTEON_TEST_DATA)"),
]


@dataclass
class Place:
    """A site with the dose plugin, and pt_1 without its dose: images and structures, plan."""

    site: Site
    turn: Callable[[], None]
    files: list[bytes]
    plan: bytes

    def rows(self) -> list[RunRow]:
        """Return the runs, oldest first."""
        with self.site.database.reading() as transaction:
            return list(reversed(transaction.runs(limit=10)))

    def objects(self, row: RunRow, kind: str) -> list[Dataset]:
        """Return the objects of a kind that a run wrote."""
        with self.site.database.reading() as transaction:
            documents = transaction.documents(row.run_id)
        return [pydicom.dcmread(item.path) for item in documents if item.kind == kind]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a site that waits for a study."""
    with zipfile.ZipFile(PATIENT) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name != "RD.dcm"}
    plan = files.pop("RP.dcm")
    home = prepare(tmp_path, "dose", trigger=PROMPT)
    with served(home, tmp_path, trigger=PROMPT) as (site, turn):
        yield Place(site, turn, list(files.values()), plan)


def planned(data: bytes, count: int, *, replaces: str = "") -> Dataset:
    """Return the plan with its first beams and metersets, under a UID of its own."""
    plan = pydicom.dcmread(io.BytesIO(data))
    plan.SOPInstanceUID = plan.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    plan.SeriesInstanceUID = generate_uid()
    plan.BeamSequence = plan.BeamSequence[:count]
    used = plan.FractionGroupSequence[0].ReferencedBeamSequence[:count]
    plan.FractionGroupSequence[0].ReferencedBeamSequence = used
    plan.FractionGroupSequence[0].NumberOfBeams = count
    for item in used:
        item.BeamMeterset = "85.5"
    if replaces:
        earlier = Dataset()
        earlier.ReferencedSOPClassUID, earlier.ReferencedSOPInstanceUID = plan.SOPClassUID, replaces
        earlier.RTPlanRelationship = "PREDECESSOR"
        plan.ReferencedRTPlanSequence = [earlier]
    return plan


def encoded(dataset: Dataset) -> bytes:
    """Return the object as a file."""
    sink = io.BytesIO()
    dataset.save_as(sink, enforce_file_format=True)
    return sink.getvalue()


def said(report: Dataset) -> str:
    """Return the meanings of the codes of a report."""
    return "\n".join(str(item.value) for item in report.iterall() if item.keyword == "CodeMeaning")


def test_a_plan_of_other_beams_is_refused_and_its_revision_answered(place: Place) -> None:
    """Seven fields: refused by code. The plan that replaces it has nine: done, its beams told."""
    seven = planned(place.plan, 7)
    nine = planned(place.plan, 9, replaces=str(seven.SOPInstanceUID))
    study, archive = str(seven.StudyInstanceUID), place.site.archives["pacs"]
    archive.store(study, [*place.files, encoded(seven)])
    assert drive(place.site, place.turn, 1) == ["refused"]
    (refused,) = place.rows()
    assert refused.reason.startswith("BEAMS_NOT_TRAINED expected nine static coplanar photon")
    assert "found 7 at 0, 40, 80, 120, 160, 200, 240 degrees" in refused.reason
    assert "BEAMS_NOT_TRAINED" in said(place.objects(refused, "SR")[0])
    assert place.objects(refused, "RTDOSE") == []

    archive.store(study, [encoded(nine)])
    assert drive(place.site, place.turn, 2) == ["refused", "done"]
    _, done = place.rows()
    assert (done.supersedes, sorted(done.series)) == (
        refused.run_id, ["ct", "plan", "plan-2", "structures"],
    )  # fmt: skip
    with place.site.database.reading() as transaction:
        record = inference_body(transaction, done.run_id)
    assert "BEAMS_OF_PLAN" in record["uncertainty"]["reasons"]
    assert "beams of the plan, around its isocentre" in said(place.objects(done, "SR")[0])
    assert len(place.objects(done, "RTDOSE")) == 1
    page = run_page(place.site, done.run_id, SOMEBODY)
    assert DOSE_TEXTS[page.beams][0] == "Beams of the plan: nine fields around its isocentre."
