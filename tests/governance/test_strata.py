"""For whom a certificate speaks: members of a group without a pass are found, or not ruled out."""

import pytest

from governance.strata import CaseFacts, Stratum, belongs, uncovered

YOUNG = {"age_years": [0, 18]}


@pytest.mark.parametrize(
    ("where", "facts", "expected"),
    [
        ({}, CaseFacts(), True),
        (YOUNG, CaseFacts(age_years=17.9), True),
        (YOUNG, CaseFacts(age_years=18.0), False),
        (YOUNG, CaseFacts(), None),
        ({"sex": "F"}, CaseFacts(sex="F"), True),
        ({"sex": ["F", "O"]}, CaseFacts(sex="M"), False),
        ({"sex": "F"}, CaseFacts(), None),
        ({"body_part": "UPPER LEG"}, CaseFacts(body_part="upperleg"), True),
        ({"body_part": "LEG"}, CaseFacts(body_part="ARM"), False),
        ({"body_part": "LEG"}, CaseFacts(), None),
        ({"flag": "metal"}, CaseFacts(flags=("metal", "truncated")), True),
        ({"flag": "metal"}, CaseFacts(), False),
        ({"inputs": "ct"}, CaseFacts(inputs=("ct",)), True),
        ({"inputs": ["pet", "ct"]}, CaseFacts(inputs=("ct", "pet")), True),
        ({"inputs": "ct"}, CaseFacts(inputs=("ct", "pet")), False),
        ({**YOUNG, "flag": "metal"}, CaseFacts(), False),
        ({**YOUNG, "flag": "metal"}, CaseFacts(flags=("metal",)), None),
    ],
)
def test_membership(where: dict[str, object], facts: CaseFacts, expected: bool | None) -> None:
    """All conditions hold, one does not, or a fact that decides is unknown."""
    assert belongs(Stratum("group", 1, "pass", where), facts) is expected


@pytest.mark.reg("AIA-10.3")
def test_uncovered_groups_are_named_with_their_number() -> None:
    """A case in, or perhaps in, a group without a pass gets a reason; one outside gets none."""
    strata = (
        Stratum("under-18", 3, "insufficient", YOUNG),
        Stratum("metal", 12, "fail", {"flag": "metal"}),
        Stratum("adults", 80, "pass", {"age_years": [18, 120]}),
    )
    assert uncovered(strata, CaseFacts(age_years=40)) == ()
    assert uncovered(strata, CaseFacts(age_years=12)) == ("STRATUM_INSUFFICIENT under-18 3",)
    assert uncovered(strata, CaseFacts()) == ("STRATUM_UNKNOWN under-18 3",)
    assert uncovered(strata, CaseFacts(age_years=40, flags=("metal",))) == (
        "STRATUM_INSUFFICIENT metal 12",
    )
