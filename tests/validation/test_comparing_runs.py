"""Two runs on one cohort: paired differences, a margin, and what cannot be compared."""

from dataclasses import replace

import pytest

from tests.simulators.validation_runs import TERMS, results
from validation.report.comparing import ComparisonError, compare
from validation.statistics.resampling import of_mean

ONE = results()


def _shifted(by: float) -> object:
    cases = tuple(
        replace(c, metrics={**c.metrics, "dsc": c.metrics["dsc"] + by}) if c.metrics else c
        for c in ONE.cases
    )
    return replace(ONE, cases=cases, run_id="c" * 64, release_digest="sha256:" + "9" * 64)


@pytest.mark.reg("VAL-1")
@pytest.mark.parametrize(("by", "holds"), [(0.0, True), (-0.019, True), (-0.021, False)])
def test_a_margin_decides_non_inferiority(by: float, holds: bool) -> None:
    """A constant loss has no spread: inside the margin it is not inferior, beyond it is."""
    found = compare(ONE, _shifted(by), TERMS, {"dsc": 0.02}, of_mean)  # type: ignore[arg-type]
    for row in (d for d in found.differences if d.metric == "dsc"):
        assert row.value == pytest.approx(by)
        assert (row.low, row.high) == pytest.approx((by, by))
        assert row.not_inferior is holds
        assert (row.pairs, row.patients, row.lost) == (30, 30, 0)
    assert all(d.not_inferior is None for d in found.differences if d.metric != "dsc")


def test_the_case_that_changed_most_comes_first_and_lost_ones_are_counted() -> None:
    """One case lost its value, another fell by 0.3: both are told."""
    cases = list(ONE.cases)
    for place, case in enumerate(cases):
        if case.condition.name == "baseline" and case.condition.given == "ct":
            if case.case_id == "case-004":
                cases[place] = replace(case, metrics={**case.metrics, "dsc": 0.2})
            if case.case_id == "case-005":
                cases[place] = replace(case, metrics={}, outcome="failed", reasons=("X",))
    found = compare(ONE, replace(ONE, cases=tuple(cases)), TERMS, {}, of_mean)
    assert (found.changed[0].case, found.changed[0].given, found.changed[0].after) == (
        "case-004", "ct", 0.2,
    )  # fmt: skip
    (row,) = [d for d in found.differences if d.metric == "dsc" and d.given == "ct"]
    assert (row.pairs, row.lost) == (29, 1)


@pytest.mark.parametrize(
    ("change", "margins", "code"),
    [
        ({"cohort_digest": "sha256:" + "f" * 64}, {}, "COHORTS_DIFFER"),
        ({"metric_pack": "osteon-metrics/2"}, {}, "METRIC_PACKS_DIFFER"),
        ({"cases": ()}, {}, "NO_COMMON_CASE"),
        ({}, {"dsc": -0.1}, "MARGIN_UNKNOWN"),
        ({}, {"nonsense": 0.1}, "MARGIN_UNKNOWN"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    change: dict[str, object], margins: dict[str, float], code: str
) -> None:
    """Another cohort, other metrics, nothing in common, a margin of nothing: refused by name."""
    with pytest.raises(ComparisonError) as refused:
        compare(ONE, replace(ONE, **change), TERMS, margins, of_mean)  # type: ignore[arg-type]
    assert refused.value.reasons == (code,)
