"""The targets of delivery: folder, archive, application entity, FHIR server."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
from pydicom import dcmread

from adapters.delivery.dimse import DimseTarget
from adapters.delivery.fhir import FhirTarget
from adapters.delivery.folder import FolderTarget, fhir_folder, write_whole
from adapters.delivery.pacs import PacsTarget, compared
from adapters.dicomweb.pacs import DicomwebPacs
from adapters.fhir.client import FhirClient
from adapters.orthanc.pacs import OrthancPacs
from audit.errors import RejectedError, UnavailableError
from plugins.host.identity import uid_for


def _states(items):
    return [item.state for item in items]


def _fhir_document(made_run, folder):
    from plugins.host.ports import Document

    folder.mkdir(exist_ok=True)
    path = folder / "bundle.json"
    path.write_text(json.dumps(made_run.bundle()))
    return Document("FHIR", path, "sha256:" + "0" * 64)


# what came back


def test_what_came_back_is_compared_with_what_was_composed(delivery_site):
    """The same bytes are the document, and so are other bytes with the same content; other
    content is not, whatever has become of the file in the outbox meanwhile."""
    document = next(item for item in delivery_site.run()[1] if item.kind == "SC")
    data = document.path.read_bytes()
    assert compared(document, data).state == "verified"
    dataset, changed = dcmread(BytesIO(data)), BytesIO()
    dataset.StudyDescription = "CHANGED IN THE ARCHIVE"
    dataset.save_as(changed)
    assert compared(document, changed.getvalue()).state == "verified"
    assert compared(replace(document, file_digest=""), data).state == "verified"
    dataset.PixelData, tampered = bytes(16), BytesIO()
    dataset.save_as(tampered)
    document.path.write_bytes(tampered.getvalue())
    assert compared(document, tampered.getvalue()).state == "different"
    assert compared(document, b"not DICOM").state == "different"


# folder


def test_a_folder_gets_whole_files_without_patient_data_in_their_names(delivery_site):
    """Files are there with the bytes of the outbox, under digests, and nothing else is."""
    target = FolderTarget("files", delivery_site.root / "out")
    _, documents = delivery_site.run()
    assert _states(target.send(documents)) == ["stored"] * 2
    assert _states(target.verify(documents)) == ["verified"] * 2
    names = [path.name for path in (delivery_site.root / "out").rglob("*") if path.is_file()]
    assert sorted(name.partition("-")[0] for name in names) == ["RTSTRUCT", "SC"]
    assert not any("4711" in name or "1.2.826" in name for name in names)
    assert {oct(os.stat(target.path_of(item)).st_mode)[-2:] for item in documents} == {"44"}


def test_a_folder_notices_missing_and_changed_files(delivery_site):
    """Verification tells a lost file from one with other bytes, and never overwrites one."""
    target = FolderTarget("files", delivery_site.root / "out")
    _, documents = delivery_site.run()
    target.send(documents)
    target.path_of(documents[0]).unlink()
    target.path_of(documents[1]).write_bytes(b"other")
    assert _states(target.verify(documents)) == ["missing", "different"]
    assert _states(target.send(documents)) == ["stored", "refused"]
    assert target.path_of(documents[1]).read_bytes() == b"other"


def test_a_folder_that_is_not_mounted_is_an_outage(delivery_site):
    """A vanished share is waited for; nothing is written where it was."""
    root = delivery_site.root / "out"
    target = FolderTarget("files", root)
    root.rmdir()
    _, documents = delivery_site.run()
    with pytest.raises(UnavailableError):
        target.send(documents)
    with pytest.raises(UnavailableError):
        target.verify(documents)
    assert not root.exists()


def test_a_failed_write_leaves_nothing(tmp_path):
    """A file that cannot be renamed into place leaves no half file behind."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(OSError):
        write_whole(tmp_path / "taken", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_fhir_folder_gets_the_bundle_only(delivery_site, made_run):
    """The bundle is written as JSON beside no DICOM file, and verified."""
    target = fhir_folder("ehr", delivery_site.root / "fhir")
    request, documents = delivery_site.run()
    bundle = _fhir_document(made_run, delivery_site.root)
    states = delivery_site.delivery(target).deliver(request, (*documents, bundle))
    assert [(item.kind, item.state) for item in states] == [("FHIR", "verified")]
    (path,) = (delivery_site.root / "fhir").rglob("*.json")
    assert json.loads(path.read_text())["type"] == "transaction"


# FHIR server


@pytest.mark.server
def test_a_bundle_outlives_an_outage_of_the_server(delivery_site, fhir, fhir_faults, made_run):
    """While the server is away the bundle waits; back again it is posted once and verified."""
    request, _ = delivery_site.run()
    document = _fhir_document(made_run, delivery_site.root)
    with FhirClient(fhir_faults.url, timeout_s=5) as client:
        delivery = delivery_site.delivery(FhirTarget("ehr", client))
        fhir_faults.always(503, b"")
        for _ in range(8):
            (state,) = delivery.deliver(request, (document,))
            assert (state.state, state.reason) == ("pending", "DOOR_UNAVAILABLE")
            delivery_site.clock.now = state.next_attempt_at
        fhir_faults.order = fhir_faults.pass_on
        (state,) = delivery_site.until_final(delivery, request, (document,))
    assert state.state == "verified"
    assert fhir.counts()["DiagnosticReport"] == 1


@pytest.mark.server
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_when_to_come_again_is_left_alone_until_then(
    delivery_site, fhir, fhir_faults, made_run, status
):
    """Retry-After holds for every run at that server, and afterwards the bundle is verified."""
    first, _ = delivery_site.run()
    second, _ = delivery_site.run(2)
    documents = [_fhir_document(made_run.numbered(n), delivery_site.root / str(n)) for n in (1, 2)]
    with FhirClient(fhir_faults.url, timeout_s=5) as client:
        delivery = delivery_site.delivery(FhirTarget("ehr", client))
        fhir_faults.always(status, b"", headers={"Retry-After": "3600"})
        (state,) = delivery.deliver(first, (documents[0],))
        hour = delivery_site.clock.now + timedelta(hours=1)
        assert (state.state, state.next_attempt_at) == ("pending", hour)
        asked = len(fhir_faults.seen)
        (state,) = delivery.deliver(second, (documents[1],))
        assert (state.state, state.next_attempt_at) == ("pending", hour)
        assert len(fhir_faults.seen) == asked
        fhir_faults.order = fhir_faults.pass_on
        delivery_site.clock.now = hour
        (state,) = delivery_site.until_final(delivery, first, (documents[0],))
        assert state.state == "verified"
        (state,) = delivery_site.until_final(delivery, second, (documents[1],))
        assert state.state == "verified"


@pytest.mark.server
def test_a_server_that_forgets_is_caught_and_completed(delivery_site, fhir, fhir_faults, made_run):
    """A bundle answered as done and not kept is posted again, and then verified."""
    request, _ = delivery_site.run()
    document = _fhir_document(made_run, delivery_site.root)
    count = len(made_run.bundle()["entry"])
    answer = {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [{"response": {"status": "201", "location": "X/1"}}] * count,
    }
    with FhirClient(fhir_faults.url, timeout_s=5) as client:
        delivery = delivery_site.delivery(FhirTarget("ehr", client))
        fhir_faults.order = lambda seen: (
            fhir_faults.reply(200, answer) if seen.method == "POST" else None
        )
        (state,) = delivery.deliver(request, (document,))
        assert (state.state, state.reason) == ("pending", "DOOR_NOT_STORED")
        fhir_faults.order = fhir_faults.pass_on
        (state,) = delivery_site.until_final(delivery, request, (document,))
    assert state.state == "verified"
    assert fhir.counts()["Observation"] == 3


@pytest.mark.server
def test_an_answer_lost_on_the_way_doubles_nothing(delivery_site, fhir, fhir_faults, made_run):
    """A post that arrived although its answer did not is found by looking first."""
    request, _ = delivery_site.run()
    document = _fhir_document(made_run, delivery_site.root)

    def lose(seen):
        if seen.method != "POST":
            return None
        fhir.post("", json.loads(seen.body))
        return fhir_faults.reply(close=True)

    with FhirClient(fhir_faults.url, timeout_s=5) as client:
        delivery = delivery_site.delivery(FhirTarget("ehr", client))
        fhir_faults.order = lose
        (state,) = delivery.deliver(request, (document,))
        assert state.state == "pending"
        (state,) = delivery_site.until_final(delivery, request, (document,))
    assert state.state == "verified"
    assert len(fhir_faults.posts()) == 1
    assert fhir.counts()["DiagnosticReport"] == 1


@pytest.mark.server
def test_a_changed_report_is_not_overwritten(delivery_site, fhir, fhir_faults, made_run):
    """A report that a person changed stays as it is, and the delivery fails visibly."""
    request, _ = delivery_site.run()
    document = _fhir_document(made_run, delivery_site.root)
    with FhirClient(fhir_faults.url, timeout_s=5) as client:
        client.transact(made_run.bundle())
        report = fhir.all("DiagnosticReport")[0] | {"status": "final"}
        fhir.put(report)
        (state,) = delivery_site.delivery(FhirTarget("ehr", client)).deliver(request, (document,))
    assert (state.state, state.reason) == ("failed", "OTHER_CONTENT")
    assert fhir.all("DiagnosticReport")[0]["status"] == "final"


# archives over the wire


def _fresh(delivery_site, number):
    """Return a run whose study no other test of the shared server has."""
    study = uid_for(str(delivery_site.root), number)
    site = replace(delivery_site, request=replace(delivery_site.request, study_instance_uid=study))
    return site.run(number)


@pytest.mark.server
@pytest.mark.parametrize("door", ["orthanc", "dicomweb"])
def test_an_orthanc_has_the_documents_and_gives_them_back(delivery_site, orthanc_server, door):
    """Through both doors the documents end verified, and twice changes nothing."""
    pacs = _door(door, orthanc_server, orthanc_server.url)
    request, documents = _fresh(delivery_site, 1)
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    assert _states(delivery.deliver(request, documents)) == ["verified"] * 2
    again = replace(request, run_id="0" * 32)
    assert _states(delivery.deliver(again, documents)) == ["verified"] * 2
    study = documents[0].study_instance_uid
    assert sum(item.instance_count for item in pacs.search_series(study)) == 2


@pytest.mark.server
@pytest.mark.parametrize("door", ["orthanc", "dicomweb"])
@pytest.mark.parametrize("fault", ["drop", "partial", "away", "garbage"])
def test_an_archive_that_goes_wrong_ends_with_every_document_once(
    delivery_site, orthanc_server, faulty_pacs, door, fault
):
    """A dropped or refused instance, an outage and a wrong answer heal without doubles."""
    proxy = faulty_pacs(orthanc_server.url)
    pacs = _door(door, orthanc_server, proxy.url)
    request, documents = _fresh(delivery_site, 3)
    delivery = delivery_site.delivery(PacsTarget("pacs", pacs))
    if fault == "away":
        proxy.away = True
    else:
        getattr(proxy, fault)()
    states = delivery.deliver(request, documents)
    assert "pending" in _states(states) or fault == "partial"
    proxy.heal()
    delivery.restart(request.run_id)
    states = delivery_site.until_final(delivery, request, documents)
    assert _states(states) == ["verified"] * 2
    study = documents[0].study_instance_uid
    assert sum(item.instance_count for item in pacs.search_series(study)) == 2


def _door(door, server, url):
    if door == "orthanc":
        return OrthancPacs("pacs", url, server.username, server.password)
    return DicomwebPacs(
        "pacs", f"{url}/dicom-web", username=server.username, password=server.password
    )


# application entities


@pytest.mark.parametrize(
    ("services", "state", "reason"),
    [
        ({"store"}, "stored", "NO_READ_BACK"),
        ({"store", "find"}, "stored", "LISTED_NOT_COMPARED"),
        ({"store", "get"}, "verified", ""),
        ({"store", "commitment"}, "verified", "COMMITTED"),
        ({"store", "find", "get", "commitment"}, "verified", ""),
    ],
)
def test_an_application_entity_is_read_back_as_far_as_it_offers(
    delivery_site, dimse_peer, services, state, reason
):
    """What the peer accepts decides how far its documents come, whatever was configured."""
    peer = dimse_peer(services=services)
    everything = replace(peer.peer, services=frozenset({"store", "find", "get", "commitment"}))
    target = DimseTarget("tps", everything, timeout_s=5)
    request, documents = delivery_site.run()
    states = delivery_site.delivery(target).deliver(request, documents)
    assert [(item.state, item.reason) for item in states] == [(state, reason)] * 2
    assert all(item.next_attempt_at is None for item in states)
    assert sorted(peer.stored) == sorted(item.sop_instance_uid for item in documents)


def test_a_peer_that_forgets_is_caught_by_each_way_of_asking(delivery_site, dimse_peer):
    """C-GET, C-FIND and storage commitment each find the instance that was lost."""
    for number, service in enumerate(("get", "find", "commitment")):
        peer = dimse_peer(services={"store", service})
        peer.forget = 1
        target = DimseTarget(service, peer.peer, timeout_s=5)
        request, documents = delivery_site.run(number)
        delivery = delivery_site.delivery(target)
        assert "pending" in _states(delivery.deliver(request, documents))
        delivery_site.until_final(delivery, request, documents)
        assert len(peer.stored) == 2


def test_a_peer_that_is_away_or_busy_is_waited_for(delivery_site, dimse_peer):
    """No listener and an out-of-resources status both leave the documents pending."""
    peer = dimse_peer(services={"store"})
    peer.refuse = 0xA700
    request, documents = delivery_site.run()
    absent = replace(peer.peer, port=9)
    states = delivery_site.delivery(
        DimseTarget("busy", peer.peer, timeout_s=5), DimseTarget("absent", absent, timeout_s=5)
    ).deliver(request, documents)
    assert {(item.target, item.state, item.reason) for item in states} == {
        ("busy", "pending", "STORE_FAILED_A700"),
        ("absent", "pending", "DOOR_UNAVAILABLE"),
    }


# self-test


@pytest.mark.server
def test_every_target_can_be_tested(delivery_site, dimse_peer, fhir):
    """The self-test of each target speaks to it and says one line."""
    peer = dimse_peer(services={"store"})
    with FhirClient(fhir.url) as client:
        lines = [
            PacsTarget("pacs", delivery_site.shaky()).check(),
            DimseTarget("tps", peer.peer, timeout_s=5).check(),
            FolderTarget("files", delivery_site.root / "out").check(),
            FhirTarget("ehr", client).check(),
        ]
    assert ["archive" in lines[0], "PEER" in lines[1], "MB" in lines[2], "4.0.1" in lines[3]] == (
        [True] * 4
    )
    assert list((delivery_site.root / "out").iterdir()) == []


def test_the_self_test_tells_what_cannot_be_used(delivery_site, dimse_peer):
    """A missing folder, an absent peer and an archive that stores nothing are told."""
    folder = FolderTarget("files", delivery_site.root / "out")
    (delivery_site.root / "out").rmdir()
    pacs = delivery_site.shaky()
    pacs.capabilities = frozenset({"search", "retrieve"})
    absent = replace(dimse_peer(services={"store"}).peer, port=9)
    for target, error in (
        (folder, UnavailableError),
        (PacsTarget("pacs", pacs), RejectedError),
        (DimseTarget("tps", absent, timeout_s=5), UnavailableError),
    ):
        with pytest.raises(error):
            target.check()
