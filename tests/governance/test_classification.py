"""Risk classification: the class follows from the declared use, and out of scope is earned."""

import itertools
from datetime import date
from typing import Any

import pytest

from audit.errors import ConfigurationError, RefusalError
from governance.classification import (
    AUTONOMY,
    CLASSES,
    HARMS,
    INFLUENCE,
    check_classification,
    mdr_class,
    read_classification,
)
from governance.risk import read_register
from tests.simulators.papers import classified, register

REGISTER = read_register(register())

# Written from the rules, not from the code: (autonomy, influence, harm) -> class, rule.
GOLDEN = {
    ("proposes", "information", "critical"): ("I", "11"),
    ("proposes", "decision", "none"): ("IIa", "11"),
    ("proposes", "decision", "serious"): ("IIb", "11"),
    ("proposes", "decision", "critical"): ("III", "11"),
    ("applies_when_confirmed", "delivery", "none"): ("IIb", "9"),
    ("applies_when_confirmed", "delivery", "critical"): ("III", "11"),
    ("applies_unattended", "delivery", "none"): ("III", "22"),
    ("applies_unattended", "delivery", "critical"): ("III", "22"),
}


@pytest.mark.reg("MDR-VIII")
@pytest.mark.parametrize(("use", "wanted"), list(GOLDEN.items()))
def test_the_class_follows_from_the_declared_use(
    use: tuple[str, str, str], wanted: tuple[str, str]
) -> None:
    """Rules 11, 9 and 22 give these classes."""
    assert mdr_class(*use) == wanted


@pytest.mark.reg("MDR-VIII")
def test_more_influence_autonomy_or_harm_never_lowers_the_class() -> None:
    """Over all declared uses the class only rises with each of the three."""

    def rank(use: tuple[str, str, str]) -> int:
        return CLASSES.index(mdr_class(*use)[0])

    scales = (AUTONOMY, INFLUENCE, HARMS)
    for use in itertools.product(*scales):
        for axis, scale in enumerate(scales):
            place = scale.index(use[axis])
            if place:
                less = (*use[:axis], scale[place - 1], *use[axis + 1 :])
                assert rank(less) <= rank(use), (less, use)  # type: ignore[arg-type]


@pytest.mark.reg("AIA-6.1")
def test_a_consistent_record_passes() -> None:
    """Class, rule and hazards that fit are accepted."""
    check_classification(read_classification(classified()), REGISTER)
    harmless = read_register(register(severity="minor", probability_after="remote"))
    record = read_classification(classified(route="out_of_scope"))
    check_classification(record, harmless)


@pytest.mark.reg("AIA-6.1")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"mdr_class": "IIa"}, "CLASSIFICATION_CLASS"),
        ({"mdr_rule": "9"}, "CLASSIFICATION_CLASS"),
        (
            {"autonomy": "applies_unattended", "influence": "delivery"},
            "CLASSIFICATION_CLASS",
        ),
        ({"hazards": []}, "CLASSIFICATION_HAZARDS"),
        ({"hazards": ["H9"]}, "CLASSIFICATION_HAZARDS"),
        ({"route": "out_of_scope"}, "CLASSIFICATION_OUT_OF_SCOPE"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(change: dict[str, Any], code: str) -> None:
    """A wrong class, unlinked hazards, or out of scope beside a serious hazard: refused."""
    with pytest.raises(RefusalError) as refused:
        check_classification(read_classification(classified(**change)), REGISTER)
    assert refused.value.reasons == (code,)


def test_without_a_register_nothing_can_be_linked() -> None:
    """A record cannot rest on hazards that nobody wrote down."""
    with pytest.raises(RefusalError) as refused:
        check_classification(read_classification(classified()), None)
    assert refused.value.reasons == ("CLASSIFICATION_HAZARDS",)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "other"}, {"route": "none"}, {"mdr_class": "IV"}, {"iec_62304_class": "D"},
        {"rationale": " "}, {"valid_until": "soon"}, {"safety_component": "yes"}, {"extra": 1},
    ],
)  # fmt: skip
def test_a_malformed_record_is_refused(change: dict[str, Any]) -> None:
    """Every field is one of its words, and nothing unknown stands beside them."""
    with pytest.raises(ConfigurationError):
        read_classification(classified(**change))
    assert read_classification(classified()).valid_until == date(2027, 11, 25)
