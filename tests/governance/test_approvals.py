"""Four eyes: two persons in their roles, neither of whom made the release, on one evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from audit.errors import RefusalError
from governance.approvals import (
    KIND,
    Approval,
    add,
    approvals,
    builders,
    open_places,
    require_own_place,
    standing,
)
from governance.lifecycle import Past, transition
from tests.simulators.office import NOW, Office

ROW = transition("approve", "validated", Past())
EVIDENCE = "sha256:" + "a" * 64
ANNA = Approval("approve", "anna", "approver", "approval", EVIDENCE, NOW)
BERND = Approval("approve", "bernd", "physicist", "review", EVIDENCE, NOW)


def test_two_persons_fill_the_two_places() -> None:
    """An approver and a clinical person, in either order, complete the row."""
    assert open_places(ROW, ()) == (("approver",), ("clinician", "physicist"))
    assert open_places(ROW, (ANNA,)) == (("clinician", "physicist"),)
    assert open_places(ROW, (BERND,)) == (("approver",),)
    assert open_places(ROW, (ANNA, BERND)) == open_places(ROW, (BERND, ANNA)) == ()
    require_own_place(ROW, (ANNA,), BERND, frozenset({"carl"}))


@pytest.mark.parametrize(
    ("given", "new", "code"),
    [
        ((ANNA,), replace(ANNA, at=NOW + timedelta(hours=1)), "SAME_PERSON"),
        ((ANNA,), replace(ANNA, role="physicist"), "SAME_PERSON"),
        ((ANNA,), replace(ANNA, person="dora"), "ROLE_NOT_PERMITTED"),
        ((), replace(ANNA, person="carl"), "BUILDER_MAY_NOT_DECIDE"),
        ((), replace(ANNA, meaning="because"), "MEANING_UNKNOWN"),
    ],
)
def test_who_may_not_sign_is_told_why(
    given: tuple[Approval, ...], new: Approval, code: str
) -> None:
    """The same person, a second one for a filled place, the builder, a meaningless signature."""
    with pytest.raises(RefusalError) as caught:
        require_own_place(ROW, given, new, frozenset({"carl"}))
    assert caught.value.reasons == (code,)
    assert caught.value.advice != RefusalError.advice


def test_a_signature_counts_for_its_evidence_and_state_alone() -> None:
    """Another certificate, another act, or a state entered since: the signature is void."""
    given = (ANNA,)
    assert standing(given, "approve", EVIDENCE, NOW) == given
    assert standing(given, "approve", "sha256:" + "b" * 64, NOW) == ()
    assert standing(given, "activate", EVIDENCE, NOW) == ()
    assert standing(given, "approve", EVIDENCE, NOW + timedelta(seconds=1)) == ()


def test_builders_are_those_who_built_or_registered() -> None:
    """Names in the manifest and who registered count; services and nobody do not."""
    assert builders({"builders": ["carl"]}, "account:dora") == {"carl", "dora"}
    assert builders({}, "service:osteon") == frozenset()
    assert builders({}, "account:local") == frozenset()


def test_approvals_come_back_from_the_document() -> None:
    """What is added is read again, in order, with every revision kept."""
    office = Office()
    assert approvals(office, "sha256:1") == ()
    office.put_governed(KIND, "sha256:1", add((), ANNA), "anna", NOW)
    office.put_governed(KIND, "sha256:1", add((ANNA,), BERND), "bernd", NOW)
    assert approvals(office, "sha256:1") == (ANNA, BERND)
    assert len(office.governed_history(KIND, "sha256:1")) == 2
