"""Is a plugin a legacy system, and which change ends that?  Computed from the change ledger.

A system that was placed on the market before the AI Act's high-risk duties began is free of
them until a significant change of its design (Art. 111(2)).  A change of class D2 or D3
counts as one; a D2 alone may be assessed as not significant by a person, on record.

Source: REGULATORY.md row AIA-111.2 and trap 7 of section 0.2.

Read next: `change/ledger.py`, `change/gates.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from governance.applicability import Applicability, MarketHistory, legacy_end
from governance.change.ledger import ChangeRequest

NOT_SIGNIFICANT, ACCEPTED = "not_significant_design_change", "legacy_end_accepted"
"""Statements of a change request."""
REGIME = "aia-high-risk"


@dataclass(frozen=True, slots=True)
class LegacyStatus:
    """Where a plugin stands under Art. 111(2).

    Parameters
    ----------
    is_legacy : it was placed before the border, and nothing has ended its status yet.
    border : placed before this day it can be legacy; None: there is no border on the route.
    ended_by : release digest of the change that ended it; empty where none did.
    complies_from : day from which the duties hold for it; None while they do not.
    """

    is_legacy: bool
    border: date | None
    ended_by: str
    complies_from: date | None


def is_significant(request: ChangeRequest) -> bool:
    """Tell whether a change counts as a significant change of design."""
    if request.withdrawn or request.change_class not in ("D2", "D3"):
        return False
    return request.change_class == "D3" or NOT_SIGNIFICANT not in statements(request)


def statements(request: ChangeRequest) -> frozenset[str]:
    """Return the names of what a person stated in a change request."""
    found = request.facts.get("statements")
    return frozenset(found) if isinstance(found, dict) else frozenset()


def legacy_status(
    table: Applicability,
    route: str,
    placed: tuple[date | None, bool],
    ledger: Iterable[ChangeRequest],
    on: date,
) -> LegacyStatus:
    """Return the legacy status of a plugin on a day.

    Parameters
    ----------
    placed : when it was first placed on the market (None: not yet), and whether it is meant
        for public authorities.
    ledger : its change requests; those after the day do not count.
    """
    regime = next((d.regime for d in table.duties if d.regime.regime_id == REGIME), None)
    legacy = regime.legacy if regime else None
    border = legacy.placed_before.get(route) if legacy else None
    if regime is None or legacy is None or border is None:
        return LegacyStatus(False, None, "", None)
    begins = regime.starts.get(route)
    changes = [item for item in ledger if is_significant(item)]
    days = {day_of(item.recorded_at): item for item in reversed(changes)}
    past = tuple(day for day in days if day <= on)
    from_day = legacy_end(legacy, begins, route, MarketHistory(placed[0], past, placed[1]))
    freed = placed[0] is not None and placed[0] < border
    ended = from_day is not None and from_day <= on
    by = days.get(from_day) if freed and ended and from_day is not None else None
    return LegacyStatus(
        is_legacy=freed and not ended,
        border=border,
        ended_by=by.new_digest if by else "",
        complies_from=from_day,
    )


def ends_legacy(status: LegacyStatus, request: ChangeRequest, begins: date | None) -> bool:
    """Tell whether activating this change would end the legacy status."""
    day = day_of(request.recorded_at)
    return (
        status.is_legacy and is_significant(request) and (begins is None or day >= begins)
    )  # fmt: skip


def day_of(moment: datetime) -> date:
    """Return the calendar day of a moment in UTC."""
    return moment.date()
