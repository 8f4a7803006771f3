"""Records: valid by construction, canonical as bytes, and without patient data."""

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import canonical
from audit.errors import RecordError
from audit.guard import _pass, is_clean, refuse_patient_data
from audit.kinds import KINDS
from audit.record import (
    Actor,
    Outcome,
    Record,
    Source,
    Subject,
    decode,
    encode,
    make_record,
    new_event_id,
)

NOW = datetime(2026, 11, 24, 9, 14, 41, 950000, tzinfo=UTC)
SOURCE = Source("site-a", "node-a", "research", Actor("service:osteon", "service"))
RUN_ID = "ab" * 16


def _record(kind: str = "fault", body: dict[str, Any] | None = None, **fields: Any) -> Record:
    return make_record(kind, SOURCE, NOW, body or {"code": "X", "where": "pacs"}, **fields)


SIMPLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.dictionaries(st.sampled_from(["a", "b_x", "c-d"]), st.lists(SIMPLE, max_size=4)))
def test_record_comes_back(extra: dict[str, Any]) -> None:
    """Decoding gives the record that was encoded, and encoding it again the same bytes."""
    body = {"code": "X", "where": "pacs", **extra}
    record = _record(body=body, run_id=RUN_ID, subject=Subject("hmac:v1:ab", "10-17", "F"))
    assert decode(encode(record)) == record
    assert encode(decode(encode(record))) == encode(record)


def test_bytes_are_canonical_json_with_a_versioned_schema() -> None:
    """The stored form is RFC 8785: sorted keys, no blanks, UTF-8."""
    data = encode(_record())
    values = json.loads(data)
    assert values["schema"] == "osteon.audit.fault/1"
    assert values["recorded_at"] == "2026-11-24T09:14:41.950000Z"
    assert data == json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    assert "run_id" not in values


def test_canonical_form_of_the_rfc() -> None:
    """The example of RFC 8785, 3.2.2 and 3.2.3 has the bytes that the RFC prints."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical.encode(value) == expected.encode()


@pytest.mark.parametrize("data", [b'{"b":1,"a":2}', b'{"a": 1}', b"{", b"\xff", b'{"a":1.0}'])
def test_other_spelling_is_refused(data: bytes) -> None:
    """Bytes that are not the canonical form of what they say are not decoded."""
    with pytest.raises(RecordError):
        canonical.decode(data)


def test_numbers_beyond_the_exact_integers_come_back() -> None:
    """A double larger than 2**53 keeps its bytes; an integer that is none is refused."""
    data = canonical.encode([2.0**53, -(2.0**60)])
    assert data == b"[9007199254740992,-1152921504606847000]"
    assert canonical.decode(data) == [2.0**53, -(2.0**60)]
    with pytest.raises(RecordError):
        canonical.decode(b"[9007199254740993]")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: 2}, object()])
def test_what_json_cannot_carry_exactly_is_refused(value: Any) -> None:
    """Numbers that a double cannot hold, and values that JSON does not have, are refused."""
    with pytest.raises(RecordError):
        canonical.encode({"a": value})


def test_event_id_is_a_uuid_of_version_7_in_order_of_time() -> None:
    """Event ids are valid UUIDv7 and sort by their millisecond."""
    ids = [new_event_id(NOW + timedelta(milliseconds=n)) for n in range(50)]
    assert ids == sorted(ids)
    assert {uuid.UUID(text).variant for text in ids} == {uuid.RFC_4122}
    assert {uuid.UUID(text).version for text in ids} == {7}
    assert int(uuid.UUID(ids[0])) >> 80 == int(NOW.timestamp() * 1000)


def test_time_of_another_zone_is_kept_as_utc() -> None:
    """The same moment gives the same bytes, whatever zone it was given in."""
    record = _record()
    there = replace(record, recorded_at=NOW.astimezone(timezone(timedelta(hours=2))))
    assert encode(there) == encode(record)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "unheard"},
        {"mode": "production"},
        {"actor": Actor("x", "king")},
        {"actor": Actor("", "service")},
        {"outcome": Outcome(1)},
        {"outcome": Outcome(8, "a sentence of free text")},
        {"event_id": "0"},
        {"event_id": str(uuid.UUID(int=0))},
        {"recorded_at": datetime(2026, 1, 1)},
        {"site": ""},
        {"body": {"code": "X"}},
        {"subject": Subject("Doe^Jane")},
    ],
    ids=str,
)
def test_invalid_record_cannot_exist(changes: dict[str, Any]) -> None:
    """A record that breaks the schema is refused in construction."""
    with pytest.raises(RecordError):
        replace(_record(), **changes)


@pytest.mark.parametrize("kind", sorted(name for name, kind in KINDS.items() if kind.of_run))
def test_record_of_a_run_names_it(kind: str) -> None:
    """A kind that belongs to a run is refused without a run id."""
    with pytest.raises(RecordError, match="run id"):
        make_record(kind, SOURCE, NOW, dict.fromkeys(KINDS[kind].required, 1))


def test_groups_of_an_inference_are_complete() -> None:
    """An inference record that leaves out a row of the matrix is refused and names it."""
    kind = KINDS["inference"]
    body: dict[str, Any] = dict.fromkeys(kind.required, "not-evaluated")
    body |= {group: dict.fromkeys(keys, "not-evaluated") for group, keys in kind.groups.items()}
    make_record("inference", SOURCE, NOW, body, run_id=RUN_ID)
    del body["model"]["weights_sha256"]
    with pytest.raises(RecordError, match=r"model\.weights_sha256"):
        make_record("inference", SOURCE, NOW, body, run_id=RUN_ID)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b'{"kind":"fault","schema":"osteon.audit.fault/1"}',
        encode(_record()).replace(b"osteon.audit.fault/1", b"osteon.audit.fault/2"),
        encode(_record()).replace(b'"node"', b'"nodf"'),
        encode(_record()).replace(b"2026-11-24T", b"2026-13-24T"),
    ],
)
def test_malformed_record_is_refused(data: bytes) -> None:
    """Bytes that are canonical JSON, but no valid record, are not decoded."""
    with pytest.raises(RecordError):
        decode(data)


FORBIDDEN = [
    {"note": "Doe^Jane"},
    {"patient_name": "x"},
    {"PatientID": "x"},
    {"patient": {"birth_date": "x"}},
    {"date": "19700131"},
    {"date": "1970-01-31"},
    {"uid": "1.2.840.113619.2.55.3.604688119.868.1234567890.123"},
    {"uid": "2.25.329800735698586629295641978511506172918"},
    {"list": [{"text": "see 1.3.12.2.1107.5.1.4.12345.30000 for it"}]},
    {"text": "a" * 201},
    {"text": "two\nlines"},
    {"study_uid_p": "1.2.840.113619.2.55"},
    {"study_uid_p": ["2.25.x"]},
    {"Doe^Jane": 1},
    {"1.2.840.113619.2.55.3": 1},
    {"bytes": b"x"},
    {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}},
]


@pytest.mark.parametrize("body", FORBIDDEN, ids=lambda body: str(body)[:40])
def test_form_of_patient_data_is_refused_and_not_repeated(body: dict[str, Any]) -> None:
    """What looks like a name, date, number or full UID is refused, without quoting it."""
    with pytest.raises(RecordError) as caught:
        refuse_patient_data(body)
    for secret in ("Doe", "1970", "113619", "30000", "3298"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"study_uid_p": "2.25.329800735698586629295641978511506172918"},
        {"series_uid_p": ["2.25.1", "2.25.2"], "ups_uid_p": "not-evaluated"},
        {"sop_class": "1.2.840.10008.5.1.4.1.1.481.3"},
        {"version": "2.13.0+cpu", "digest": "sha256:" + "0" * 64, "seconds": 1.5, "none": None},
        {"member": {"weights/net.safetensors": "sha256:00"}, "at": "2026-11-24T09:00:00+00:00"},
    ],
    ids=lambda body: str(body)[:40],
)
def test_codes_and_pseudonyms_pass(body: dict[str, Any]) -> None:
    """Digests, versions, pseudonymous UIDs and UIDs of the standard are no patient data."""
    refuse_patient_data(body)


TEXTS = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="0123456789.", max_size=40),
    st.from_regex(r"(1\.2\.840\.10008|2\.25)(\.[0-9]{1,8}){0,6}", fullmatch=True),
    st.from_regex(r"(19|20)[0-9]{2}-?[0-9]{2}-?[0-9]{2}", fullmatch=True),
    st.from_regex(r"[A-Za-z]{1,8}\^[A-Za-z]{0,8}", fullmatch=True),
    st.text(min_size=199, max_size=203, alphabet="x"),
)
KEYS = st.one_of(
    st.sampled_from(["a", "study_uid_p", "x_uid_p", "PatientName", "birth_date", "mrn", "a.b"]),
    st.text(max_size=8),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.just(b"x")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_the_quick_pass_permits_nothing_that_the_slow_one_refuses(value: Any) -> None:
    """What `is_clean` lets through, the pass over every form lets through as well."""
    if is_clean(value):
        _pass(value, "body", key="", depth=0)


@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers()))
def test_numbers_are_written_as_the_library_writes_them(number: float) -> None:
    """A whole double stands as its integer: the bytes are those of RFC 8785 all the same."""
    import rfc8785

    if isinstance(number, int) and abs(number) >= 2**53:
        return
    record = _record(body={"code": "X", "where": "pacs", "n": number})
    expected = rfc8785.dumps({"n": number})[1:-1]
    assert b"," + expected + b"," in encode(record)
