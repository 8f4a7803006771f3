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
from datetime import date

from governance.applicability import (
    Applicability,
    MarketHistory,
    Regime,
    legacy_end,
    shipped,
    with_overrides,
)
from governance.change.ledger import ChangeRequest, ledger
from governance.ports import GovernedStore
from governance.reading import Table

NOT_SIGNIFICANT, ACCEPTED = "not_significant_design_change", "legacy_end_accepted"
"""Statements of a change request."""
REGIME = "aia-high-risk"
APPLICABILITY, PLACING, CLASSIFICATION = "applicability", "placing", "classification"
"""Kinds of governed documents: the site's own dates; first placing; class of the device."""
SITE = "site"
"""Name of a governed document that holds for the whole site."""


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
    changes: Iterable[ChangeRequest],
    on: date,
) -> LegacyStatus:
    """Return the legacy status of a plugin on a day.

    Parameters
    ----------
    placed : when it was first placed on the market (None: not yet), and whether it is meant
        for public authorities.
    changes : its change requests; those after the day do not count.
    """
    regime = _regime(table)
    legacy = regime.legacy if regime else None
    border = legacy.placed_before.get(route) if legacy else None
    if regime is None or legacy is None or border is None:
        return LegacyStatus(False, None, "", None)
    begins = regime.starts.get(route)
    significant = [item for item in changes if is_significant(item)]
    days = {item.recorded_at.date(): item for item in reversed(significant)}
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


def status_of(documents: GovernedStore, plugin: str, on: date) -> LegacyStatus:
    """Return the legacy status of a plugin at a site on a day."""
    placed, route = placing_of(documents, plugin)
    table = applicability_of(documents)
    return legacy_status(table, route, (placed, False), ledger(documents, plugin), on)


def must_be_accepted(documents: GovernedStore, request: ChangeRequest, on: date) -> bool:
    """Tell whether a change would end legacy status, and nobody has accepted that yet.

    Asked at the day on which it goes into use: a change that was decided before the duties
    began and goes into use afterwards ends the status too.
    """
    placed, route = placing_of(documents, request.plugin)
    regime = _regime(applicability_of(documents))
    begins = regime.starts.get(route) if regime else None
    border = regime.legacy.placed_before.get(route) if regime and regime.legacy else None
    if border is None or placed is None or placed >= border:
        return False
    if not is_significant(request) or (begins is not None and on < begins):
        return False
    known = (request, *ledger(documents, request.plugin))
    return not any(ACCEPTED in statements(item) for item in known if not item.withdrawn)


def applicability_of(documents: GovernedStore) -> Applicability:
    """Return the data of duties, with the site's own laid over where it has some."""
    document = documents.governed(APPLICABILITY, SITE)
    return shipped() if document is None else with_overrides(document.content)


def placing_of(documents: GovernedStore, plugin: str) -> tuple[date | None, str]:
    """Return when a plugin was first placed on the market, and its route.

    Where nobody recorded the device class it is taken for IIb.
    """
    placing = documents.governed(PLACING, plugin)
    placed = Table(PLACING, placing.content).day("first_placed") if placing else None
    record = documents.governed(CLASSIFICATION, plugin)
    found = Table(CLASSIFICATION, record.content).text("mdr_class", "IIb") if record else "IIb"
    return placed, f"mdr-{found.lower()}"


def _regime(table: Applicability) -> Regime | None:
    return next((d.regime for d in table.duties if d.regime.regime_id == REGIME), None)
