"""Legacy status under Art. 111(2): one significant change ends it, from the border on."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from governance.applicability import shipped
from governance.change.ledger import ChangeRequest
from governance.change_control import ChangeFlags
from governance.legacy import LegacyStatus, ends_legacy, is_significant, legacy_status

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


@pytest.mark.reg("AIA-111.2")
def test_the_change_that_would_end_it_is_told_beforehand() -> None:
    """A significant change from the border on ends it; an earlier or smaller one does not."""
    now = status(on=date(2029, 1, 1))
    assert ends_legacy(now, change(date(2029, 1, 2)), BEGINS)
    assert not ends_legacy(now, change(date(2029, 1, 2), "D1"), BEGINS)
    assert not ends_legacy(now, change(date(2028, 1, 2)), BEGINS)
    gone = status(change(date(2028, 12, 1)), on=date(2029, 1, 1))
    assert not ends_legacy(gone, change(date(2029, 1, 2)), BEGINS)
    assert is_significant(change(date(2029, 1, 2)))
