"""What an HTTP answer means: which error, and when to come again."""

from __future__ import annotations

import pytest

from adapters.fhir.faults import error_of
from adapters.http_status import LONGEST_WAIT_S, error_for, retry_after_s
from audit.errors import RejectedError, UnavailableError

DATE = "Tue, 24 Nov 2026 09:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "99999999999999999999"}, LONGEST_WAIT_S),
        ({"Retry-After": "Tue, 24 Nov 2026 09:10:00 GMT", "Date": DATE}, 600.0),
        ({"Retry-After": "Tue, 24 Nov 2026 08:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Tue, 24 Nov 2099 08:00:00 GMT", "Date": DATE}, LONGEST_WAIT_S),
        ({"Retry-After": "Tue, 24 Nov 2026 09:10:00", "Date": DATE}, 600.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "٣"}, None),
    ],
)
def test_a_server_says_when_to_come_again(headers, wait_s):
    """RFC 9110 10.2.3: seconds or a date, never longer than a day, nonsense is nothing."""
    assert retry_after_s(headers) == wait_s


@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_is_part_of_the_error(status):
    """An archive and a FHIR server that are busy hand on when they may be asked again."""
    error = error_for("pacs", status, "search", {"Retry-After": "7"})
    assert isinstance(error, UnavailableError)
    assert error.retry_after_s == 7.0
    assert isinstance(error_of(status, None, "posting", 7.0), UnavailableError)


def test_several_matches_are_told_as_such():
    """412 to a conditional create means that what we would make is there more than once."""
    error = error_of(412, None, "posting")
    assert isinstance(error, RejectedError)
    assert "doubled" in error.advice
