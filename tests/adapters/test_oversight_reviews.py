"""Reviews at a site: decided on the page, or found in the archive; each on record, once."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RTPlanStorage, generate_uid

from adapters.compose import Site
from adapters.oversight.acts import Decided, assess, note_view, tell_staff
from adapters.oversight.finding import find_reviews
from adapters.oversight.importing import import_assessments
from audit.errors import ConfigurationError, RefusalError
from audit.record import Record, decode
from governance.oversight.assessment import Assessment
from governance.oversight.rates import rates_by
from governance.oversight.reviewers import NOTICE
from tests.simulators.incident_site import PEOPLE, Somebody, finished_run, with_people

CLINICIAN, PHYSICIST = PEOPLE["clinician"], PEOPLE["physicist"]


@dataclass
class Reviewed:
    """A site with one finished run, and what of its archive a test needs."""

    site: Site
    run_id: str
    study: str
    ours: bytes


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewed]:
    """Return a site whose example plugin finished one run."""
    root = tmp_path_factory.mktemp("reviews")
    home, run_id = finished_run(root)
    settings = {"oversight": {"quiet_time_s": 0.0}}
    with with_people(home, root, **settings) as site:
        with site.database.transaction() as transaction:
            for look in transaction.due_review_looks(site.now() + timedelta(days=1)):
                transaction.remove_review_look(look)  # of the arrival that led to the run
            row = transaction.run(run_id)
            assert row is not None
            paths = [d.path for d in transaction.documents(run_id) if d.kind == "RTSTRUCT"]
        yield Reviewed(site, run_id, row.study_instance_uid, paths[0].read_bytes())


def _set(ours: bytes, *, approved: bool = True, move_mm: float = 0.0, name: str = "") -> Dataset:
    """Return our set as another system would store it: own UIDs, own status."""
    dataset = pydicom.dcmread(io.BytesIO(ours))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.ApprovalStatus = "APPROVED" if approved else "UNAPPROVED"
    dataset.Manufacturer = "Another"
    for region in dataset.ROIContourSequence:
        for contour in region.ContourSequence:
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            points[:, 0] += move_mm
            contour.ContourData = [f"{value:.3f}" for value in points.ravel()]
    if name:
        dataset.StructureSetROISequence[0].ROIName = name
    return dataset


def _stored(once: Reviewed, dataset: Dataset) -> int:
    """Store an object in the archive as another system does; return what was found."""
    once.site.feed.poll()
    find_reviews(once.site)
    sink = io.BytesIO()
    dataset.save_as(sink, enforce_file_format=True)
    (outcome,) = once.site.archives["pacs"].store(str(dataset.StudyInstanceUID), [sink.getvalue()])
    assert outcome.status == "stored"
    once.site.feed.poll()
    return find_reviews(once.site)


def _found(once: Reviewed) -> list[Assessment]:
    with once.site.database.reading() as transaction:
        return [a for a in transaction.assessments_of(once.run_id) if a.source != "page"]


def _records(once: Reviewed) -> list[Record]:
    once.site.seal()
    with once.site.database.reading() as transaction:
        leaves = transaction.records_of(once.run_id)
        return [decode(leaf.leaf) for leaf in leaves if leaf.kind == "assessment"]


def test_our_own_results_are_no_review(once: Reviewed) -> None:
    """What the run itself stored, and what it stored again, is never read as a review."""
    count = len(_found(once))
    once.site.feed.poll()
    assert find_reviews(once.site) == 0
    dataset = pydicom.dcmread(io.BytesIO(once.ours))
    dataset.ApprovalStatus = "APPROVED"
    sink = io.BytesIO()
    dataset.save_as(sink, enforce_file_format=True)
    once.site.archives["pacs"].store(once.study, [sink.getvalue()])
    with once.site.database.transaction() as transaction:
        now = once.site.now()
        transaction.put_review_look("pacs", once.study, now, now)
    assert find_reviews(once.site) == 0
    assert len(_found(once)) == count


def test_an_unapproved_set_is_no_review(once: Reviewed) -> None:
    """A draft of another system says nothing yet."""
    assert _stored(once, _set(once.ours, approved=False)) == 0


def test_an_approved_set_is_found_once(once: Reviewed) -> None:
    """Unchanged: accepted, with exact figures; looked at again, it adds nothing."""
    approved = _set(once.ours, name="bone")
    assert _stored(once, approved) == 1
    last = _found(once)[-1]
    assert (last.structure, last.action, last.source) == ("Bone", "accept", "rtstruct")
    assert last.figures is not None
    assert (last.figures.dsc, last.figures.hd95_mm, last.figures.added_path_length_mm) == (1, 0, 0)
    count = len(_found(once))
    with once.site.database.transaction() as transaction:
        now = once.site.now()
        transaction.put_review_look("pacs", once.study, now, now)
    assert find_reviews(once.site) == 0
    assert len(_found(once)) == count


def test_an_edit_is_measured(once: Reviewed) -> None:
    """Moved by 8 mm: an edit with consequence, its record without any name or UID."""
    moved = _set(once.ours, move_mm=8.0)
    moved.ReviewerName = "Curie^Marie"
    assert _stored(once, moved) == 1
    last = _found(once)[-1]
    assert (last.action, last.severity, last.reason) == ("edit", "major", "not-stated")
    assert last.figures is not None
    assert last.figures.hd95_mm == pytest.approx(8.0, abs=1.5)
    assert last.figures.added_path_length_mm > 0
    assert last.figures.volume_difference_ml == pytest.approx(0.0, abs=1.0)
    assert last.figures.shift_x_mm == pytest.approx(8.0, abs=0.1)
    assert (last.figures.shift_y_mm, last.figures.shift_z_mm) == pytest.approx((0, 0), abs=0.1)
    record = _records(once)[-1]
    assert record.body["airai"] == "supplemented"
    assert record.body["figures"]["hd95_mm"] == last.figures.hd95_mm
    assert record.actor.role == "service"
    leaf = str(record.body)
    assert "Curie" not in leaf
    assert str(moved.SOPInstanceUID) not in leaf
    assert once.site.pseudonyms.reveal(record.body["edited_sop_uid_p"]) == moved.SOPInstanceUID


def test_an_approved_plan_approves_its_set(once: Reviewed) -> None:
    """A set without a status of its own counts once an approved plan refers to it."""
    draft = _set(once.ours, approved=False, move_mm=3.0)
    assert _stored(once, draft) == 0
    plan = Dataset()
    plan.SOPClassUID = RTPlanStorage
    plan.SOPInstanceUID, plan.SeriesInstanceUID = generate_uid(), generate_uid()
    plan.StudyInstanceUID, plan.PatientID = once.study, draft.PatientID
    plan.PatientName, plan.Modality = "", "RTPLAN"
    plan.RTPlanLabel, plan.ApprovalStatus = "plan", "APPROVED"
    reference = Dataset()
    reference.ReferencedSOPClassUID = draft.SOPClassUID
    reference.ReferencedSOPInstanceUID = draft.SOPInstanceUID
    plan.ReferencedStructureSetSequence = [reference]
    plan.file_meta = pydicom.dataset.FileMetaDataset()
    plan.file_meta.MediaStorageSOPClassUID = plan.SOPClassUID
    plan.file_meta.MediaStorageSOPInstanceUID = plan.SOPInstanceUID
    plan.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    assert _stored(once, plan) == 1
    assert _found(once)[-1].source == "plan"


def test_a_set_of_another_frame_or_patient_says_nothing(once: Reviewed) -> None:
    """Same names and places do not make the same patient or frame of reference."""
    count = len(_found(once))
    other = _set(once.ours)
    for item in other.StructureSetROISequence:
        item.ReferencedFrameOfReferenceUID = "1.2.3.4"
    other.FrameOfReferenceUID = "1.2.3.4"
    assert _stored(once, other) == 0
    stranger = _set(once.ours)
    stranger.StudyInstanceUID, stranger.PatientID = generate_uid(), "somebody-else"
    assert _stored(once, stranger) == 0
    assert len(_found(once)) == count


def test_a_set_in_a_study_of_its_own_is_found(once: Reviewed) -> None:
    """Planning systems store sets in other studies: patient and frame decide."""
    own = _set(once.ours, move_mm=1.0)
    own.StudyInstanceUID = generate_uid()
    assert _stored(once, own) == 1
    assert _found(once)[-1].action == "edit"


def test_a_set_from_before_the_result_is_no_answer(once: Reviewed) -> None:
    """What had arrived before the run ended cannot be a review of it."""
    with once.site.database.reading() as transaction:
        row = transaction.run(once.run_id)
    assert row is not None
    assert row.closed_at is not None
    old = _set(once.ours)
    with once.site.database.transaction() as transaction:
        before = row.closed_at - timedelta(seconds=1)
        transaction.note_set_seen(str(old.SOPInstanceUID), before)
    assert _stored(once, old) == 0


def test_a_decision_on_the_page(once: Reviewed) -> None:
    """What was viewed, decided and why is kept and recorded under a pseudonym; versions count."""
    site = once.site
    for slice_number in (3, 4, 4):
        note_view(site, CLINICIAN, once.run_id, ("slice", slice_number), 20)
    note_view(site, CLINICIAN, once.run_id, ("uncertainty", 0), 0)
    (kept,) = assess(site, CLINICIAN, once.run_id, [Decided("Bone", "reject", "wrong-side")])
    assert (kept.viewing.slices_visited, kept.viewing.slices_total) == (2, 20)
    assert kept.viewing.uncertainty_viewed
    assert not kept.viewing.explanation_viewed
    (again,) = assess(site, CLINICIAN, once.run_id, [Decided("Bone", "accept", "none")])
    assert (kept.version, again.version) == (1, 2)
    record = _records(once)[-2]
    assert record.body["airai"] == "rejected"
    assert (record.actor.id, record.actor.role) == (kept.reviewer, "clinician")
    assert kept.reviewer.startswith("reviewer:")
    assert "the-clinician" not in str(record.body)
    assert site.pseudonyms.reveal(kept.reviewer) == "the-clinician"


def test_who_may_not_decide_and_what_is_refused(once: Reviewed) -> None:
    """Roles, structures, reasons: what does not fit is refused and leaves no record."""
    before = len(_records(once))
    for person in (PEOPLE["compliance"], PEOPLE["engineer"], PEOPLE["administrator"]):
        with pytest.raises(RefusalError):
            assess(once.site, person, once.run_id, [Decided("Bone", "accept", "none")])
    for wrong in (
        [], [Decided("Lung_L", "accept", "none")], [Decided("Bone", "edit", "none")],
        [Decided("Bone", "edit", "not-stated")], [Decided("Bone", "defer", "nonsense")],
    ):  # fmt: skip
        with pytest.raises(ConfigurationError):
            assess(once.site, CLINICIAN, once.run_id, wrong)
    note_view(once.site, PEOPLE["compliance"], once.run_id, ("slice", 1), 20)
    assert len(_records(once)) == before


def test_unseen_approval_stays_visible_after_a_set_came_back(once: Reviewed) -> None:
    """An approval without a look is counted, also when an approved set confirms it later."""
    (blind,) = assess(once.site, PHYSICIST, once.run_id, [Decided("Bone", "accept", "none")])
    assert blind.is_unseen_approval
    assert _stored(once, _set(once.ours)) == 1
    with once.site.database.reading() as transaction:
        (row,) = rates_by(transaction.assessment_cells(), "structure")
    assert (row.name, row.decided, row.unseen.k, row.unseen.n) == ("Bone", 1, 1, 1)


@pytest.mark.reg("AIA-26.9")
def test_the_staff_is_told_on_record(once: Reviewed) -> None:
    """A notice is a governed document with a record; nobody else may put it there."""
    text = "What is measured about reviewers, why, and who sees it."
    today = once.site.now().date().isoformat()
    with pytest.raises(RefusalError):
        tell_staff(once.site, CLINICIAN, text, today, "works council 7")
    tomorrow = (once.site.now() + timedelta(days=1)).date().isoformat()
    with pytest.raises(ConfigurationError):
        tell_staff(once.site, PEOPLE["approver"], text, tomorrow, "works council 7")
    document = tell_staff(once.site, PEOPLE["approver"], text, today, "works council 7")
    with once.site.database.reading() as transaction:
        assert transaction.governed(NOTICE, "test-site") == document


def test_an_unknown_role_is_no_reviewer(once: Reviewed) -> None:
    """Only persons of a reviewing role decide, whoever says so."""
    with pytest.raises(RefusalError):
        assess(once.site, Somebody("x", "guest"), once.run_id, [Decided("Bone", "accept", "none")])


def test_assessments_made_elsewhere_are_imported_whole_or_not(once: Reviewed) -> None:
    """Seeded errors of a training never count in the rates; one bad line keeps the file out."""
    line = {
        "run_id": once.run_id, "structure": "Bone", "action": "reject", "reason": "other",
        "reviewer": "trainee", "role": "clinician", "seeded": True,
        "decided_at": (once.site.now() - timedelta(hours=1)).isoformat(), "dsc": 0.8,
    }  # fmt: skip
    with once.site.database.reading() as transaction:
        cells = sum(cell.count for cell in transaction.assessment_cells())
        before = len(transaction.assessments_of(once.run_id))
    good = json.dumps(line)
    for bad in (
        "{", json.dumps(line | {"reviewer_name": "Anna"}), json.dumps(line | {"structure": "x"}),
        json.dumps(line | {"decided_at": "2026-11-01T10:00"}), json.dumps(line | {"role": "guest"}),
        json.dumps(line | {"action": "like"}), "[]",
    ):  # fmt: skip
        with pytest.raises(ConfigurationError):
            import_assessments(once.site, PHYSICIST, f"{good}\n{bad}\n")
    with pytest.raises(RefusalError):
        import_assessments(once.site, PEOPLE["compliance"], good)
    with once.site.database.reading() as transaction:
        assert len(transaction.assessments_of(once.run_id)) == before
    assert import_assessments(once.site, PHYSICIST, f"{good}\n{good}\n") == 2
    with once.site.database.reading() as transaction:
        kept = transaction.assessments_of(once.run_id)
        assert sum(cell.count for cell in transaction.assessment_cells()) == cells
    assert [item.seeded for item in kept if item.source == "import"] == [True, True]
    assert _records(once)[-1].body["seeded"] is True
