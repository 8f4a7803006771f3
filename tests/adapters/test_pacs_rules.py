"""The rules of the web doors, apart from any server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dicomweb import polling, stow
from adapters.orthanc.changes import Cursor, arrival, is_another_archive
from adapters.orthanc.local import start_local_orthanc
from adapters.part10 import announced_count
from audit.errors import ConfigurationError, RejectedError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
COUNTS = st.text(st.characters(exclude_characters="@+"))
SIGNATURES = st.dictionaries(st.from_regex(r"2\.25\.[1-9][0-9]{0,9}", fullmatch=True), COUNTS)


@settings(deadline=None, max_examples=50)
@given(SIGNATURES)
def test_a_polling_cursor_keeps_what_it_was_given(known: dict[str, str]) -> None:
    """Encoding and decoding a cursor gives the same signatures."""
    assert polling.decode(polling.encode(known)) == known


@settings(deadline=None, max_examples=50)
@given(SIGNATURES, SIGNATURES, st.integers(1, 5))
def test_polling_ends_and_reports_each_difference_once(
    before: dict[str, str], present: dict[str, str], limit: int
) -> None:
    """Read in small steps, every changed or deleted study is reported once, then none."""
    cursor, reported = polling.encode(before), []
    for _ in range(len(before) + len(present) + 1):
        batch = polling.compare(cursor, present, lambda uid: uid not in present, NOW, limit)
        reported += [(item.kind, item.study_instance_uid) for item in batch.changes]
        cursor = batch.cursor
    changed = {("changed", uid) for uid in present if before.get(uid) != present[uid]}
    deleted = {("deleted", uid) for uid in before if uid not in present}
    assert len(reported) == len(set(reported))
    assert set(reported) == changed | deleted


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from("AB"), st.sampled_from("AB"))
def test_another_patient_is_told_apart_from_another_count(
    before: int, after: int, patient: str, now: str
) -> None:
    """Each is a change of its own; a cursor of before patients were kept tells of none."""
    old = polling.signature("2.25.1", before, 2, patient)
    new = polling.signature("2.25.1", after, 2, now)
    kinds = ["changed"] * (before != after)
    for known, expected in (
        (old, kinds + ["patient"] * (patient != now)),
        (old.partition("@")[0], kinds),
    ):
        cursor = polling.encode({"2.25.1": known})
        batch = polling.compare(cursor, {"2.25.1": new}, lambda _: False, NOW, 10)
        assert [item.kind for item in batch.changes] == expected
        assert polling.decode(batch.cursor) == {"2.25.1": new}


def test_a_study_outside_the_window_is_not_deleted() -> None:
    """A study that the list leaves out but the server still has stays known."""
    cursor = polling.encode({"2.25.1": "4/1"})
    batch = polling.compare(cursor, {}, lambda _: False, NOW, 10)
    assert batch.changes == ()
    assert polling.decode(batch.cursor) == {"2.25.1": "4/1"}


@pytest.mark.parametrize("text", ["", "12", "q1:", "q1:!!!", "q1:0000", "q2:abc"])
def test_another_text_is_no_polling_cursor(text: str) -> None:
    """A text that polling did not write raises RejectedError."""
    with pytest.raises(RejectedError):
        polling.decode(text)


def test_the_orthanc_cursor_comes_back() -> None:
    """Encoding and decoding an Orthanc cursor gives the same; None is the beginning."""
    cursor = Cursor(17, "20260301T120000")
    assert Cursor.decode(cursor.encode()) == cursor
    assert Cursor.decode(None) == Cursor()


def test_an_archive_set_up_anew_is_told_from_a_deletion() -> None:
    """Smaller number and later date: a new log.  Smaller number and older date: a deletion."""
    cursor = Cursor(100, "20260301T120000")
    assert is_another_archive(cursor, Cursor(3, "20260302T080000"))
    assert not is_another_archive(cursor, Cursor(90, "20260301T110000"))
    assert not is_another_archive(cursor, Cursor())


@pytest.mark.parametrize(("stated_s", "expected_s"), [(-5, -1), (-0.5, -0.5), (60, 0)])
def test_a_clock_that_differs_does_not_move_an_arrival(stated_s: float, expected_s: float) -> None:
    """An arrival lies between the previous poll and now, whatever the archive's clock says."""
    stated = NOW + timedelta(seconds=stated_s)
    found = arrival(f"{stated:%Y%m%dT%H%M%S}", NOW, NOW - timedelta(seconds=1))
    assert abs((found - NOW).total_seconds() - expected_s) <= 0.5


def test_an_arrival_without_a_date_is_now() -> None:
    """A date that cannot be read counts as now; before the first poll the date counts."""
    assert arrival("soon", NOW, None) == NOW
    assert arrival("20260301T110000", NOW, None) == NOW - timedelta(hours=1)


XML = b"""<?xml version="1.0"?><NativeDicomModel>
<DicomAttribute tag="00081199" vr="SQ"><Item number="1">
<DicomAttribute tag="00081155" vr="UI"><Value number="1">2.25.1</Value></DicomAttribute>
</Item></DicomAttribute>
<DicomAttribute tag="00081198" vr="SQ"><Item number="1">
<DicomAttribute tag="00081155" vr="UI"><Value number="1">2.25.2</Value></DicomAttribute>
<DicomAttribute tag="00081197" vr="US"><Value number="1">290</Value></DicomAttribute>
</Item></DicomAttribute></NativeDicomModel>"""


def test_an_answer_in_xml_is_read() -> None:
    """A server that answers a store in the Native DICOM Model is understood."""
    answer = stow.answer_of(XML, "application/dicom+xml")
    outcomes = stow.outcomes_of(["2.25.1", "2.25.2", "2.25.3"], 202, answer)
    assert [item.status for item in outcomes] == ["stored", "failed", "failed"]
    assert outcomes[1].code == 0x0122
    assert outcomes[1].reason == "SOP Class not supported"


@pytest.mark.parametrize("code", [0x0111, 45070])
def test_codes_that_say_already_stored_are_duplicates(code: int) -> None:
    """Both ways of servers to say that they have an instance are one outcome here."""
    item = {stow.REFERENCED_SOP_INSTANCE_UID: "2.25.1", stow.FAILURE_REASON: code}
    outcome = stow.outcomes_of(["2.25.1"], 409, {stow.FAILED_SOP_SEQUENCE: (item,)})[0]
    assert (outcome.status, outcome.code) == ("duplicate", code)


def test_a_warning_is_kept() -> None:
    """An instance that is stored with a warning reason keeps the reason."""
    item = {stow.REFERENCED_SOP_INSTANCE_UID: "2.25.1", stow.WARNING_REASON: 0xB000}
    outcome = stow.outcomes_of(["2.25.1"], 202, {stow.REFERENCED_SOP_SEQUENCE: (item,)})[0]
    assert (outcome.status, outcome.code) == ("warning", 0xB000)


@pytest.mark.parametrize(
    ("status", "expected"), [(200, "stored"), (202, "failed"), (400, "failed")]
)
def test_an_empty_answer_counts_by_its_status(status: int, expected: str) -> None:
    """Without a list only status 200 says that everything was stored."""
    answer = stow.answer_of(b"", "")
    assert stow.outcomes_of(["2.25.1"], status, answer)[0].status == expected


@pytest.mark.parametrize(
    "payload",
    [b"<html></html", b"{", b"[1]", b'"text"', b"\xff\xfe", b'{"00081199": 5}', b"<a><b></a>"],
)
@pytest.mark.parametrize("content_type", ["application/dicom+json", "text/html", "text/xml"])
def test_another_answer_is_no_store_response(payload: bytes, content_type: str) -> None:
    """Whatever else comes raises ValueError and no other error, or names no instance."""
    try:
        answer = stow.answer_of(payload, content_type)
    except ValueError:
        return
    assert not any(answer.values())


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 60))
def test_batches_hold_each_file_once_and_stay_small(sizes: list[int], limit: int) -> None:
    """Every file is in one batch, in order; a batch is beyond the limit only with one file."""
    files = [b"x" * size for size in sizes]
    found = list(stow.batches(files, limit))
    assert [position for batch in found for position in batch] == list(range(len(files)))
    for batch in found:
        assert len(batch) == 1 or sum(sizes[item] for item in batch) <= limit


@pytest.mark.parametrize(
    ("modality", "counts", "expected"),
    [
        ("CT", {}, None),
        ("CT", {"ImagesInAcquisition": "90"}, 90),
        ("CT", {"ImagesInAcquisition": "90", "NumberOfTemporalPositions": "2"}, 180),
        ("PT", {"NumberOfSlices": "47", "NumberOfTimeSlices": "3"}, 141),
        ("CT", {"NumberOfSlices": "47"}, None),
        ("CT", {"ImagesInAcquisition": "90", "NumberOfFrames": "90"}, None),
        ("CT", {"ImagesInAcquisition": "many"}, None),
    ],
)
def test_what_a_series_announces(
    modality: str, counts: dict[str, str], expected: int | None
) -> None:
    """Counts are taken from the attributes of the modality, and never from a multi-frame one."""
    assert announced_count(modality, counts) == expected


def test_a_missing_orthanc_is_said_with_advice(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the program the error says what to install."""
    monkeypatch.setattr("adapters.orthanc.local.find_orthanc", lambda: None)
    with (
        pytest.raises(ConfigurationError) as raised,
        start_local_orthanc(tmp_path),  # type: ignore[arg-type]
    ):
        pass
    assert "apt install orthanc" in raised.value.advice
