"""Risk register and trace: a hazard without a good control, test or acceptance blocks."""

from dataclasses import replace
from typing import Any

import pytest

from audit.errors import ConfigurationError
from governance.instructions import SECTIONS
from governance.risk import (
    ACCEPTABLE,
    PROBABILITIES,
    SEVERITIES,
    UNACCEPTABLE,
    WITH_REASON,
    acceptability,
    at_least_serious,
    read_register,
)
from governance.risk_trace import (
    Known,
    hazard_digests,
    objections,
    read_evidence,
    trace,
)
from tests.simulators.papers import TEST, register, small_release, verified

RELEASE = small_release()
DOCUMENT = register()
REGISTER = read_register(DOCUMENT)
DIGESTS = hazard_digests(DOCUMENT)
GOOD = Known(
    read_evidence(verified(RELEASE)),
    frozenset(DIGESTS.values()),
    SECTIONS,
    frozenset({"accuracy"}),
)
ORDER = (ACCEPTABLE, WITH_REASON, UNACCEPTABLE)


def _codes(document: dict[str, Any], known: Known = GOOD) -> list[str]:
    return [
        item.code for item in objections(read_register(document), hazard_digests(document), known)
    ]


@pytest.mark.reg("AIA-9.1")
def test_a_controlled_tested_and_accepted_hazard_passes() -> None:
    """With control, passed test, effect and acceptance nothing stands in the way."""
    assert objections(REGISTER, DIGESTS, GOOD) == ()


@pytest.mark.reg("AIA-9.5")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"controls": []}, "RISK_WITHOUT_CONTROL"),
        ({"effect": ["nowhere"]}, "RISK_EFFECT_MISSING"),
        ({"probability_after": "probable"}, "RISK_UNACCEPTABLE"),
        ({"harm": "another harm"}, "RISK_NOT_ACCEPTED"),
        (
            {"controls": [{"id": "c", "type": "protect", "text": "t", "code": ["a.py::b"]}]},
            "RISK_CONTROL_UNTESTED",
        ),
        (
            {"controls": [{"id": "c", "type": "inform", "text": "t", "ifu": "nowhere"}]},
            "RISK_IFU_MISSING",
        ),
    ],
)
def test_each_gap_of_a_hazard_has_its_own_code(change: dict[str, Any], code: str) -> None:
    """What is missing is told by code; a changed hazard asks for acceptance again."""
    found = _codes(register(**change))
    assert code in found
    assert set(found) <= {code, "RISK_NOT_ACCEPTED"}


@pytest.mark.reg("AIA-9.5")
@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_a_test_that_did_not_pass_is_no_evidence(outcome: str) -> None:
    """Failed and skipped tests block, each by name; so does one that never ran."""
    known = replace(GOOD, evidence=read_evidence(verified(RELEASE, **{TEST: outcome})))
    (found,) = objections(REGISTER, DIGESTS, known)
    assert found.code == f"RISK_TEST_{outcome.upper()}"
    assert TEST in found.text
    absent = replace(GOOD, evidence=replace(read_evidence(verified(RELEASE)), outcomes={}))
    assert [item.code for item in objections(REGISTER, DIGESTS, absent)] == ["RISK_TEST_MISSING"]


def test_without_evidence_of_this_code_nothing_is_shown() -> None:
    """No recorded tests, or tests on other code than the release, block by themselves."""
    assert _codes(DOCUMENT, replace(GOOD, evidence=None)) == ["RISK_EVIDENCE_MISSING"]
    other = replace(read_evidence(verified(RELEASE)), other_code=("code/x.py",))
    assert _codes(DOCUMENT, replace(GOOD, evidence=other)) == ["RISK_EVIDENCE_OTHER_CODE"]


def test_the_matrix_never_gets_better_with_worse_harm() -> None:
    """More severe or more probable is never more acceptable, over the whole matrix."""
    for row, probability in enumerate(PROBABILITIES):
        for column, severity in enumerate(SEVERITIES):
            here = ORDER.index(acceptability(severity, probability))
            if row:
                assert here >= ORDER.index(acceptability(severity, PROBABILITIES[row - 1]))
            if column:
                assert here >= ORDER.index(acceptability(SEVERITIES[column - 1], probability))
    assert acceptability("catastrophic", "improbable") == WITH_REASON
    assert [at_least_serious(word) for word in SEVERITIES] == [False, False, True, True, True]


def test_the_trace_has_a_row_for_each_test() -> None:
    """Hazard, control, test and outcome stand in a line; an inform control has no test."""
    rows = trace(REGISTER, GOOD.evidence)
    assert [(row.control.control_id if row.control else "", row.test, row.outcome) for row in rows]
    assert rows[0].test == TEST
    assert rows[0].outcome == "passed"
    assert rows[1].test == ""
    bare = trace(read_register(register(controls=[])), None)
    assert [(row.control, row.test) for row in bare] == [(None, "")]


@pytest.mark.parametrize(
    "change",
    [
        {"severity": "bad"},
        {"probability_before": "remote", "probability_after": "frequent"},
        {"controls": [{"id": "c", "type": "hope", "text": "t"}]},
        {"controls": [{"id": "c", "type": "design", "text": "t"}]},
        {"controls": [{"id": "c", "type": "inform", "text": "t"}]},
        {"controls": [{"id": "H1", "type": "inform", "text": "t", "ifu": "logs"}]},
        {"estimate": ""},
        {"note": "unknown key"},
    ],
)
def test_a_malformed_register_is_refused(change: dict[str, Any]) -> None:
    """Unknown words and keys, ids used twice, and controls that are nowhere are refused."""
    with pytest.raises(ConfigurationError):
        read_register(register(**change))


def test_an_empty_register_is_no_register() -> None:
    """A plugin without any hazard has not been looked at."""
    with pytest.raises(ConfigurationError):
        read_register(register() | {"hazards": []})
    with pytest.raises(ConfigurationError):
        read_register(register() | {"schema": "other"})
    with pytest.raises(ConfigurationError):
        read_evidence(verified(RELEASE) | {"outcomes": {"a": "perhaps"}})
