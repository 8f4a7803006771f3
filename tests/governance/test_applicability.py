"""Duties are dated data: the tables before and after each date are these, and no code knows."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import ConfigurationError
from governance.applicability import (
    MarketHistory,
    duties,
    read_applicability,
    shipped,
    with_overrides,
)

HIGH_RISK = {
    *("AIA-6.1", "AIA-8.2", "AIA-9.1", "AIA-9.5", "AIA-9.8", "AIA-9.9", "AIA-10.2", "AIA-10.3"),
    *("AIA-10.2fg", "AIA-4a", "AIA-11.1", "AIA-12.1", "AIA-12.2a", "AIA-12.2b", "AIA-19.1"),
    *("AIA-13.3b", "AIA-13.3c", "AIA-14.4a", "AIA-14.4b", "AIA-14.4c", "AIA-14.4d", "AIA-14.4e"),
    *("AIA-15.1", "AIA-15.4", "AIA-15.4L", "AIA-15.5", "AIA-16", "AIA-17", "AIA-18", "AIA-20"),
    *("AIA-21", "AIA-25.1", "AIA-25.4", "AIA-26.1", "AIA-26.4", "AIA-26.5", "AIA-26.9"),
}
CONFORMITY = {
    *("AIA-43.3", "AIA-43.4", "AIA-47", "AIA-72.1", "AIA-72.3", "AIA-73.2", "AIA-73.6"),
}
MDR = {*("MDR-VIII", "MDR-GSPR17", "MDR-UDI", "MDR-PMS", "MDR-87")}
HOUSE = {
    *("TLOG-1", "TLOG-2", "LOGSEC-1", "VAL-1", "GMLP-10", "IEC-62304", "ISO-13485", "IEC-82304"),
    *("IEC-81001", "PREN-18286", "BALP-1", "PS315-A5", "AIWI-1", "AIR-1", "AIRAI-1", "BRTO-2"),
    *("AIT-FHIR", "TG263-1", "TG218-1", "TG119-1", "TG132-1", "TG275-1", "ESTRO-1", "AIDRT-1"),
    *("PS315-E", "RPT-1"),
}
GDPR = {"GDPR-22", "GDPR-25", "GDPR-30", "GDPR-32"}
ALWAYS_EU = {*HOUSE, *GDPR, *MDR, "MDR-IX", "NIS2-1", "BSS-63"}
ROWS = {
    *HIGH_RISK, *CONFORMITY, *MDR, *HOUSE, *GDPR, "MDR-IX", "AIA-2.13", "AIA-111.2", "AIA-50.2",
    "AIA-49", "NIS2-1", "BSS-63", "PLD-1", "FDA-PCCP1", "FDA-PCCP3", "CN-1", "EHDS-1",
}  # fmt: skip
"""Every row of section 1 of REGULATORY.md."""


def ids(on: date, route: str = "mdr-iib", jurisdiction: str = "EU", **history: Any) -> set[str]:
    """Return the ids of the duties in force."""
    found = duties(on, jurisdiction, route, MarketHistory(**history))
    return {duty.duty_id for duty in found}


@pytest.mark.reg("AIA-2.13")
def test_every_row_of_the_matrix_is_there() -> None:
    """The data have each row of the matrix once, and Art. 4 and 5, each with title and mark."""
    table = shipped()
    assert {duty.duty_id for duty in table.duties} == ROWS | {"AIA-4", "AIA-5"}
    assert len(ROWS) == 91
    assert all(duty.title and duty.section and duty.regime.law for duty in table.duties)


GOLDEN: tuple[tuple[date, str, set[str]], ...] = (
    (date(2025, 2, 2), "mdr-iib", {"AIA-4", "AIA-5"}),
    (date(2026, 7, 27), "mdr-iib", {"AIA-2.13"}),
    (date(2026, 8, 2), "mdr-iib", {"AIA-50.2"}),
    (date(2026, 12, 2), "mdr-iib", set()),
    (date(2026, 12, 9), "mdr-iib", {"PLD-1"}),
    (date(2027, 12, 2), "mdr-iib", set()),
    (date(2027, 12, 2), "annex-iii",
     {*HIGH_RISK, *CONFORMITY, "AIA-49", "AIA-111.2"} - {"AIA-8.2", "AIA-43.3"}),
    (date(2028, 8, 2), "mdr-iib", {*HIGH_RISK, *CONFORMITY, "AIA-111.2"}),
    (date(2028, 8, 2), "mdr-iia", {*HIGH_RISK, *CONFORMITY, "AIA-111.2"}),
    (date(2028, 8, 2), "mdr-i", set()),
    (date(2028, 8, 2), "in-house", set()),
    (date(2028, 8, 2), "annex-iii", set()),
    (date(2029, 3, 26), "mdr-iib", {"EHDS-1"}),
)  # fmt: skip


@pytest.mark.reg("AIA-2.13")
@pytest.mark.parametrize(
    ("day", "route", "begins"), GOLDEN, ids=[f"{row[0]}-{row[1]}" for row in GOLDEN]
)
def test_what_begins_on_a_date(day: date, route: str, begins: set[str]) -> None:
    """Exactly these duties are in force on the day and were not on the day before."""
    assert ids(day, route) - ids(day - timedelta(days=1), route) == begins
    assert ids(day - timedelta(days=1), route) <= ids(day, route)


@pytest.mark.reg("AIA-2.13")
def test_the_whole_table_before_and_after_2_august_2028() -> None:
    """1 August 2028 and 2 August 2028, MDR class IIb in the EU: these duties and no other."""
    before = {*ALWAYS_EU, "AIA-4", "AIA-5", "AIA-2.13", "AIA-50.2", "PLD-1"}
    assert ids(date(2028, 8, 1)) == before
    assert ids(date(2028, 8, 2)) == {*before, *HIGH_RISK, *CONFORMITY, "AIA-111.2"}


def test_each_date_says_how_it_was_checked() -> None:
    """Every dated regime names where its day was read; what was not checked says unverified."""
    regimes = {duty.regime.regime_id: duty.regime for duty in shipped().duties}
    dated = {key: found for key, found in regimes.items() if any(found.starts.values())}
    assert set(regimes) - set(dated) == {"standards", "house"}
    assert all(found.date.source for found in dated.values())
    assert {key for key, found in dated.items() if found.date.checked == "unverified"} == {
        "aia-conformity"
    }
    read = {"nis2", "health-data-space", "gdpr"}
    assert all(regimes[key].date.checked == "text" for key in read)
    reported = {"euratom", "pipl", "fda-pccp", "mdr", "product-liability"}
    assert all(regimes[key].date.checked == "secondary" for key in reported)


def test_a_date_that_nobody_checked_is_unverified() -> None:
    """A site's own date without a check is laid over as unverified, a wrong word is refused."""
    row = {
        "id": "nis2", "law": "national act", "jurisdiction": "EU", "source": "L·K",
        "start": [{"routes": ["*"], "from": date(2025, 12, 6)}],
    }  # fmt: skip
    found = with_overrides({"regime": [row]})
    (duty,) = [d for d in found.on(date(2026, 1, 1), "EU", "mdr-iib") if d.duty_id == "NIS2-1"]
    assert (duty.since, duty.regime.date.checked) == (date(2025, 12, 6), "unverified")
    for wrong in ({"checked": "sure", "source": "x"}, {"checked": "text"}, {"source": "x"}):
        with pytest.raises(ConfigurationError):
            with_overrides({"regime": [{**row, "date": wrong}]})


@pytest.mark.reg("AIA-50.2")
def test_older_systems_have_until_december_to_mark() -> None:
    """Art. 50(2): a system placed before 2 August 2026 marks its output from 2 December 2026."""
    old = {"placed_on": date(2026, 8, 1)}
    assert "AIA-50.2" not in ids(date(2026, 12, 1), **old)
    assert "AIA-50.2" in ids(date(2026, 12, 2), **old)
    assert "AIA-50.2" in ids(date(2026, 8, 2), placed_on=date(2026, 8, 2))


@pytest.mark.reg("PLD-1")
def test_product_liability_follows_the_placing() -> None:
    """The new directive holds for products placed after 9 December 2026 only."""
    day = date(2027, 1, 1)
    assert "PLD-1" in ids(day)
    assert "PLD-1" not in ids(day, placed_on=date(2026, 12, 9))
    assert "PLD-1" in ids(day, placed_on=date(2026, 12, 10))


@pytest.mark.reg("AIA-111.2")
def test_legacy_systems_are_free_until_they_change() -> None:
    """Placed before 2 August 2028: no high-risk duty until a significant change from then on."""
    placed, later = date(2027, 1, 1), date(2029, 6, 1)
    assert not ids(later, placed_on=placed) & (HIGH_RISK | CONFORMITY)
    changed = {"placed_on": placed, "significant_changes": (date(2029, 1, 1),)}
    assert ids(later, **changed) >= HIGH_RISK | CONFORMITY
    assert not ids(date(2028, 12, 31), **changed) & HIGH_RISK
    early = {"placed_on": placed, "significant_changes": (date(2028, 8, 1),)}
    assert not ids(later, **early) & HIGH_RISK
    assert ids(later, placed_on=date(2028, 8, 2)) >= HIGH_RISK


@pytest.mark.reg("AIA-111.2")
def test_public_authorities_comply_by_2030() -> None:
    """A legacy system for public authorities has to comply from 2 August 2030 in any case."""
    public = {"placed_on": date(2027, 1, 1), "public_authorities": True}
    assert not ids(date(2030, 8, 1), **public) & HIGH_RISK
    assert ids(date(2030, 8, 2), **public) >= HIGH_RISK


def test_jurisdictions_have_their_own() -> None:
    """The US has the FDA's plan, China its own law; the rules of the house hold everywhere."""
    day = date(2026, 11, 25)
    assert ids(day, "fda", "US") == {*HOUSE, "FDA-PCCP1", "FDA-PCCP3"}
    assert ids(day, "mdr-iib", "CN") == {*HOUSE, "CN-1"}
    for jurisdiction, route in (("Mars", "mdr-iib"), ("EU", "by-foot")):
        with pytest.raises(ConfigurationError, match="expected one of"):
            duties(day, jurisdiction, route)


@pytest.mark.reg("AIA-2.13")
def test_another_date_is_another_file() -> None:
    """A site that lays another date over the data gets the other table; the rest stays."""
    start = [{"routes": ["mdr-iib"], "from": date(2029, 1, 1)}]
    moved = with_overrides(
        {
            "regime": [{
                "id": "aia-high-risk", "law": "delegated act under Art. 2(13)",
                "jurisdiction": "EU", "source": "L·K", "start": start,
            }],
            "duty": [{
                "id": "DE-1", "title": "A rule of the house", "regime": "house",
                "section": "site", "source": "B·K",
            }],
        }
    )  # fmt: skip
    found = {duty.duty_id for duty in moved.on(date(2028, 8, 2), "EU", "mdr-iib")}
    assert not found & HIGH_RISK
    assert found > CONFORMITY
    assert "DE-1" in found
    later = {duty.duty_id for duty in moved.on(date(2029, 1, 1), "EU", "mdr-iib")}
    assert later >= HIGH_RISK


BROKEN: tuple[dict[str, Any], ...] = (
    {"regime": [{"id": "x"}]},
    {"regime": [{"id": "x", "law": "y", "jurisdiction": "EU", "source": "sure", "start": []}]},
    {"regime": [{"id": "x", "law": "y", "jurisdiction": "EU", "source": "L·V",
                 "start": [{"routes": ["by-foot"]}]}]},
    {"regime": [{"id": "x", "law": "y", "jurisdiction": "EU", "source": "L·V",
                 "start": [{"routes": ["*"], "from": "soon"}]}]},
    {"duty": [{"id": "X", "title": "t", "regime": "none", "section": "1", "source": "L·V"}]},
    {"duty": [{"id": "X", "title": "t", "regime": "house", "section": "1", "source": "L·V",
               "routes": ["by-foot"]}]},
    {"duty": [{"id": "AIA-4"}, {"id": "AIA-4"}]},
    {"surprise": 1},
    {"schema": "other"},
)  # fmt: skip


@pytest.mark.parametrize("document", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_is_refused(document: dict[str, Any]) -> None:
    """An unknown regime, route or mark, a date that is none, an id twice: nothing is laid over."""
    with pytest.raises(ConfigurationError):
        with_overrides(document)


def test_an_empty_file_changes_nothing() -> None:
    """Laying nothing over the data gives the data."""
    assert with_overrides({}) == shipped()
    assert read_applicability(shipped().content) == shipped()


@settings(max_examples=150, deadline=None)
@given(
    st.dates(date(2024, 1, 1), date(2032, 1, 1)),
    st.integers(0, 400),
    st.sampled_from(shipped().routes),
    st.none() | st.dates(date(2024, 1, 1), date(2032, 1, 1)),
)
def test_duties_never_end(day: date, more: int, route: str, placed: date | None) -> None:
    """A duty that is in force stays in force: no later day has fewer."""
    history = MarketHistory(placed)
    first = {d.duty_id for d in duties(day, "EU", route, history)}
    second = {d.duty_id for d in duties(day + timedelta(days=more), "EU", route, history)}
    assert first <= second
