"""The metrics give what is exact, and a broken one stops everything that rests on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from adapters.cli.main import app
from audit.errors import NotFoundError
from models.physics import agreement, dvh, gamma
from validation.conformance.pack import (
    CASES,
    NEWEST,
    MetricDriftError,
    pack_for,
    pack_name,
    require_conformance,
    require_pack,
    run_pack,
    uncovered,
)
from validation.criteria.rules import worse_by
from validation.metrics import classification, registration, survival
from validation.metrics.calibration import score_calibration
from validation.metrics.gamma import Limits, process_limits
from validation.metrics.registry import METRICS, measured_of, metric

FIRST = Path("validation/first/contouring-0.1.1/results.json")


@pytest.mark.reg("AIA-15.1")
def test_the_installed_metrics_conform() -> None:
    """Every value is the exact one, every metric is asked, and the pack has one name."""
    found = run_pack()
    assert found.drifted == ()
    assert uncovered() == ()
    assert require_conformance() == pack_name() == found.pack
    assert len(found.checks) >= len(METRICS)


def _dice_without_its_two(first: np.ndarray, second: np.ndarray) -> float:
    total = first.sum() + second.sum()
    return float(np.count_nonzero(first & second) / total) if total else float("nan")


def _nsd_of_one_side(far: agreement.SurfaceDistances, tolerance_mm: float) -> float:
    area = float(far.first_mm2.sum())
    return float(far.first_mm2[far.first_mm <= tolerance_mm].sum()) / area if area else 0.0


BROKEN: dict[str, tuple[object, str, Callable[..., object], str]] = {
    "Dice": (agreement, "dsc", _dice_without_its_two, "METRIC_DRIFT dsc"),
    "surface Dice of one side": (agreement, "nsd", _nsd_of_one_side, "METRIC_DRIFT nsd_3mm"),
    "DVH": (dvh.DoseVolumeHistogram, "dose_at_percent_gy",
            lambda self, _percent: self.mean_gy, "METRIC_DRIFT dvh_d95_gy"),
    "gamma": (gamma, "gamma_index", lambda reference, evaluated, _place, _criteria: np.abs(
        reference - evaluated) / reference, "METRIC_DRIFT gamma_pass_percent"),
    "an exception": (agreement, "assd_mm", lambda _far: 1 / 0, "METRIC_DRIFT assd_mm"),
}  # fmt: skip


@pytest.mark.reg("VAL-1")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_metric_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deliberately broken metric drifts by name, wherever it is used."""
    owner, attribute, broken, reason = BROKEN[name]
    monkeypatch.setattr(owner, attribute, broken)
    with pytest.raises(MetricDriftError, match="expected") as caught:
        require_conformance()
    assert reason in caught.value.reasons
    result = CliRunner().invoke(app, ["validate", "conformance", "--json"])
    document = json.loads(result.stdout)
    assert (result.exit_code, document["conforms"]) == (3, False)


def test_other_metrics_than_those_that_measured_certify_nothing() -> None:
    """A run measured by another pack has to be run again."""
    require_pack(pack_name())
    with pytest.raises(MetricDriftError) as caught:
        require_pack("osteon-metrics/0 sha256:" + "0" * 64)
    assert caught.value.reasons == ("METRIC_PACK_CHANGED",)


def test_packs_grow_and_keep_their_names() -> None:
    """What was measured by an earlier pack can be certified: its cases are asked today as well."""
    first = json.loads(FIRST.read_text())["metric_pack"]
    assert pack_name(1) == first
    assert len({pack_name(number) for number in range(1, NEWEST + 1)}) == NEWEST
    for number in range(1, NEWEST + 1):
        require_pack(pack_name(number))
    sizes = [sum(len(known.asked_in(n)) for known in CASES) for n in range(1, NEWEST + 1)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(run_pack().checks)


def test_a_run_names_the_first_pack_that_asks_for_its_metrics() -> None:
    """Contours are measured as in the first certificate; survival needs the newest pack."""
    assert pack_for(measured_of(["Segmentation"])) == pack_name(1)
    assert pack_for(measured_of(["DoseGrid"])) == pack_name(2)
    assert pack_for(measured_of(["Segmentation", "DoseGrid"])) == pack_name(2)
    assert pack_for(["c_index_ipcw"]) == pack_for(measured_of(["Risk"])) == pack_name()


def test_the_command_prints_every_value() -> None:
    """Exit 0, and a line for each."""
    result = CliRunner().invoke(app, ["validate", "conformance"])
    assert result.exit_code == 0, result.output
    assert f"{len(run_pack().checks)} of {len(run_pack().checks)} values kept" in result.output


def test_metrics_are_named_once_and_defined() -> None:
    """A name is one metric; an unknown one is refused."""
    assert all(item.definition and item.source and item.title for item in METRICS.values())
    assert metric("dsc").better == "higher"
    with pytest.raises(NotFoundError, match="dice"):
        metric("dice")


def test_a_loss_has_the_sign_of_the_registry() -> None:
    """What grows with harm counts as a loss when it grows, whatever its name looks like."""
    for name, item in METRICS.items():
        if item.better in ("lower", "higher"):
            assert worse_by(name) == (1.0 if item.better == "lower" else -1.0), name
    assert worse_by("explanation_error") == 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 40))
def test_concordance_turns_with_the_risk(seed: int, count: int) -> None:
    """C of the negative risk is one minus C, and any rising change of the risk leaves it."""
    random = np.random.default_rng(seed)
    followed = survival.Followed(random.integers(1, 12, count).astype(float),
                                 random.random(count) < 0.6)  # fmt: skip
    risk = random.normal(size=count)
    c = survival.c_index(followed, risk)
    if not np.isnan(c):
        assert survival.c_index(followed, -risk) == pytest.approx(1 - c)
        assert survival.c_index(followed, np.exp(risk)) == pytest.approx(c)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nobody_lost_is_the_plain_figure(seed: int) -> None:
    """Without censoring the AUC at t is that of failed by t, and Brier the plain square."""
    random = np.random.default_rng(seed)
    time, risk = random.uniform(0, 10, 30), random.normal(size=30)
    followed = survival.Followed(time, np.ones(30, dtype=bool))
    failed = time <= 5.0
    if failed.any() and not failed.all():
        plain = classification.score_probabilities(failed, risk)["auc"]
        assert survival.auc_at(followed, risk, 5.0) == pytest.approx(plain)
    alive = random.random(30)
    square = float(np.mean((alive - ~failed) ** 2))
    assert survival.brier_at(followed, alive, 5.0) == pytest.approx(square)
    assert survival.c_index_ipcw(followed, risk) == pytest.approx(survival.c_index(followed, risk))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_weighted_concordance_is_the_sum_over_pairs(seed: int) -> None:
    """Pair by pair, as the paper writes it; and the span's mean of one score is that score."""
    random = np.random.default_rng(seed)
    time = random.permutation(np.arange(1.0, 16.0))
    followed = survival.Followed(time, random.random(15) < 0.6)
    risk, above, below = random.normal(size=15), 0.0, 0.0
    for i in range(15):
        for j in range(15):
            if followed.event[i] and time[i] < time[j] and time[i] < 10.0:
                weight = float(survival.observed_before(followed, time[i : i + 1])[0]) ** -2
                below += weight
                above += weight * float(risk[i] > risk[j])
    found = survival.c_index_ipcw(followed, risk, 10.0)
    assert found == pytest.approx(above / below) if below else np.isnan(found)
    constant = np.repeat(random.random((15, 1)), 2, axis=1)
    moments = np.array([3.2, 3.4])  # nothing happens between them
    assert survival.integrated_brier(followed, constant, moments) == pytest.approx(
        survival.brier_at(followed, constant[:, 0], 3.2)
    )


def test_weighting_takes_out_what_censoring_puts_in() -> None:
    """Where late events are often lost, the weighted C is nearer to that of everybody followed."""
    random = np.random.default_rng(20261126)
    risk = random.normal(size=3000)
    # early events follow the risk, late ones do not: a C over uncensored pairs leans to the early
    time = np.where(
        random.random(3000) < 0.5,
        random.exponential(np.exp(-2 * risk)), 3 + random.exponential(1.0, 3000),
    )  # fmt: skip
    lost = random.exponential(3.0, 3000)
    seen = survival.Followed(np.minimum(time, lost), time <= lost)
    whole = survival.Followed(np.minimum(time, 5.0), time <= 5.0)
    truth = survival.c_index_ipcw(whole, risk, 5.0)
    plain = survival.c_index(seen, risk)
    assert abs(survival.c_index_ipcw(seen, risk, 5.0) - truth) < abs(plain - truth) / 2


@pytest.mark.parametrize("moments", [[1.0], [2.0, 1.0], [1.0, 1.0], [1.0, 2.0, 3.0]])
def test_a_span_that_is_none_is_refused(moments: list[float]) -> None:
    """Moments have to rise and to fit the forecasts."""
    followed = survival.Followed(np.array([1.0, 2.0]), np.array([True, False]))
    with pytest.raises(ValueError, match="rising moments"):
        survival.integrated_brier(followed, np.ones((2, 2)), np.array(moments))


def test_a_calibrated_forecast_has_slope_one() -> None:
    """Outcomes drawn from the foretold probabilities: slope 1 and intercept 0, nearly."""
    random = np.random.default_rng(20261126)
    foretold = random.uniform(0.05, 0.95, 20000)
    found = score_calibration(random.random(20000) < foretold, foretold)
    assert found["calibration_slope"] == pytest.approx(1.0, abs=0.05)
    assert found["calibration_in_the_large"] == pytest.approx(0.0, abs=0.05)
    assert found["ece"] < 0.02


@pytest.mark.reg("TG132-1")
def test_a_registration_is_judged_by_the_tolerances() -> None:
    """A voxel is allowed, more is not; a fold and an undefined figure never pass."""
    judged = registration.judge_registration(
        {"tre_mm": 2.0, "registered_dsc": 0.79, "jacobian_min": -0.1, "mda_mm": 3.1,
         "inverse_consistency_mm": float("nan"), "tre_max_mm": 9.0}, (3.0, 1.0, 1.0))  # fmt: skip
    assert {name: item.kept for name, item in judged.items()} == {
        "tre_mm": True, "registered_dsc": False, "jacobian_min": False, "mda_mm": False,
        "inverse_consistency_mm": False,
    }  # fmt: skip


@pytest.mark.reg("TG218-1")
@pytest.mark.parametrize(
    ("passing", "verdict"),
    [(100.0, "pass"), (95.0, "pass"), (94.99, "investigate"), (90.0, "investigate"),
     (89.99, "act"), (float("nan"), "act")],
)  # fmt: skip
def test_gamma_limits_at_their_boundaries(passing: float, verdict: str) -> None:
    """95 % passes, 90 % is looked into, less is acted on."""
    assert Limits().verdict(passing) == verdict


def test_limits_of_a_process() -> None:
    """A narrow process has a higher action limit; too few plans make none."""
    random = np.random.default_rng(1)
    narrow = process_limits(np.clip(99.0 + random.normal(0, 0.3, 40), 0, 100).tolist())
    assert 90.0 < narrow.action <= narrow.tolerance < 99.5
    wide = process_limits(np.clip(94.0 + random.normal(0, 3.0, 40), 0, 100).tolist())
    assert wide.action == 90.0
    with pytest.raises(ValueError, match="at least 20"):
        process_limits([99.0] * 19)
