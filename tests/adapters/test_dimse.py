"""DIMSE: pushes are durable before they are answered, and results reach the peer."""

from __future__ import annotations

import errno
import os
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pynetdicom import build_context
from pynetdicom.sop_class import CTImageStorage

from adapters.dimse import DimsePacs, Peer
from adapters.dimse.peer import associated
from adapters.dimse.scp import ScpSettings
from adapters.dimse.scu import Outgoing, ServiceUser
from adapters.orthanc import OrthancPacs
from adapters.orthanc.local import LocalOrthanc
from audit.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    RejectedError,
    UnavailableError,
)
from tests.simulators.dimse_peer import DimsePeer
from tests.simulators.orthanc import register_modality
from tests.simulators.tiny_studies import TinyStudy, dataset_of, file_of, tiny_study

MakePeer = Callable[..., DimsePeer]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DimsePacs]:
    """Yield a listening intake without a peer that takes pushes of two AE titles."""
    with DimsePacs(
        "d", tmp_path, aet="OSTEON", port=0, allowed_aets=["SCANNER", "PACS"], timeout_s=20
    ) as pacs:
        yield pacs


def _outgoing(study: TinyStudy) -> list[Outgoing]:
    return [Outgoing(*pair) for pair in zip(study.references, study.files, strict=True)]


def _sender(pacs: DimsePacs, aet: str = "SCANNER", called: str = "OSTEON") -> ServiceUser:
    return ServiceUser(aet, Peer(called, "127.0.0.1", pacs.port), 20)


def _until(condition: Callable[[], object]) -> object:
    deadline = time.monotonic() + 20
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def test_a_push_is_durable_and_names_its_sender(site: DimsePacs) -> None:
    """A pushed study is in the intake, unchanged, and each change names the calling AE."""
    study = tiny_study("CT")
    outcomes = _sender(site).store(_outgoing(study))
    assert [item.status for item in outcomes] == ["stored"] * 4
    changes = site.changes(None).changes
    assert {item.sender for item in changes} == {"SCANNER"}
    assert dataset_of(site.retrieve_instance(study.references[0])) == dataset_of(study.files[0])


def test_an_unknown_sender_is_refused(site: DimsePacs) -> None:
    """A calling AE title that is not configured, or a wrong called one, gets no association."""
    with pytest.raises(AuthenticationError):
        _sender(site, aet="STRANGER").echo()
    with pytest.raises(AuthenticationError):
        _sender(site, called="OTHER").echo()
    _sender(site).echo()


def test_a_full_disk_is_answered_with_out_of_resources(
    site: DimsePacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room: the sender reads A700 and keeps its copy; nothing is announced here."""
    study = tiny_study(slices=1)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert _sender(site).store(_outgoing(study))[0].code == 0xA700
    monkeypatch.undo()
    assert site.changes(None).changes == ()


def test_an_instance_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """An object larger than the limit is answered with A700 and not kept."""
    settings = ScpSettings("OSTEON", 0, max_instance_bytes=500)
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0, settings=settings) as pacs:
        assert _sender(pacs).store(_outgoing(tiny_study(slices=1)))[0].code == 0xA700
        assert pacs.changes(None).changes == ()


def test_another_object_under_a_known_uid_is_refused(site: DimsePacs) -> None:
    """The first object under a UID stays; another one under it is answered as a duplicate."""
    study = tiny_study(slices=1)
    other = dataset_of(study.files[0])
    other.SeriesDescription = "something else"
    _sender(site).store(_outgoing(study))
    outcome = _sender(site).store([Outgoing(study.references[0], file_of(other))])[0]
    assert outcome.code == 0x0111
    assert dataset_of(site.retrieve_instance(study.references[0])) == dataset_of(study.files[0])


def test_a_released_association_tells_that_the_sender_has_finished(site: DimsePacs) -> None:
    """While it is open nothing is said; after a release the counts of each series are known."""
    study = tiny_study("CT", "MR", slices=2)
    peer = Peer("OSTEON", "127.0.0.1", site.port)
    contexts = [build_context(CTImageStorage)]
    with associated("SCANNER", peer, contexts, timeout_s=20) as association:
        association.send_c_store(dataset_of(study.files[0]))
        assert site.association_closed(study.study_instance_uid) is None
    closed = _until(lambda: site.association_closed(study.study_instance_uid))
    assert closed is not None
    assert closed.ended_normally
    assert closed.sender == "SCANNER"
    assert closed.series_counts == {study.series_instance_uids[0]: 1}


def test_an_aborted_association_is_no_such_word(site: DimsePacs) -> None:
    """After an abort what came is kept, and the end is marked as not normal."""
    study = tiny_study(slices=2)
    peer = Peer("OSTEON", "127.0.0.1", site.port)
    with associated("SCANNER", peer, [build_context(CTImageStorage)], timeout_s=20) as association:
        association.send_c_store(dataset_of(study.files[0]))
        association.abort()
    closed = _until(lambda: site.association_closed(study.study_instance_uid))
    assert closed is not None
    assert not closed.ended_normally
    assert len(site.changes(None).changes) == 1


def test_a_port_that_is_taken_is_named(site: DimsePacs, tmp_path: Path) -> None:
    """A second listener on the same port raises ConfigurationError."""
    pacs = DimsePacs("e", tmp_path / "other", aet="OSTEON", port=site.port)
    with pytest.raises(ConfigurationError):
        pacs.start()
    pacs.close()


def test_results_reach_the_peer_and_are_read_back(tmp_path: Path, dimse_peer: MakePeer) -> None:
    """What C-STORE sent is found with C-FIND and comes back equal with C-GET."""
    peer, study = dimse_peer({"store", "find", "get"}), tiny_study("CT", slices=3)
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0, peer=peer.peer, timeout_s=20) as pacs:
        outcomes = pacs.store(study.study_instance_uid, study.files)
        assert [item.status for item in outcomes] == ["stored"] * 3
        assert pacs.search_studies(StudyInstanceUID=study.study_instance_uid) == (
            study.study_instance_uid,
        )
        series = pacs.search_series(study.study_instance_uid)
        assert [(item.modality, item.instance_count) for item in series] == [("CT", 3)]
        back = pacs.retrieve_instance(study.references[1])
        assert dataset_of(back) == dataset_of(study.files[1])
        assert pacs.changes(None).changes == ()


def test_results_are_read_back_with_c_move(tmp_path: Path, dimse_peer: MakePeer) -> None:
    """What C-MOVE brings to our own AE title is handed on and is no news in the intake."""
    peer, study = dimse_peer({"store", "find", "move"}), tiny_study(slices=3)
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0, peer=peer.peer, timeout_s=20) as pacs:
        peer.move_destinations["OSTEON"] = pacs.port
        pacs.store(study.study_instance_uid, study.files)
        uid, series = study.study_instance_uid, study.series_instance_uids[0]
        back = {dataset_of(data).SOPInstanceUID for data in pacs.retrieve_series(uid, series)}
        assert back == {item.sop_instance_uid for item in study.references}
        assert pacs.changes(None).changes == ()
        del peer.stored[study.references[0].sop_instance_uid]
        with pytest.raises(NotFoundError):
            pacs.retrieve_instance(study.references[0])


def test_a_peer_that_does_not_know_us_says_so(tmp_path: Path, dimse_peer: MakePeer) -> None:
    """A C-MOVE to a destination that the peer does not know raises RejectedError."""
    peer, study = dimse_peer({"store", "find", "move"}), tiny_study(slices=1)
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0, peer=peer.peer, timeout_s=20) as pacs:
        pacs.store(study.study_instance_uid, study.files)
        with pytest.raises(RejectedError) as raised:
            pacs.retrieve_instance(study.references[0])
        assert "AE title" in raised.value.advice


def test_a_peer_that_only_stores_cannot_be_read_back(tmp_path: Path, dimse_peer: MakePeer) -> None:
    """The capabilities say that there is no read-back, and the reason says why."""
    peer, study = dimse_peer({"store"}), tiny_study(slices=1)
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0, peer=peer.peer, timeout_s=20) as pacs:
        assert "read_back" not in pacs.capabilities
        assert "C-GET" in pacs.read_back_reason
        assert "offers store" in pacs.check()
        assert pacs.store(study.study_instance_uid, study.files)[0].status == "stored"
        with pytest.raises(NotFoundError):
            pacs.retrieve_instance(study.references[0])
        with pytest.raises(RejectedError):
            pacs.commit(study.references)


def test_what_the_peer_offers_is_negotiated(tmp_path: Path, dimse_peer: MakePeer) -> None:
    """A peer said to have everything, that only stores and moves, is used for just that."""
    peer, study = dimse_peer({"store", "find", "move"}), tiny_study(slices=1)
    said = Peer(peer.aet, "127.0.0.1", peer.port)
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0, peer=said, timeout_s=20) as pacs:
        assert "commitment" in pacs.capabilities
        assert "find, move, store" in pacs.check()
        assert "commitment" not in pacs.capabilities
        assert "read_back" in pacs.capabilities
        peer.move_destinations["OSTEON"] = pacs.port
        pacs.store(study.study_instance_uid, study.files)
        assert dataset_of(pacs.retrieve_instance(study.references[0]))


@pytest.mark.parametrize(
    ("status", "expected"),
    [(0xA700, "failed"), (0xB000, "warning"), (0x0111, "duplicate"), (0xC001, "failed")],
)
def test_the_status_of_each_instance_is_told(
    tmp_path: Path, dimse_peer: MakePeer, status: int, expected: str
) -> None:
    """Each status class of C-STORE becomes its own outcome with the code kept."""
    peer, study = dimse_peer({"store"}), tiny_study(slices=1)
    peer.refuse = status
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0, peer=peer.peer, timeout_s=20) as pacs:
        outcome = pacs.store(study.study_instance_uid, study.files)[0]
        assert (outcome.status, outcome.code) == (expected, status)


@pytest.mark.parametrize("own_association", [True, False])
def test_commitment_is_told_for_each_instance(
    tmp_path: Path, dimse_peer: MakePeer, own_association: bool
) -> None:
    """A report on the same or on a new association commits what the peer has, and no more."""
    peer, study = dimse_peer({"store", "commitment"}), tiny_study(slices=3)
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0, peer=peer.peer, timeout_s=20) as pacs:
        if own_association:
            peer.report_to = ("OSTEON", pacs.port)
        peer.uncommitted.add(study.references[2].sop_instance_uid)
        pacs.store(study.study_instance_uid, study.files)
        outcomes = pacs.commit(study.references, timeout_s=20)
        assert [item.status for item in outcomes] == ["stored", "stored", "failed"]
        assert outcomes[2].code == 0x0112


def test_a_peer_that_is_away_is_worth_another_try(tmp_path: Path, dimse_peer: MakePeer) -> None:
    """Nobody at the address: UnavailableError, retryable, on every service."""
    peer, study = dimse_peer({"store", "find", "get", "commitment"}), tiny_study(slices=1)
    address = peer.peer
    peer.close()
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0, peer=address, timeout_s=2) as pacs:
        for call in (
            pacs.check,
            lambda: pacs.store(study.study_instance_uid, study.files),
            lambda: pacs.search_series(study.study_instance_uid),
            lambda: pacs.retrieve_instance(study.references[0]),
            lambda: pacs.commit(study.references, timeout_s=1),
        ):
            with pytest.raises(UnavailableError) as raised:
                call()
            assert raised.value.retryable


def test_a_secure_connection_carries_the_push(tmp_path: Path) -> None:
    """With TLS the peer's certificate is checked; a plain sender gets no association."""
    certificate, key = _certificate(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    settings = ScpSettings("OSTEON", 0, tls=serving)
    with DimsePacs("d", tmp_path / "in", aet="OSTEON", port=0, settings=settings) as pacs:
        secure = Peer("OSTEON", "localhost", pacs.port, tls=trusting)
        study = tiny_study(slices=1)
        assert ServiceUser("SCANNER", secure, 20).store(_outgoing(study))[0].status == "stored"
        with pytest.raises(UnavailableError):
            ServiceUser("SCANNER", Peer("OSTEON", "localhost", pacs.port), 2).echo()


@pytest.mark.server
def test_orthanc_commits_and_moves(tmp_path: Path, orthanc_server: LocalOrthanc) -> None:
    """A real peer: Orthanc takes C-STORE, reports a commitment, and C-MOVE brings it back."""
    services = frozenset({"store", "find", "move", "commitment"})
    peer = Peer(orthanc_server.aet, "127.0.0.1", orthanc_server.dicom_port, services)
    study = tiny_study("CT", slices=2)
    with DimsePacs("d", tmp_path, aet="MOVER", port=0, peer=peer, timeout_s=20) as pacs:
        register_modality(orthanc_server, "MOVER", pacs.port)
        assert "answers" in pacs.check()
        pacs.store(study.study_instance_uid, study.files)
        absent = tiny_study(slices=1).references
        outcomes = pacs.commit([*study.references, *absent], timeout_s=20)
        assert [item.status for item in outcomes] == ["stored", "stored", "failed"]
        back = pacs.retrieve_instance(study.references[0])
        assert dataset_of(back) == dataset_of(study.files[0])
        assert pacs.changes(None).changes == ()


@pytest.mark.server
def test_orthanc_names_the_sender(tmp_path: Path, orthanc_server: LocalOrthanc) -> None:
    """What was pushed to Orthanc is reported with the AE title of its sender."""
    study = tiny_study(slices=1)
    local = orthanc_server
    with OrthancPacs("o", local.url, local.username, local.password) as pacs:
        cursor = pacs.changes(None, 100_000).cursor
        register_modality(local, "SCANNER", 1)
        sender = ServiceUser("SCANNER", Peer(local.aet, "127.0.0.1", local.dicom_port), 20)
        sender.store(_outgoing(study))
        assert [item.sender for item in pacs.changes(cursor).changes] == ["SCANNER"]


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        f" -out {certificate} -keyout {key}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return certificate, key
