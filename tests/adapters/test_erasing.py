"""Erasure: nothing in the home leads from the patient to the pseudonym; every proof holds."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import String, Text, func, insert, select

from adapters.compose import Site
from adapters.database import Transaction
from adapters.database.schema import METADATA
from adapters.database.schema_workspace import BREAK_GLASS
from adapters.governance.persons import Somebody
from adapters.keeping import erasing
from audit.errors import NotFoundError, RefusalError
from audit.kinds import NOT_EVALUATED
from audit.merkle import check_inclusion, leaf_hash
from audit.record import decode
from governance.holds import KIND as HOLD
from governance.holds import SNAPSHOT, Hold
from governance.holds import encode as encode_hold
from plugins.host.ports import RunRequest
from plugins.host.prescription import PrescribedTarget, Prescription
from tests.simulators.example_site import prepare, served, small_phantom
from tests.simulators.governed_site import ADMINISTRATOR, APPROVER, COMPLIANCE, add_accounts
from tests.simulators.run_values import documents_for, request_for
from tests.simulators.site_database import Recorded

PATIENTS = ("ERASE-7731", "KEEP-1288")


class _Two:
    """A site that has answered one study of each of two patients."""

    def __init__(self, site: Site, studies: tuple[str, ...], needles: tuple[tuple[str, ...], ...]):
        self.site, self.studies, self.needles = site, studies, needles
        self.pseudonyms = tuple(site.pseudonyms.subject(study) for study in studies)

    def found(self, patient: int) -> list[str]:
        """Return the files of the home that hold an identifier of a patient, in name or bytes."""
        hits = []
        for path in sorted(self.site.home.root.rglob("*")):
            content = path.read_bytes() if path.is_file() else b""
            for needle in self.needles[patient]:
                if needle.encode() in content or needle in str(path):
                    hits.append(f"{path.relative_to(self.site.home.root)}: {needle[:12]}")
        return hits


def _study(number: int) -> tuple[str, tuple[bytes, ...], tuple[str, ...]]:
    """Return study UID, files and every identifier of one of the patients."""
    uid, files = small_phantom(number)
    needles, changed = {uid, PATIENTS[number]}, []
    for content in files:
        dataset = pydicom.dcmread(io.BytesIO(content))
        dataset.PatientID = PATIENTS[number]
        dataset.PatientName = f"{PATIENTS[number]}^NAME"
        needles |= {dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID}
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        changed.append(buffer.getvalue())
    return uid, tuple(changed), tuple(sorted(map(str, needles)))


@pytest.fixture
def two(tmp_path: Path) -> Iterator[_Two]:
    """Two patients, each with a finished run, on a site whose archive lies outside its home."""
    home = prepare(tmp_path)
    studies = [_study(number) for number in range(2)]
    with served(home, tmp_path) as (site, turn):
        add_accounts(site)
        for uid, files, _ in studies:
            site.archives["pacs"].store(uid, files)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            turn()
            with site.database.reading() as transaction:
                done = [row for row in transaction.runs() if row.status == "done"]
            if len(done) == 2:
                break
            time.sleep(0.02)
        assert len(done) == 2
        names = tuple(uid for uid, _, _ in studies)
        yield _Two(site, names, tuple(needles for _, _, needles in studies))


def _erase(site: Site, **who: str) -> erasing.Erased:
    order = erasing.propose(site, ADMINISTRATOR, **who)
    return erasing.approve(site, order, APPROVER)


@pytest.mark.reg("GDPR-32")
@pytest.mark.slow
def test_after_an_erasure_nothing_leads_to_the_pseudonym(two: _Two) -> None:
    """No file of the home holds an identifier: tables, indices, free pages, logs, outbox."""
    site = two.site
    assert any(line.startswith("site.db") for line in two.found(0))
    assert any(line.startswith("vault.db") for line in two.found(0))
    with site.database.reading() as transaction:
        before = list(transaction.leaves(0, transaction.tree_size()))
        head = site.log.head(transaction)
        kept = {leaf.event_id: site.log.prove(transaction, leaf.event_id) for leaf in before}
    done = _erase(site, patient_id=PATIENTS[0])
    assert done.is_scrubbed
    assert len(done.objects) >= 3
    assert two.found(0) == []
    assert two.found(1) != []
    # The log is as it was: every record, every proof.
    site.verify_log()
    with site.database.reading() as transaction:
        after = list(transaction.leaves(0, len(before)))
    assert [leaf.leaf for leaf in after] == [leaf.leaf for leaf in before]
    for leaf in before:
        index, size, proof = kept[leaf.event_id]
        check_inclusion(leaf_hash(leaf.leaf), index, size, proof, head.root_hash)
    # Nobody can be linked again, and somebody who comes back is somebody else.
    assert any(two.pseudonyms[0].encode() in leaf.leaf for leaf in after)
    with pytest.raises(NotFoundError):
        site.pseudonyms.reveal(two.pseudonyms[0])
    assert site.pseudonyms.subject(two.studies[0]) == NOT_EVALUATED
    assert site.pseudonyms.enrol(two.studies[0], PATIENTS[0]) != two.pseudonyms[0]
    assert site.pseudonyms.subject(two.studies[1]) == two.pseudonyms[1]
    assert PATIENTS[1] in site.pseudonyms.reveal(two.pseudonyms[1])
    # The record of it says who and not whose.
    with site.database.reading() as transaction:
        leaves = list(transaction.leaves(0, transaction.tree_size()))
    (leaf,) = (item for item in leaves if item.kind == "erasure")
    record = decode(leaf.leaf)
    assert record.body["decided_by"] == "administrator"
    assert record.body["approved_by"] == "approver"
    assert record.subject is None
    assert two.pseudonyms[0].encode() not in leaf.leaf


@pytest.mark.reg("AIA-73.6")
@pytest.mark.slow
def test_two_persons_and_no_hold(two: _Two) -> None:
    """One person alone, a hold or kept evidence refuse it, and nothing is changed."""
    site = two.site
    with pytest.raises(RefusalError):
        erasing.propose(site, COMPLIANCE, patient_id=PATIENTS[0])
    with pytest.raises(NotFoundError):
        erasing.propose(site, ADMINISTRATOR, patient_id="NOBODY")
    order = erasing.propose(site, ADMINISTRATOR, pseudonym=two.pseudonyms[0])
    for second in (ADMINISTRATOR, COMPLIANCE, Somebody("administrator", "approver")):
        with pytest.raises(RefusalError):
            erasing.approve(site, order, second)
    hold = Hold(
        "inc-1", "test-site", "example", "none", (), (two.pseudonyms[0],), site.now(), "approver"
    )
    _put(site, HOLD, encode_hold(hold))
    with pytest.raises(RefusalError, match="legal hold"):
        erasing.approve(site, order, APPROVER)
    lifted = Hold(**{name: getattr(hold, name) for name in Hold.__slots__} | {
        "lifted_at": site.now(), "lifted_by": "approver", "lift_reason": "done"
    })  # fmt: skip
    _put(site, HOLD, encode_hold(lifted))
    _put(site, SNAPSHOT, {"complete": True})
    with pytest.raises(RefusalError, match="evidence"):
        erasing.approve(site, order, APPROVER)
    assert site.pseudonyms.subject(two.studies[0]) == two.pseudonyms[0]
    assert two.found(0)


@pytest.mark.slow
def test_an_erasure_that_was_cut_short_goes_on(two: _Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash before the salts are gone leaves the order; the same order then ends it."""
    site = two.site
    order = erasing.propose(site, ADMINISTRATOR, patient_id=PATIENTS[0])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(erasing, "_forget_work", die)
    with pytest.raises(KeyboardInterrupt):
        erasing.approve(site, order, APPROVER)
    monkeypatch.undo()
    done = erasing.approve(site, order, APPROVER)
    assert done.is_scrubbed
    with pytest.raises(NotFoundError):
        erasing.approve(site, order, APPROVER)
    assert two.found(0) == []


def _put(site: Site, kind: str, content: dict[str, object]) -> None:
    with site.database.transaction() as transaction:
        transaction.put_governed(kind, "inc-1", content, "approver", site.now())


def test_no_column_of_either_database_keeps_an_identifier(recorded: Recorded) -> None:
    """Run, documents, deliveries, arrivals, own objects: on SQLite and on PostgreSQL."""
    prescription = Prescription(
        (PrescribedTarget(70.0, "PTV_7000", 1),), "plan", "1.2.276.0.7.99.5", 35, "1.2.276.0.7.99.6"
    )
    mine, other = request_for(1, prescription=prescription), request_for(
        2, study_instance_uid="1.2.276.0.7.99.2", series={"ct": "1.2.276.0.7.99.3"},
        sop_instance_uids=("1.2.276.0.7.99.4",),
    )  # fmt: skip
    with recorded.database.transaction() as transaction:
        for request in (mine, other):
            transaction.add_run(request, "pacs", "queued")
            transaction.set_run_status(request.run_id, "done", "", recorded.clock())
            documents = tuple(
                replace(item, study_instance_uid=request.study_instance_uid)
                for item in documents_for(request)
            )
            transaction.put_documents(request.run_id, documents)
            transaction.add_own_uids(
                request.run_id,
                [
                    (d.sop_instance_uid, d.series_instance_uid, d.study_instance_uid)
                    for d in documents
                    if d.sop_instance_uid
                ],
            )
        needles = _identifiers(transaction, mine)
        assert {needle for needle in needles if _columns_with(transaction, needle)} == needles
        grant = {"account_id": "anna", "cause": "incident", "reason": "Quillfeather fell ill"}
        moments = {"granted_at": recorded.clock(), "ends_at": recorded.clock()}
        for pseudonym in ("hmac:v1:mine", "hmac:v1:other"):
            transaction.connection.execute(
                insert(BREAK_GLASS).values(pseudonym=pseudonym, **grant, **moments)
            )
        assert transaction.erase_reasons("hmac:v1:mine") == 1
        assert transaction.erase_reasons("hmac:v1:mine") == 0
        query = select(BREAK_GLASS.c.reason).order_by(BREAK_GLASS.c.pseudonym)
        assert list(transaction.connection.scalars(query)) == ["erased", grant["reason"]]
        kept = {needle: _columns_with(transaction, needle) for needle in [other.study_instance_uid]}
        runs = transaction.runs_of_studies([mine.study_instance_uid])
        assert runs == ((mine.run_id, False),)
        assert transaction.erase_identifiers([mine.study_instance_uid], [mine.run_id]) > 3
        for needle in needles:
            assert _columns_with(transaction, needle) == []
        for needle, columns in kept.items():
            assert _columns_with(transaction, needle) == columns
        row = transaction.run(mine.run_id)
        assert row is not None
        assert row.study_instance_uid.startswith("erased-")
        assert (row.series, row.sop_instance_uids) == ({}, ())
        assert transaction.erase_identifiers([mine.study_instance_uid], [mine.run_id]) == 0


def _identifiers(transaction: Transaction, request: RunRequest) -> set[str]:
    documents = transaction.documents(request.run_id)
    found = {request.study_instance_uid, *request.series.values(), *request.sop_instance_uids}
    if request.prescription is not None:
        found |= {request.prescription.reference, request.prescription.structure_set_uid}
    return found | {item.sop_instance_uid for item in documents if item.sop_instance_uid}


def _columns_with(transaction: Transaction, needle: str) -> list[str]:
    """Return every column of the database, but for the log's own bytes, that holds a text."""
    found = []
    for table in METADATA.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, (Text, String)):
                rows = select(func.count()).where(column.contains(needle, autoescape=True))
                if transaction.connection.scalar(rows):
                    found.append(f"{table.name}.{column.name}")
    return found
