"""What goes wrong between us and a web archive, and which error each harm becomes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest

from adapters.dicomweb import DicomwebPacs
from adapters.orthanc import OrthancPacs
from adapters.orthanc.local import LocalOrthanc
from adapters.pacs import Pacs
from audit.errors import (
    AuthenticationError,
    NotFoundError,
    RejectedError,
    SuiteError,
    UnavailableError,
)
from tests.simulators.faulty_pacs import FaultyPacs
from tests.simulators.tiny_pacs import TinyPacs
from tests.simulators.tiny_studies import dataset_of, file_of, tiny_study

pytestmark = pytest.mark.server


@dataclass
class Spoiled:
    """A door, the proxy before its archive, and a door that goes round the proxy."""

    pacs: Pacs
    proxy: FaultyPacs
    direct: Pacs


def _orthanc(
    local: LocalOrthanc, url: str = "", password: str = "", timeout_s: float = 30
) -> OrthancPacs:
    return OrthancPacs(
        "o", url or local.url, local.username, password or local.password, timeout_s=timeout_s
    )


def _dicomweb(
    local: LocalOrthanc, url: str = "", password: str = "", timeout_s: float = 30
) -> DicomwebPacs:
    return DicomwebPacs(
        "ow",
        url or local.dicomweb_url,
        username=local.username,
        password=password or local.password,
        timeout_s=timeout_s,
    )


@pytest.fixture(params=["orthanc", "dicomweb"])
def spoiled(
    request: pytest.FixtureRequest,
    orthanc_server: LocalOrthanc,
    faulty_pacs: Callable[[str], FaultyPacs],
) -> Iterator[Spoiled]:
    """Yield each web door with a faulty proxy before its archive."""
    make = _orthanc if request.param == "orthanc" else _dicomweb
    upstream = orthanc_server.url if request.param == "orthanc" else orthanc_server.dicomweb_url
    proxy = faulty_pacs(upstream)
    with ExitStack() as stack:
        pacs = stack.enter_context(make(orthanc_server, proxy.url))
        direct = stack.enter_context(make(orthanc_server))
        yield Spoiled(pacs, proxy, direct)


def _calls(pacs: Pacs) -> list[Callable[[], object]]:
    study = tiny_study(slices=1)
    uid, series = study.study_instance_uid, study.series_instance_uids[0]
    return [
        pacs.check,
        lambda: pacs.changes(None),
        lambda: pacs.search_studies(StudyInstanceUID=uid),
        lambda: pacs.search_series(uid),
        lambda: pacs.search_instances(uid, series),
        lambda: list(pacs.retrieve_series(uid, series)),
        lambda: pacs.retrieve_instance(study.references[0]),
        lambda: pacs.store(uid, study.files),
    ]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_archive_is_worth_another_try(spoiled: Spoiled, status: int) -> None:
    """Every request that meets a busy archive raises a retryable UnavailableError."""
    for call in _calls(spoiled.pacs):
        spoiled.proxy.answer(status)
        with pytest.raises(UnavailableError) as raised:
            call()
        assert raised.value.retryable


def test_an_archive_that_is_away_is_worth_another_try(spoiled: Spoiled) -> None:
    """A connection that closes at once raises UnavailableError; after that all is well."""
    spoiled.proxy.away = True
    for call in _calls(spoiled.pacs):
        with pytest.raises(UnavailableError):
            call()
    spoiled.proxy.heal()
    assert spoiled.pacs.check()


def test_nobody_listens(orthanc_server: LocalOrthanc) -> None:
    """A refused connection raises UnavailableError."""
    with socket.socket() as item:
        item.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{item.getsockname()[1]}"
    for make in (_orthanc, _dicomweb):
        with make(orthanc_server, url) as pacs, pytest.raises(UnavailableError):
            pacs.check()


def test_an_archive_that_hangs_is_given_up(
    orthanc_server: LocalOrthanc, faulty_pacs: Callable[[str], FaultyPacs]
) -> None:
    """No answer within the timeout raises UnavailableError."""
    proxy = faulty_pacs(orthanc_server.url)
    proxy.hang(times=2)
    for make in (_orthanc, _dicomweb):
        with (
            make(orthanc_server, proxy.url, timeout_s=0.3) as pacs,
            pytest.raises(UnavailableError),
        ):
            pacs.search_studies(StudyInstanceUID="2.25.1")


def test_wrong_credentials_are_named_as_such(orthanc_server: LocalOrthanc) -> None:
    """A wrong password raises AuthenticationError, which no repetition helps, on every call."""
    for make in (_orthanc, _dicomweb):
        with make(orthanc_server, password="wrong") as pacs:
            for call in _calls(pacs):
                with pytest.raises(AuthenticationError) as raised:
                    call()
                assert not raised.value.retryable
                assert "wrong" not in str(raised.value)


def test_a_token_opens_and_a_wrong_one_does_not(tiny_pacs_server: TinyPacs) -> None:
    """A bearer token is sent; a wrong one raises AuthenticationError."""
    with DicomwebPacs("t", tiny_pacs_server.dicomweb_url, token=tiny_pacs_server.token) as pacs:
        assert pacs.check()
    with (
        DicomwebPacs("t", tiny_pacs_server.dicomweb_url, token="other") as pacs,
        pytest.raises(AuthenticationError),
    ):
        pacs.check()


def test_a_web_page_is_no_answer(spoiled: Spoiled) -> None:
    """A proxy's sign-in page with status 200 raises an error and is never taken as data."""
    for call in _calls(spoiled.pacs)[:-1]:
        spoiled.proxy.garbage()
        with pytest.raises(SuiteError):
            call()


def test_a_store_that_a_web_page_answers_is_not_stored(spoiled: Spoiled) -> None:
    """Status 200 with a page that names no instance does not count as stored."""
    study = tiny_study(slices=1)
    spoiled.proxy.garbage(only="POST")
    try:
        outcomes = spoiled.pacs.store(study.study_instance_uid, study.files)
        assert [item.status for item in outcomes] == ["failed"]
    except UnavailableError:
        pass
    assert spoiled.direct.search_series(study.study_instance_uid) == ()


def test_an_answer_that_breaks_off_is_no_answer(spoiled: Spoiled) -> None:
    """Half an instance is never handed on."""
    study = tiny_study(slices=1)
    spoiled.direct.store(study.study_instance_uid, study.files)
    spoiled.pacs.search_studies(StudyInstanceUID=study.study_instance_uid)
    spoiled.proxy.cut(times=5)
    with pytest.raises(SuiteError):
        spoiled.pacs.retrieve_instance(study.references[0])
    with pytest.raises(SuiteError):
        list(spoiled.pacs.retrieve_series(study.study_instance_uid, study.series_instance_uids[0]))


def test_a_dropped_instance_shows_when_read_back(spoiled: Spoiled) -> None:
    """An archive that says stored and lost one: the store says stored, the retrieve missing."""
    study = tiny_study(slices=2)
    spoiled.proxy.drop()
    outcomes = spoiled.pacs.store(study.study_instance_uid, study.files)
    assert [item.status for item in outcomes] == ["stored", "stored"]
    with pytest.raises(NotFoundError):
        spoiled.pacs.retrieve_instance(study.references[0])
    assert spoiled.pacs.retrieve_instance(study.references[1])


def test_a_partial_store_names_what_failed(
    orthanc_server: LocalOrthanc, faulty_pacs: Callable[[str], FaultyPacs]
) -> None:
    """Status 202: the instance that the answer lists as failed is failed, the others stored."""
    proxy, study = faulty_pacs(orthanc_server.dicomweb_url), tiny_study(slices=3)
    with _dicomweb(orthanc_server, proxy.url) as pacs:
        proxy.partial()
        outcomes = pacs.store(study.study_instance_uid, study.files)
        assert [item.status for item in outcomes] == ["failed", "stored", "stored"]
        assert outcomes[0].code == 0xA700
        again = pacs.store(study.study_instance_uid, study.files)
        assert [item.status for item in again] == ["stored"] * 3
        assert pacs.search_series(study.study_instance_uid)[0].instance_count == 3


def test_a_conflict_fails_all_and_stores_none(
    orthanc_server: LocalOrthanc, faulty_pacs: Callable[[str], FaultyPacs]
) -> None:
    """Status 409 with a list: every instance failed; what is already there is a duplicate."""
    proxy, study = faulty_pacs(orthanc_server.dicomweb_url), tiny_study(slices=2)
    with _dicomweb(orthanc_server, proxy.url) as pacs:
        proxy.conflict()
        outcomes = pacs.store(study.study_instance_uid, study.files)
        assert [item.status for item in outcomes] == ["failed", "failed"]
        pacs.store(study.study_instance_uid, study.files)
        proxy.conflict()
        outcomes = pacs.store(study.study_instance_uid, study.files)
        assert [item.status for item in outcomes] == ["duplicate", "duplicate"]


def test_another_object_under_the_same_uid_is_no_duplicate(tiny_pacs_server: TinyPacs) -> None:
    """An archive that refuses a known UID with other content: failed, and the first stays."""
    study = tiny_study(slices=1)
    changed = dataset_of(study.files[0])
    changed.SeriesDescription = "something else"
    with DicomwebPacs("t", tiny_pacs_server.dicomweb_url, token=tiny_pacs_server.token) as pacs:
        pacs.store(study.study_instance_uid, study.files)
        outcomes = pacs.store(study.study_instance_uid, [file_of(changed)])
        assert [item.status for item in outcomes] == ["failed"]
        assert dataset_of(pacs.retrieve_instance(study.references[0])) == dataset_of(study.files[0])


def test_a_request_that_is_too_large_is_divided(
    orthanc_server: LocalOrthanc, faulty_pacs: Callable[[str], FaultyPacs]
) -> None:
    """Status 413: half of the files are sent at a time; one that is alone fails as too large."""
    proxy, study = faulty_pacs(orthanc_server.dicomweb_url), tiny_study(slices=4)
    with _dicomweb(orthanc_server, proxy.url) as pacs:
        proxy.answer(413)
        outcomes = pacs.store(study.study_instance_uid, study.files)
        assert [item.status for item in outcomes] == ["stored"] * 4
        proxy.answer(413)
        outcomes = pacs.store(study.study_instance_uid, study.files[:1])
        assert [(item.status, item.code) for item in outcomes] == [("failed", 0xA700)]


def test_a_deleted_study_is_reported(orthanc_server: LocalOrthanc) -> None:
    """A study that a poll no longer finds, nor by its UID, was deleted: said once."""
    study = tiny_study(slices=1)
    with _dicomweb(orthanc_server) as pacs, _orthanc(orthanc_server) as orthanc:
        pacs.store(study.study_instance_uid, study.files)
        cursor = pacs.changes(None).cursor
        own = orthanc.changes(None).cursor
        auth = (orthanc_server.username, orthanc_server.password)
        with httpx.Client(auth=auth) as client:
            query = {"Level": "Study", "Query": {"StudyInstanceUID": study.study_instance_uid}}
            found = client.post(f"{orthanc_server.url}/tools/find", json=query).json()
            client.delete(f"{orthanc_server.url}/studies/{found[0]}").raise_for_status()
        batch = pacs.changes(cursor)
        kinds = [(item.kind, item.study_instance_uid) for item in batch.changes]
        assert kinds == [("deleted", study.study_instance_uid)]
        assert pacs.changes(batch.cursor).changes == ()
        assert orthanc.changes(own).changes == ()


def test_a_cursor_of_another_door_is_refused(orthanc_server: LocalOrthanc) -> None:
    """A cursor that this door did not write raises RejectedError instead of starting anew."""
    with _dicomweb(orthanc_server) as pacs, _orthanc(orthanc_server) as orthanc:
        with pytest.raises(RejectedError):
            pacs.changes("17@20260101T000000")
        with pytest.raises(RejectedError):
            orthanc.changes("q1:abc")


def test_a_server_that_does_not_count_is_counted(
    orthanc_server: LocalOrthanc, faulty_pacs: Callable[[str], FaultyPacs]
) -> None:
    """Without numbers of related instances, arrivals are still seen and counts are right."""
    proxy, study = faulty_pacs(orthanc_server.dicomweb_url), tiny_study("CT", slices=3)
    proxy.without = {"00201206", "00201208", "00201209"}
    with DicomwebPacs(
        "p", proxy.url, username=orthanc_server.username, password=orthanc_server.password
    ) as pacs:
        pacs.store(study.study_instance_uid, study.files[:2])
        cursor = pacs.changes(None, 100_000).cursor
        assert pacs.search_series(study.study_instance_uid)[0].instance_count == 2
        assert pacs.changes(cursor).changes == ()
        pacs.store(study.study_instance_uid, study.files[2:])
        changes = pacs.changes(cursor).changes
        assert [item.study_instance_uid for item in changes] == [study.study_instance_uid]


def test_a_server_that_answers_in_pages_is_read_to_the_end(
    orthanc_server: LocalOrthanc, faulty_pacs: Callable[[str], FaultyPacs]
) -> None:
    """A silent limit of a server cuts no list; one that ignores the offset ends the reading."""
    proxy, study = faulty_pacs(orthanc_server.dicomweb_url), tiny_study("CT", slices=45)
    with _dicomweb(orthanc_server, proxy.url) as pacs:
        pacs.store(study.study_instance_uid, study.files)
        uid, series = study.study_instance_uid, study.series_instance_uids[0]
        proxy.page = 20
        assert len(pacs.search_instances(uid, series)) == 45
        proxy.page, proxy.ignore_offset = 0, True
        assert len(pacs.search_instances(uid, series)) == 45
