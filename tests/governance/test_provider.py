"""What a provider declares: read whole or refused; retention never ends a day early."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import ConfigurationError
from governance.provider import (
    QMS_ASPECTS,
    Placing,
    qms_gaps,
    read_placing,
    read_provider,
    read_qms,
    read_standards,
)
from tests.simulators.papers import TODAY, provided

ASPECT = {"procedure": "P", "owner": "O", "review_due": "2027-01-01"}


@pytest.mark.reg("AIA-16")
def test_a_provider_is_read_whole() -> None:
    """Identity, notified body and devices come back as they were written."""
    found = read_provider(provided())
    assert found.notified_body is not None
    assert found.notified_body.number == "0123"
    assert found.devices["outline"].udi_di == "D"
    assert read_provider(provided(notified_body=None) | {"notified_body": {}}).notified_body is None


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "x"}, {"name": ""}, {"address": 3}, {"extra": 1},
        {"notified_body": {"name": "B", "number": "12", "procedure": "P", "certificate_id": "C"}},
        {"devices": {"outline": {"name": "O"}}},
    ],
)  # fmt: skip
def test_a_malformed_provider_is_refused(change: dict[str, Any]) -> None:
    """A missing name, a number that no notified body has, an unknown key: refused."""
    with pytest.raises(ConfigurationError):
        read_provider(provided(**change))


@pytest.mark.reg("AIA-17")
def test_quality_management_is_whole_with_thirteen_aspects_in_time() -> None:
    """13 of 13 mapped and no review overdue; each gap is named by its letter."""
    every = read_qms({"schema": "x", "aspects": dict.fromkeys(QMS_ASPECTS, ASPECT)})
    assert len(QMS_ASPECTS) == 13
    assert qms_gaps(every, TODAY) == ()
    assert qms_gaps(every, date(2027, 1, 2)) == tuple(QMS_ASPECTS)
    some = {letter: aspect for letter, aspect in every.items() if letter != "h"}
    assert qms_gaps(some, TODAY) == ("h",)
    with pytest.raises(ConfigurationError):
        read_qms({"schema": "x", "aspects": {"z": ASPECT}})
    with pytest.raises(ConfigurationError):
        read_qms({"schema": "x", "aspects": {"a": ASPECT | {"owner": ""}}})


@pytest.mark.reg("AIA-18")
@given(st.dates(date(2000, 1, 1), date(2090, 12, 31)))
def test_documents_are_kept_ten_years_after_the_last_unit(last: date) -> None:
    """The day ten years later, and 1 March where the year has no 29 February; never earlier."""
    until = Placing(date(2000, 1, 1), last).kept_until()
    assert until is not None
    assert until.year == last.year + 10
    assert (until.month, until.day) >= (last.month, last.day)
    assert (until - last).days <= 3653


def test_while_units_are_placed_the_term_has_not_begun() -> None:
    """Without a last unit there is no end; a last before the first is refused."""
    assert read_placing({"schema": "x", "first_placed": "2026-01-01"}).kept_until() is None
    whole = read_placing({"schema": "x", "first_placed": "2026-01-01", "last_placed": "2028-02-29"})
    assert whole.kept_until() == date(2038, 3, 1)
    with pytest.raises(ConfigurationError):
        read_placing({"schema": "x", "first_placed": "2026-01-01", "last_placed": "2025-01-01"})


@pytest.mark.reg("PREN-18286")
def test_a_standard_gives_presumption_only_with_a_citation() -> None:
    """The reference in the Official Journal stays empty until somebody records it."""
    row = {"reference": "EN 1", "title": "T", "extent": "part"}
    (found,) = read_standards({"schema": "x", "standards": [row]})
    assert found.oj_reference == ""
    for rows in ([], [row | {"extent": "mostly"}]):
        with pytest.raises(ConfigurationError):
            read_standards({"schema": "x", "standards": rows})
