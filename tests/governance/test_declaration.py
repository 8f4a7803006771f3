"""Declaration of conformity: eight items, one release, and CE only while it holds."""

from typing import Any

import pytest

from audit.errors import RefusalError
from governance import declaration
from governance.classification import read_classification
from governance.declaration import (
    AI_ACT,
    ITEMS,
    Signer,
    Subject,
    ce_marking,
    declare,
    draft,
    objections,
    open_items,
    revoke,
)
from governance.declaration_report import declaration_report
from governance.provider import read_provider
from governance.report import every_section
from tests.simulators.papers import (
    NOW,
    OTHER_SEALER,
    PLUGIN,
    SEALER,
    TRUST,
    classified,
    complete,
    provided,
    small_release,
)

RELEASE = small_release()
PAPERS = complete(RELEASE)
SUBJECT = Subject(PLUGIN, "1.0.0", RELEASE.digest, "Outline")
SIGNER = Signer("Exampletown", "A. Person", "PRRC", "Example")


def _signed() -> dict[str, Any]:
    document = PAPERS.governed(declaration.KIND, RELEASE.digest)
    assert document is not None
    return dict(document.content)


def _codes(document: dict[str, Any] | None, digest: str = RELEASE.digest) -> list[str]:
    return [item.code for item in objections(document, digest, TRUST)]


@pytest.mark.reg("AIA-47")
def test_a_signed_declaration_has_all_eight_items() -> None:
    """Items 1 to 8 of Annex V are there, bound to the release, and nothing is against it."""
    signed = _signed()
    assert len(ITEMS) == 8
    assert open_items(signed) == ()
    assert signed["item_1"]["release_digest"] == RELEASE.digest
    assert signed["item_4"][0] == AI_ACT
    assert signed["item_7"]["number"] == "0123"
    assert signed["item_8"] == {
        "place": "Exampletown", "date": "2026-11-25", "name": "A. Person", "function": "PRRC",
        "on_behalf_of": "Example",
    }  # fmt: skip
    assert _codes(signed) == []


@pytest.mark.reg("AIA-47")
def test_nothing_is_signed_while_an_item_is_open() -> None:
    """A draft without provider, standards or class leaves its items open and is refused."""
    empty = draft(SUBJECT, None, (), None)
    assert open_items(empty) == tuple(item for item in ITEMS if item != "item_3")
    for content, signer in ((empty, SIGNER), (_signed(), Signer("", "A", "B", "C"))):
        with pytest.raises(RefusalError) as refused:
            declare(content, signer, "anna", SEALER, NOW)
        assert refused.value.reasons == ("DECLARATION_INCOMPLETE",)


def test_item_seven_follows_the_class() -> None:
    """Class I needs no notified body; any other class without one leaves the item open."""
    bare = read_provider(provided() | {"notified_body": {}})
    first = {"influence": "information", "mdr_class": "I", "decision_harm": "none"}
    record = read_classification(classified(**first))
    assert draft(SUBJECT, bare, (), record)["item_7"] == "class_I"
    assert draft(SUBJECT, bare, (), read_classification(classified()))["item_7"] is None
    silent = read_provider(provided(processes_personal_data=False))
    assert draft(SUBJECT, silent, (), None)["item_5"] == "no_personal_data"


@pytest.mark.reg("AIA-47")
def test_a_declaration_holds_for_one_release_and_as_signed() -> None:
    """None, one of another release, a changed word, another's key, a revoked one: each by name."""
    signed = _signed()
    other = small_release(version="2.0.0")
    assert _codes(None) == ["DECLARATION_MISSING"]
    assert _codes(signed, other.digest) == ["DECLARATION_MISMATCH"]
    assert _codes(signed | {"release_digest": other.digest}, other.digest) == [
        "DECLARATION_INVALID"
    ]
    forged = declare(signed, SIGNER, "anna", OTHER_SEALER, NOW)
    assert _codes(forged) == ["DECLARATION_INVALID"]
    taken_back = revoke(signed, "defect", "anna", SEALER, NOW)
    assert _codes(taken_back) == ["DECLARATION_REVOKED"]


@pytest.mark.reg("AIA-16")
def test_ce_is_shown_only_in_clinical_mode_under_a_valid_act() -> None:
    """Research mode, no act, another release, a revoked act: no CE and no notified body."""
    signed = _signed()
    shown = ce_marking(signed, RELEASE.digest, "clinical", TRUST)
    assert shown is not None
    assert shown.notified_body == "Body (0123)"
    assert shown.udi_di == "D"
    taken_back = revoke(signed, "defect", "anna", SEALER, NOW)
    for document, digest, mode in (
        (signed, RELEASE.digest, "research"),
        (None, RELEASE.digest, "clinical"),
        (signed, "sha256:other", "clinical"),
        (taken_back, RELEASE.digest, "clinical"),
    ):
        assert ce_marking(document, digest, mode, TRUST) is None


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_draft_says_that_it_is_none(language: Any) -> None:
    """Every item has its section; open ones print MISSING, and only the act says signed."""
    report = declaration_report(_signed(), language)
    assert [section.key for section in every_section(report)] == [
        f"item-{number}" for number in range(1, 9)
    ]
    assert report.standing.tone == "good"
    open_report = declaration_report(draft(SUBJECT, None, (), None), language)
    assert open_report.standing.tone == "bad"
    assert declaration_report(revoke(_signed(), "x", "a", SEALER, NOW), language).standing.tone == (
        "bad"
    )
