"""Acceptance criteria: read, judged by rule, and never a pass for want of evidence."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.cohort.manifest import CohortError, Seal
from validation.cohort.strata import MANDATORY, StratumRule
from validation.criteria.document import KINDS, Criteria, CriteriaError, Criterion
from validation.criteria.judging import judge
from validation.criteria.outcome import Judgement
from validation.criteria.reading import digest_of_document, encode, read_criteria
from validation.criteria.rules import RULES
from validation.criteria.spending import alpha_of_run, alpha_planned, require_alpha
from validation.criteria.verdict import strata_verdicts, verdict_of
from validation.harness.results import CaseResult, Condition, Measured, RunResults
from validation.statistics.looks import alpha_of_look, cases_for_margin, cases_for_share
from validation.statistics.shares import exact_share

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 1, 1, tzinfo=UTC)
METAL = StratumRule("metal", {"flag": "metal"}, 8)


def result(number: int, dsc: float, strata: tuple[str, ...] = (), **changed: Any) -> CaseResult:
    """Return the result of one case of a patient of its own."""
    known = {
        "case_id": f"case-{number:03}",
        "patient_group": f"p-{number:032x}",
        "site": "a",
        "strata": strata,
        "condition": Condition(given="ct"),
        "outcome": "done",
        "metrics": {"dsc": dsc},
        "output_digest": f"sha256:{number:064x}",
    }
    return CaseResult(**{**known, **changed})


def results(cases: list[CaseResult], **changed: Any) -> RunResults:
    """Return the results of a run."""
    known = {
        "run_id": "r", "release_digest": "sha256:r", "cohort_digest": "sha256:c",
        "criteria_digest": "sha256:k", "metric_pack": "m", "method": "held-out", "seed": 1,
        "criteria_recorded_at": AT, "evaluated_at": AT, "cases": tuple(cases),
    }  # fmt: skip
    return RunResults(**{**known, **changed})


def asked(*items: Criterion, **changed: Any) -> Criteria:
    """Return a document of criteria."""
    known = {"plugin": "x", "method": "held-out", "purpose": "p", "known_before": "nothing"}
    return Criteria(**{**known, "strata": (METAL,), **changed}, criteria=items)


def criterion(kind: str, **fields: Any) -> Criterion:
    """Return one criterion."""
    return Criterion("c", kind, "because", **fields)


def judged(
    found: RunResults, *items: Criterion, baseline: RunResults | None = None, look: int = 1
) -> tuple[Judgement, ...]:
    """Return the judgements with a fixed seed."""
    return judge(asked(*items), found, baseline, np.random.default_rng(7), look)


def test_every_kind_has_a_rule() -> None:
    """A kind that can be written down can be judged."""
    assert set(KINDS) == set(RULES)


@pytest.mark.reg("AIA-9.8")
def test_a_floor_is_kept_or_missed() -> None:
    """The mean over patients decides, with its interval and n beside it."""
    found = results([result(i, 0.8 + 0.01 * (i % 3)) for i in range(12)])
    kept, missed, low = judged(
        found,
        criterion("floor", metric="dsc", at_least=0.80),
        replace(criterion("floor", metric="dsc", at_least=0.82), criterion_id="d"),
        replace(
            criterion("floor", metric="dsc", at_least=0.5, statistic="interval_low"),
            criterion_id="e",
        ),
    )
    assert (kept.verdict, missed.verdict, kept.n) == ("pass", "fail", 12)
    assert kept.value == pytest.approx(0.81)
    assert kept.low is not None
    assert kept.high is not None
    assert kept.low < 0.81 < kept.high
    assert low.value == low.low


def test_a_failed_case_is_never_left_out() -> None:
    """A crash or a metric that is no number fails the floor; dropping it would flatter."""
    good = [result(i, 0.9) for i in range(12)]
    crashed = [*good, result(20, 0.0, outcome="failed", metrics={})]
    unknown = [*good, result(20, float("nan"))]
    for cases in (crashed, unknown):
        (found,) = judged(results(cases), criterion("floor", metric="dsc", at_least=0.5))
        assert (found.verdict, found.reason) == ("fail", "CASES_WITHOUT_VALUE 1")


@pytest.mark.reg("AIA-10.2fg")
def test_a_drop_of_ten_points_in_a_subgroup_is_flagged() -> None:
    """Patients with metal are ten points worse: flagged; equal ones are not."""
    plain = [result(i, 0.80) for i in range(20)]
    worse = [result(100 + i, 0.70, ("metal",)) for i in range(10)]
    equal = [result(100 + i, 0.80, ("metal",)) for i in range(10)]
    gap = criterion("subgroup-gap", metric="dsc", stratum="metal", at_most=0.10)
    (flagged,), (clear,) = judged(results(plain + worse), gap), judged(results(plain + equal), gap)
    assert (flagged.verdict, clear.verdict) == ("fail", "pass")
    assert flagged.value == pytest.approx(0.10)
    assert verdict_of([flagged]) == "fail"


@pytest.mark.reg("AIA-10.2fg")
@pytest.mark.reg("AIA-9.9")
@pytest.mark.parametrize("kind", ["subgroup-gap", "subgroup-floor"])
def test_a_subgroup_of_three_is_insufficient(kind: str) -> None:
    """Three patients, however good or bad, are too little evidence: no pass, no "no gap"."""
    for dsc in (0.1, 0.95):
        cases = [result(i, 0.9) for i in range(20)]
        cases += [result(100 + i, dsc, ("metal",)) for i in range(3)]
        limits = {"at_most": 0.1} if kind == "subgroup-gap" else {"at_least": 0.5}
        asking = criterion(kind, metric="dsc", stratum="metal", **limits)
        (found,) = judged(results(cases), asking)
        assert (found.verdict, found.reason) == ("insufficient", "TOO_FEW_PATIENTS 3 of 8")
        strata = {s.name: s for s in strata_verdicts(asked(asking), results(cases), (found,))}
        assert (strata["metal"].n, strata["metal"].verdict) == (3, "insufficient")


@pytest.mark.reg("AIA-9.9")
def test_minors_and_vulnerable_groups_are_always_strata() -> None:
    """With no patient of theirs they are there, with n = 0 and "insufficient"."""
    cases = results([result(i, 0.9) for i in range(20)])
    asking = criterion("floor", metric="dsc", at_least=0.5)
    found = judged(cases, asking)
    strata = {s.name: s for s in strata_verdicts(asked(asking), cases, found)}
    for rule in MANDATORY:
        assert (strata[rule.name].n, strata[rule.name].verdict) == (0, "insufficient")
    assert verdict_of(found) == "pass"


def test_a_stratum_that_nobody_asked_about_is_insufficient() -> None:
    """Enough patients without a criterion of their own show nothing."""
    cases = results([result(i, 0.9, ("metal",)) for i in range(20)])
    asking = criterion("floor", metric="dsc", at_least=0.5)
    strata = strata_verdicts(asked(asking), cases, judged(cases, asking))
    assert {s.name: s.verdict for s in strata}["metal"] == "insufficient"


@pytest.mark.reg("VAL-1")
def test_non_inferiority_spends_its_alpha() -> None:
    """A loss within the margin passes, one beyond fails, and looks run out."""
    old = results([result(i, 0.80 + 0.002 * (i % 5)) for i in range(30)])
    near = results([result(i, 0.795 + 0.002 * (i % 5)) for i in range(30)])
    far = results([result(i, 0.75 + 0.002 * (i % 5)) for i in range(30)])
    asking = criterion("non-inferiority", metric="dsc", margin=0.02, alpha=0.025, looks=3)
    assert [judged(x, asking, baseline=old)[0].verdict for x in (near, far)] == ["pass", "fail"]
    assert judged(near, asking)[0].reason == "BASELINE_MISSING"
    assert judged(near, asking, baseline=old, look=4)[0].verdict == "insufficient"
    stranger = replace(old, cohort_digest="sha256:other")
    assert judged(near, asking, baseline=stranger)[0].reason == "BASELINE_OF_OTHER_COHORT"
    better = criterion("superiority", metric="dsc")
    assert judged(old, better, baseline=far)[0].verdict == "pass"
    assert judged(old, better, baseline=old)[0].verdict == "fail"


@given(st.integers(1, 9), st.floats(0.001, 0.2), st.sampled_from(["obrien-fleming", "pocock"]))
def test_looks_spend_alpha_and_no_more(looks: int, alpha: float, rule: str) -> None:
    """What all looks may use adds up to alpha."""
    parts = [alpha_of_look(k, looks, alpha, rule) for k in range(1, looks + 1)]
    assert sum(parts) == pytest.approx(alpha)
    assert min(parts) >= 0


def test_intervals_and_sizes_are_those_of_the_books() -> None:
    """Exact interval of 8 of 8; sizes by their formulas."""
    assert exact_share(8, 8, 0.95) == pytest.approx((0.6306, 1.0), abs=5e-5)
    assert exact_share(0, 10, 0.95) == pytest.approx((0.0, 0.3085), abs=5e-5)
    assert cases_for_margin(0.02, 0.05, 0.025, 0.9) == 66
    n = cases_for_share(0.9, 0.95)
    assert exact_share(n, n, 0.95)[0] >= 0.9 > exact_share(n - 1, n - 1, 0.95)[0]


def test_robustness_counts_the_worst_level() -> None:
    """The mean loss of the worst level decides; a sweep that was not run is insufficient."""
    plain = [result(i, 0.8) for i in range(10)]
    swept = [
        result(i, 0.8 - drop, condition=Condition("noise", level, "ct"))
        for i in range(10)
        for level, drop in ((10.0, 0.01), (40.0, 0.09))
    ]
    asking = criterion("robustness", metric="dsc", condition="noise", at_most=0.05)
    (found,) = judged(results(plain + swept), asking)
    assert (found.verdict, found.value) == ("fail", pytest.approx(0.09))
    (mild,) = judged(results(plain + swept), replace(asking, level=10.0))
    assert mild.verdict == "pass"
    assert judged(results(plain), asking)[0].reason == "NOT_MEASURED"


def test_lesions_moved_to_opposite_sides_do_not_cancel() -> None:
    """A mirror whose mean shift is zero fails, and so does a lesion that was not found."""
    asking = criterion("geometry", at_most=0.25)

    def phantoms(*columns: float) -> RunResults:
        shifts = [
            {f"centroid_error_{axis}_voxels": 0.1 for axis in ("frame", "row")}
            | {"centroid_error_column_voxels": value}
            for value in columns
        ]
        found = [
            result(i, 0.9, condition=Condition("phantom", float(i), "ct"), metrics=shift)
            for i, shift in enumerate(shifts)
        ]
        return results(found)

    (near,) = judged(phantoms(1.0, -1.1, 0.2, 0.1), asking)
    assert (near.verdict, near.reason) == ("pass", "LARGEST_AXIS")
    (mirrored,) = judged(phantoms(12.0, -12.0), asking)
    assert (mirrored.verdict, mirrored.value) == ("fail", pytest.approx(0.1))
    assert mirrored.reason == "ONE_LESION_FAR 12.0 VOXELS"
    assert judged(phantoms(0.5, 0.5), asking)[0].verdict == "fail"
    assert judged(phantoms(0.0, float("nan")), asking)[0].verdict == "fail"
    assert judged(results([result(0, 0.9)]), asking)[0].verdict == "insufficient"


def test_shares_repeats_times_and_calibration() -> None:
    """Withheld OOD cases, equal repeats, times and foretold figures are each judged."""
    cases = [
        result(i, 0.8, metrics={"dsc": 0.8, "predicted_dsc": 0.75, "covered": float(i != 0)})
        for i in range(10)
    ]
    ood = [result(i, 0, condition=Condition("ood"), outcome="refused") for i in range(9)]
    again = [replace(case, condition=Condition(given="ct", repeat=1)) for case in cases[:2]]
    times = tuple(Measured("c", Condition(given="ct"), s, 900.0) for s in (1.0, 2.0))
    found = results([*cases, *ood, *again], measured=times)
    asking = {
        "out-of-distribution": {"condition": "ood", "at_least": 0.9},
        "answered": {"at_least": 0.9},
        "repeatability": {},
        "latency": {"at_most": 1.5},
        "memory": {"at_most": 1000.0},
        "calibration": {"metric": "predicted_dsc", "observed": "dsc", "at_most": 0.06},
        "conformal-coverage": {"metric": "covered", "nominal": 0.9},
        "abstention": {"metric": "dsc"},
    }
    verdicts = {kind: judged(found, criterion(kind, **f))[0].verdict for kind, f in asking.items()}
    assert verdicts.pop("latency") == "fail"
    assert set(verdicts.values()) == {"pass"}, verdicts


def test_equal_repeats_count_from_two_on_and_one_difference_fails() -> None:
    """A single repeat passes nothing, and says why; a single other answer fails all the same."""
    cases = [result(i, 0.8) for i in range(4)]
    again = [replace(case, condition=Condition(given="ct", repeat=1)) for case in cases]
    other = replace(again[0], output_digest="sha256:other")
    for repeats, verdict, reason, count in (
        ([], "insufficient", "NOT_MEASURED", 0),
        (again[:1], "insufficient", "TOO_FEW_REPEATS", 1),
        (again[:2], "pass", "EQUAL_DIGESTS", 2),
        ([other], "fail", "EQUAL_DIGESTS", 1),
        ([other, *again[1:]], "fail", "EQUAL_DIGESTS", 4),
    ):
        found = judged(results([*cases, *repeats]), criterion("repeatability"))[0]
        assert (found.verdict, found.reason, found.n) == (verdict, reason, count)


def test_the_same_seed_gives_the_same_judgements() -> None:
    """Judging is deterministic, and another seed moves the interval."""
    rng = np.random.default_rng(3)
    found = results([result(i, float(v)) for i, v in enumerate(rng.uniform(0.5, 1, 20))])
    asking = criterion("floor", metric="dsc", at_least=0.5)
    assert judged(found, asking) == judged(found, asking)
    other = judge(asked(asking), found, None, np.random.default_rng(8))
    assert other[0].low != judged(found, asking)[0].low


def test_the_criteria_of_the_release_are_read() -> None:
    """The first schema, as a release carries it, reads as criteria with the mandatory strata."""
    raw = (ROOT / "plugins/contouring/criteria.json").read_bytes()
    found = read_criteria(raw)
    kinds = {item.criterion_id: item.kind for item in found.criteria}
    assert kinds["dsc-ct-pet"] == "floor"
    assert kinds["volume-ct-pet"] == "ceiling"
    assert kinds["geometry"] == "geometry"
    assert {rule.name for rule in found.strata} == {rule.name for rule in MANDATORY}


def test_a_document_is_written_and_read() -> None:
    """`encode` and `read_criteria` are inverses, and spaces do not change the digest."""
    whole = asked(criterion("floor", metric="dsc", at_least=0.8))
    raw = encode(whole)
    again = read_criteria(raw)
    assert encode(again) == raw
    assert digest_of_document(json.dumps(json.loads(raw), indent=2).encode()) == (
        digest_of_document(raw)
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": "osteon.criteria/9"}, {"criteria": []}, {"method": "guessed"}, {"level": 2},
        {"known_before": ""}, {"criteria": [{"id": "a", "kind": "floor", "reason": "r"}]},
        {"criteria": [{"id": "a", "kind": "wish", "reason": "r"}]}, {"strata": [{"name": "x"}]},
        {"criteria": 3}, {"surprise": 1},
    ],
)  # fmt: skip
def test_a_malformed_document_is_refused(changed: dict[str, Any]) -> None:
    """A document that does not say what a criterion is, is refused by name."""
    values = json.loads(encode(asked(criterion("floor", metric="dsc", at_least=0.8))))
    with pytest.raises(CriteriaError) as refused:
        read_criteria(json.dumps(values | changed).encode())
    assert refused.value.reasons == ("CRITERIA_MALFORMED",)


@given(st.binary(max_size=200))
def test_any_bytes_are_criteria_or_refused(raw: bytes) -> None:
    """Whatever is read, nothing else than `CriteriaError` comes out."""
    with pytest.raises(CriteriaError):
        read_criteria(raw)


def explained(number: int, alike: float, gain: float, **changed: Any) -> CaseResult:
    """Return the result of an explained case."""
    metrics = {
        "dsc": 0.9, "explanation_randomisation_rank_correlation": alike,
        "explanation_deletion_auc": 0.4, "explanation_deletion_auc_random": 0.4 + gain,
    }  # fmt: skip
    return result(number, 0.9, metrics=metrics, **changed)


@pytest.mark.reg("VAL-1")
def test_an_attribution_that_hangs_on_nothing_fails() -> None:
    """Alike for shuffled weights, with either sign, or no better than a random order: a fail."""
    asks = (
        criterion("explanation-randomisation", at_most=0.3),
        replace(criterion("explanation-deletion", at_least=0.1), criterion_id="d"),
    )
    good = [explained(i, 0.1 * (-1) ** i, 0.3) for i in range(12)]
    alike = [explained(i, 0.8 * (-1) ** i, 0.3) for i in range(12)]
    idle = [explained(i, 0.1, 0.02) for i in range(12)]
    verdicts = [tuple(j.verdict for j in judged(results(c), *asks)) for c in (good, alike, idle)]
    assert verdicts == [("pass", "pass"), ("fail", "pass"), ("pass", "fail")]
    first = judged(results(good), *asks)[0]
    assert (first.n, first.value) == (12, pytest.approx(0.1))


def test_an_answer_without_its_explanation_is_never_left_out() -> None:
    """One case whose explanation has no measure fails; of too few patients nothing is said."""
    ask = criterion("explanation-randomisation", at_most=0.3)
    good = [explained(i, 0.1, 0.3) for i in range(12)]
    (found,) = judged(results([*good, result(40, 0.9)]), ask)
    assert (found.verdict, found.reason) == ("fail", "CASES_WITHOUT_VALUE 1")
    (few,) = judged(results(good[:3]), ask)
    assert few.verdict == "insufficient"
    withheld = [*good, result(40, 0.9, outcome="abstained")]
    assert judged(results(withheld), ask)[0].verdict == "pass"


def test_looks_spend_the_largest_error_of_a_criterion() -> None:
    """Planned looks share alpha, intervals spend their tail each time, estimates nothing."""
    planned = asked(criterion("non-inferiority", metric="dsc", margin=0.1, alpha=0.04, looks=3))
    first, second, third, fourth = (alpha_of_run(planned, look) for look in (1, 2, 3, 4))
    assert first < second < third
    assert first + second + third == pytest.approx(0.04) == alpha_planned(planned)
    assert fourth == 0.0
    plain = criterion("floor", metric="dsc", at_least=0.5)
    assert alpha_of_run(asked(plain), 1) == 0.0
    by_interval = replace(plain, decide_by="interval")
    assert alpha_of_run(asked(by_interval), 7) == pytest.approx(0.025)
    both = asked(by_interval, replace(planned.criteria[0], criterion_id="n", looks=1))
    assert (alpha_of_run(both, 1), alpha_of_run(both, 2)) == pytest.approx((0.04, 0.025))


def test_a_seal_holds_the_least_alpha_that_it_ever_stated() -> None:
    """Sealing anew with more alpha sets nothing back; without a seal nothing is counted."""
    seals = [Seal("sealed", 5, 0.05), Seal("sealed", 9, 0.2)]
    require_alpha(seals, 0.025, 0.025)
    require_alpha([Seal()], 1.0, 1.0)
    with pytest.raises(CohortError) as caught:
        require_alpha(seals, 0.025, 0.026)
    assert caught.value.reasons == ("SEAL_ALPHA_SPENT 0.05",)
