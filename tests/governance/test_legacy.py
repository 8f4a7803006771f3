"""Legacy status under Art. 111(2): one significant change ends it, from the border on."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from governance.applicability import shipped
from governance.change.ledger import REQUEST, ChangeRequest, encode
from governance.change_control import ChangeFlags
from governance.legacy import LegacyStatus, legacy_status, must_be_accepted, status_of
from tests.simulators.governed_memory import GovernedMemory

BEGINS = date(2028, 8, 2)


def change(day: date, change_class: str = "D3", **more: Any) -> ChangeRequest:
    """Return a change request of a day."""
    statements = more.pop("statements", {})
    return ChangeRequest(
        plugin="knee", old_digest="sha256:1", new_digest=f"sha256:{day:%Y%m%d}",
        baseline_digest="", plan_digest="", change_class=change_class, kinds=(),
        flags=ChangeFlags(), recorded_at=datetime(day.year, day.month, day.day, tzinfo=UTC),
        facts={"statements": statements}, **more,
    )  # fmt: skip


def status(
    *ledger: ChangeRequest,
    placed: date | None = date(2027, 1, 1),
    route: str = "mdr-iib",
    on: date = date(2030, 1, 1),
    public: bool = False,
) -> LegacyStatus:
    """Return the status of a plugin with these changes."""
    return legacy_status(shipped(), route, (placed, public), ledger, on)


@pytest.mark.reg("AIA-111.2")
def test_one_significant_change_ends_legacy_status() -> None:
    """Before the change it is legacy; the change flips it, and is named."""
    first, second = change(date(2029, 1, 5)), change(date(2029, 6, 1))
    assert status() == LegacyStatus(True, BEGINS, "", None)
    found = status(first, second)
    assert (found.is_legacy, found.ended_by) == (False, first.new_digest)
    assert found.complies_from == date(2029, 1, 5)
    assert status(first, on=date(2029, 1, 4)).is_legacy


@pytest.mark.reg("AIA-111.2")
@pytest.mark.parametrize(
    ("one", "legacy"),
    [
        (change(date(2029, 1, 5), "D0"), True),
        (change(date(2029, 1, 5), "D1"), True),
        (change(date(2029, 1, 5), "D2"), False),
        (change(date(2029, 1, 5), "D2", statements={"not_significant_design_change": "x"}), True),
        (change(date(2029, 1, 5), "D3", statements={"not_significant_design_change": "x"}), False),
        (change(date(2029, 1, 5), "D3", withdrawn=True), True),
        (change(date(2028, 8, 1), "D3"), True),
        (change(date(2028, 8, 2), "D3"), False),
    ],
)
def test_which_changes_count(one: ChangeRequest, legacy: bool) -> None:
    """D3 always, D2 unless assessed otherwise, from 2 August 2028 on; withdrawn ones never."""
    assert status(one).is_legacy is legacy


@pytest.mark.reg("AIA-111.2")
def test_what_was_never_placed_before_is_no_legacy() -> None:
    """A system not yet placed, placed later, or on a route without border is not legacy."""
    assert status(placed=None) == LegacyStatus(False, BEGINS, "", BEGINS)
    assert not status(placed=BEGINS).is_legacy
    assert status(route="in-house") == LegacyStatus(False, None, "", None)
    assert status(placed=date(2028, 8, 1)).is_legacy


@pytest.mark.reg("AIA-111.2")
def test_public_authorities_comply_by_2030() -> None:
    """Meant for public authorities, it complies from 2 August 2030 without any change."""
    found = status(public=True)
    assert (found.is_legacy, found.complies_from) == (True, date(2030, 8, 2))
    late = status(public=True, on=date(2030, 8, 2))
    assert (late.is_legacy, late.ended_by) == (False, "")


def site(*requests: ChangeRequest, placed: str = "2027-01-01") -> GovernedMemory:
    """Return the documents of a site whose plugin was placed on a day."""
    found = GovernedMemory()
    if placed:
        found.put_governed("placing", "knee", {"first_placed": placed})
    for item in requests:
        found.put_governed(REQUEST, item.new_digest, encode(item))
    return found


@pytest.mark.reg("AIA-111.2")
def test_ending_legacy_status_waits_for_acceptance() -> None:
    """A significant change that goes into use from the border on has to be accepted by name."""
    one, day = change(date(2028, 7, 1), "D2"), date(2028, 8, 2)
    assert must_be_accepted(site(one), one, day)
    assert not must_be_accepted(site(one), one, date(2028, 8, 1))
    assert not must_be_accepted(site(one, placed=""), one, day)
    assert not must_be_accepted(site(one, placed="2028-08-02"), one, day)
    small = change(date(2028, 7, 1), "D1")
    assert not must_be_accepted(site(small), small, day)
    accepted = change(date(2028, 7, 1), "D2", statements={"legacy_end_accepted": "complete"})
    assert not must_be_accepted(site(accepted), accepted, day)


@pytest.mark.reg("AIA-111.2")
def test_another_change_on_record_accepts_nothing() -> None:
    """Only a change that was accepted and stands frees the next one; a class I device is free."""
    day = date(2029, 2, 1)
    one, other = change(date(2029, 1, 1)), change(date(2029, 1, 2))
    assert must_be_accepted(site(one, other), other, day)
    said = {"legacy_end_accepted": "complete"}
    agreed = change(date(2029, 1, 1), statements=said)
    assert not must_be_accepted(site(agreed, other), other, day)
    gone = change(date(2029, 1, 1), statements=said, withdrawn=True)
    assert must_be_accepted(site(gone, other), other, day)
    store = site(other)
    store.put_governed("classification", "knee", {"mdr_class": "I"})
    assert not must_be_accepted(store, other, day)


def test_the_status_at_a_site_is_that_of_its_documents() -> None:
    """Placing, class and change requests of the site give the status; without placing: none."""
    one = change(date(2029, 1, 5))
    assert status_of(site(), "knee", date(2029, 1, 1)).is_legacy
    assert status_of(site(one), "knee", date(2029, 1, 5)).ended_by == one.new_digest
    assert not status_of(site(placed=""), "knee", date(2029, 1, 1)).is_legacy
