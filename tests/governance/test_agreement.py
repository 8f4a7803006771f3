"""Agreement of two releases: definitions on hand-made values, n and interval with every mean."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.agreement import (
    BOTH_WITHHELD,
    NOT_COMPARED,
    ONE_WITHHELD,
    PAIRED,
    Pair,
    agreement_of_masks,
    agreement_of_numbers,
    encode,
    estimate,
    summarise,
)
from governance.alarms import KIND as ALARM
from governance.gates import Passage
from governance.promotion import KIND, Policy, PromotionGate, is_surely_below, judge
from tests.simulators.office import NOW, Office

POLICY = Policy(minimum_pairs=5, agreement_floor=0.8)


def test_definitions() -> None:
    """Dice of voxel counts, relative difference of numbers; nothing on both sides is agreement."""
    assert agreement_of_masks(10, 10, 10) == 1.0
    assert agreement_of_masks(10, 6, 4) == 0.5
    assert agreement_of_masks(0, 5, 0) == 0.0
    assert agreement_of_numbers(8.0, 10.0) == pytest.approx(0.8)
    assert agreement_of_numbers(-1.0, 1.0) == 0.0


def test_published_interval() -> None:
    """Mean and t interval of a sample whose interval can be looked up.

    Source: t(0.975; 4) = 2.776 (Student's table), s and mean by hand.
    """
    values = [0.90, 0.92, 0.94, 0.96, 0.98]
    found = estimate(values)
    half = 2.776 * math.sqrt(0.001) / math.sqrt(5)
    assert found.n == 5
    assert found.mean == pytest.approx(0.94)
    assert (found.lower, found.upper) == (
        pytest.approx(0.94 - half, abs=2e-5),
        pytest.approx(0.94 + half, abs=2e-5),
    )
    assert found.lowest == 0.90


@given(st.lists(st.floats(0, 1), max_size=30))
def test_an_estimate_holds_its_mean(values: list[float]) -> None:
    """The interval holds the mean and stays in [0, 1]; none is given below n = 2."""
    found = estimate(values)
    assert found.n == len(values)
    if len(values) < 2:
        assert found.lower is None
        assert found.upper is None
    else:
        assert 0.0 <= found.lower <= found.mean + 1e-12 <= found.upper + 2e-12 <= 1.0 + 3e-12  # type: ignore[operator]


def test_pairs_are_counted_by_what_became_of_them() -> None:
    """A study that one release withheld counts as no agreement; two withheld are no pair."""
    summary = summarise(
        (
            Pair(PAIRED, {"GTVp": 0.9, "Bone": 0.7}, "10-17"),
            Pair(PAIRED, {"GTVp": 1.0}, "18-39"),
            Pair(ONE_WITHHELD, {}, "18-39"),
            Pair(BOTH_WITHHELD, {}, "18-39"),
            Pair(NOT_COMPARED, {}, ""),
        )
    )
    assert summary.overall.n == 3
    assert summary.overall.mean == pytest.approx((0.7 + 1.0 + 0.0) / 3)
    assert {name: item.n for name, item in summary.structures.items()} == {"Bone": 1, "GTVp": 2}
    assert {name: item.n for name, item in summary.subgroups.items()} == {"10-17": 1, "18-39": 2}
    counts = (summary.one_withheld, summary.both_withheld, summary.not_compared)
    assert counts == (1, 1, 1)


def figures(*values: float, against: str = "sha256:1", runs: int = 9, failures: int = 0):  # type: ignore[no-untyped-def]
    """Return the figures of a comparison with these agreements."""
    pairs = [Pair(PAIRED, {"GTVp": value}) for value in values]
    return {
        "against": against, "runs": runs, "failures": failures,
        "agreement": encode(summarise(pairs)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("found", "codes"),
    [
        (figures(*[0.95, 0.94, 0.96, 0.95, 0.93]), []),
        (figures(*[0.95] * 4), ["TOO_FEW_STUDIES"]),
        (figures(*[0.95, 0.6, 0.9, 0.99, 0.7]), ["AGREEMENT_BELOW_FLOOR"]),
        (figures(), ["TOO_FEW_STUDIES"]),
        (figures(against="", runs=5), []),
        (figures(against="", runs=4), ["TOO_FEW_STUDIES"]),
        (figures(against="", runs=5, failures=1), ["RUNS_FAILED"]),
    ],
)
def test_the_figures_decide(found: dict[str, object], codes: list[str]) -> None:
    """Enough studies and a sure agreement; without an active release, runs without failure."""
    assert [item.code for item in judge(found, POLICY)] == codes


def test_a_canary_stops_when_it_is_surely_below() -> None:
    """With enough pairs the lower limit decides, before that only the upper one."""
    assert not is_surely_below(figures(0.9, 0.92), POLICY)
    assert is_surely_below(figures(0.30, 0.31, 0.32), POLICY)
    assert not is_surely_below(figures(0.5, 0.95, 0.9), POLICY)
    assert is_surely_below(figures(0.5, 0.95, 0.9, 0.6, 0.8), POLICY)
    assert not is_surely_below(figures(0.1, 0.1, against=""), POLICY)
    assert not is_surely_below(figures(0.1), POLICY)


def test_a_structure_or_subgroup_alone_stands_in_the_way() -> None:
    """Good over all is not enough: a group that enough studies speak for has to reach it too."""

    def of(group: str, bone: float, count: int) -> list[Pair]:
        return [
            Pair(PAIRED, {"GTVp": 0.95, "Bone": bone - number / 1000}, group)
            for number in range(count)
        ]

    def found(*pairs: Pair) -> dict[str, object]:
        return {
            "against": "sha256:1", "runs": 60, "failures": 0,
            "agreement": encode(summarise(pairs)),
        }  # fmt: skip

    good, bad = of("40-59", 0.96, 40), of("10-17", 0.70, 5)
    assert judge(found(*good), POLICY) == ()
    (objection,) = judge(found(*good, *bad), POLICY)
    assert "10-17 0.698" in objection.text
    assert "overall" not in objection.text
    assert is_surely_below(found(*good, *bad), POLICY)
    few = found(*good, *bad[:1])
    assert judge(few, POLICY) == ()
    assert not is_surely_below(few, POLICY)


def test_the_gate_reads_the_figures_that_the_act_froze() -> None:
    """Without the frozen figures, with others, or with an alarm open, nothing goes on."""
    office, gate = Office(), PromotionGate(POLICY)
    passage = Passage(
        "site", "clinical", "knee", "sha256:2", {}, "shadow", "canary", "anna", "approver", NOW
    )

    def codes(**changes: object) -> list[str]:
        from dataclasses import replace

        return [item.code for item in gate(replace(passage, **changes), office)]  # type: ignore[arg-type]

    assert codes() == ["COMPARISON_MISSING"]
    good = office.put_governed(KIND, "sha256:2", figures(*[0.95] * 6), "anna", NOW)
    assert codes() == ["COMPARISON_MISSING"]
    assert codes(evidence={"comparison": good.digest}) == []
    alarm = {"state": "open", "release_digest": "sha256:2"}
    office.put_governed(ALARM, "drift-7", alarm, "anna", NOW)
    assert codes(evidence={"comparison": good.digest}) == ["ALARM_OPEN"]
    assert codes(release_digest="sha256:3") == ["COMPARISON_MISSING"]
    office.put_governed(ALARM, "drift-7", alarm | {"state": "closed"}, "anna", NOW)
    assert codes(evidence={"comparison": good.digest}) == []
    assert codes(before="approved", after="shadow") == []
