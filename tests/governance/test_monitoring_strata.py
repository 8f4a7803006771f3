"""Items split by scanner and subgroup: one bound for all, and the part that moved is named."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from audit.errors import ConfigurationError
from governance.monitoring import plan as plans
from governance.monitoring import strata
from governance.monitoring import watch as watches
from governance.monitoring.plan import Item
from governance.monitoring.reference import Observation
from governance.monitoring.run_length import NEVER, mean_run_length
from governance.monitoring.state import LABEL

DIGEST = "sha256:" + "a" * 64
LIMIT = 40.0
STREAMS, CASES = 120, 120
BY = ("scanner", "age_band", "sex")
SHARES = {
    "scanner": {"A": 0.6, "B": 0.3, "C": 0.1},
    "age_band": {"10-17": 0.3, "18-39": 0.5, "40-64": 0.2},
    "sex": {"F": 0.5, "M": 0.5},
}


def _places(generator: np.random.Generator) -> dict[str, str]:
    return {
        dimension: str(generator.choice(list(shares), p=list(shares.values())))
        for dimension, shares in SHARES.items()
    }


def _numbers(generator: np.random.Generator, where: dict[str, str]) -> dict[str, float]:
    """Scanners differ, as they do: each is exchangeable in itself."""
    offset = {"A": 0.0, "B": 5.0, "C": -4.0}[where["scanner"]]
    return {"ct_noise": float(generator.normal(offset, 1)), "volume_ml": generator.gamma(2.0)}


def _status(generator: np.random.Generator, where: dict[str, str]) -> dict[str, float]:
    del where
    return {"refused": float(generator.random() < 0.2), "failed": float(generator.random() < 0.2)}


def _outcome(generator: np.random.Generator, where: dict[str, str]) -> dict[str, float]:
    del where
    stated = float(generator.beta(2, 4))
    return {plans.RISK: stated, LABEL: float(generator.random() < stated)}


NUMBERS = Item(
    "numbers", plans.INPUT, ("ct_*", "volume_*"), plans.FIRST, LIMIT, "notify", "physicist", 20,
    by=("scanner", "sex"),
)  # fmt: skip
RATES = Item(
    "rates", plans.RATE, ("refused", "failed"), plans.STATED, LIMIT, "notify", "physicist",
    rate=0.2, by=BY,
)  # fmt: skip
RISKS = Item(
    "risks", plans.OUTCOME, (plans.RISK,), plans.FIRST, LIMIT, "notify", "clinician", 60, by=BY
)


def _first_alarm(
    item: Item,
    values: Callable[[np.random.Generator, dict[str, str]], dict[str, float]],
    generator: np.random.Generator,
    warm: int,
) -> int:
    """Return the case of the first alarm after ``warm`` cases that are not counted."""
    state = watches.State()
    for case in range(warm + CASES):
        where = _places(generator)
        one = Observation(f"{generator.integers(1 << 60)}", values(generator, where), where)
        state = watches.run(item, DIGEST, None, state, [one])
        if state.beyond is not None:
            return max(1, case + 1 - warm)
    return NEVER


@pytest.mark.reg("AIA-72.1")
@pytest.mark.parametrize(
    ("item", "values", "warm"),
    [(NUMBERS, _numbers, 30), (RATES, _status, 0), (RISKS, _outcome, 60)],
    ids=["numbers", "rates", "outcomes"],
)
def test_all_parts_together_keep_the_stated_run_length(
    item: Item,
    values: Callable[[np.random.Generator, dict[str, str]], dict[str, float]],
    warm: int,
) -> None:
    """Without a change the first alarm of any part comes after A cases in the mean, or later.

    120 streams of 120 cases, seed 11: the upper end of the interval must reach A, and alarms
    within n cases stay within n / A and three standard errors.
    """
    generator = np.random.default_rng(11)
    streams = STREAMS if item.metric != plans.INPUT else STREAMS // 3
    alarms = np.array([_first_alarm(item, values, generator, warm) for _ in range(streams)])
    value, least, most = mean_run_length(alarms, CASES)
    assert most >= LIMIT, (value, least, most)
    for within in (10, 20):
        share = float(((alarms != NEVER) & (alarms <= within)).mean())
        bound = within / LIMIT
        assert share <= bound + 3 * np.sqrt(bound * (1 - bound) / streams)


def test_a_change_in_one_part_is_found_and_named() -> None:
    """Scanner B alone gets noisier: the alarm says so; over all cases it would drown."""
    generator = np.random.default_rng(3)
    item = Item(
        "parts", plans.INPUT, ("ct_*", "volume_*"), plans.FIRST, 500.0, "notify", "physicist", 20,
        by=("scanner", "sex"),
    )  # fmt: skip
    state = watches.State()
    for _ in range(200):
        where = _places(generator)
        one = Observation(f"{generator.integers(1 << 60)}", _numbers(generator, where), where)
        state = watches.run(item, DIGEST, None, state, [one])
    assert state.beyond is None
    told = {part.value: part for part in strata.parts(item, state) if part.dimension == "scanner"}
    assert told["A"].cases > told["B"].cases > told["C"].cases
    for _ in range(80):
        where = _places(generator)
        numbers = _numbers(generator, where)
        if where["scanner"] == "B":
            numbers["ct_noise"] += 4.0
        one = Observation(f"{generator.integers(1 << 60)}", numbers, where)
        state = watches.run(item, DIGEST, None, state, [one])
    assert state.beyond is not None
    assert state.beyond.name == "ct_noise in scanner=B"
    assert state.n < 280
    again = watches.restarted(state)
    assert again.beyond is None
    assert len(again.strata["scanner=B"].first) == 20


def test_a_split_state_survives_as_json_and_a_late_stratum_is_counted() -> None:
    """Case by case through JSON gives the same; beyond the greatest number nothing grows."""
    generator = np.random.default_rng(4)
    cases = []
    for number in range(150):
        where = {**_places(generator), "sex": f"code-{number % 40}"}
        cases.append(Observation(f"{number}", _numbers(generator, where), where))
    whole = watches.run(NUMBERS, DIGEST, None, watches.State(), cases)
    state = watches.State()
    for case in cases:
        kept = json.loads(json.dumps(watches.encode(state)))
        state = watches.run(NUMBERS, DIGEST, None, watches.decode(kept), [case])
    assert watches.encode(state) == watches.encode(whole)
    assert sum(name.startswith("sex=") for name in whole.strata) == strata.MOST


def test_a_case_without_a_fact_lies_in_a_stratum_of_its_own() -> None:
    """Nothing told the sex: the case counts as not known, and no part loses a case."""
    state = watches.run(
        RATES, DIGEST, None, watches.State(), [Observation("1", {"refused": 1.0}, {"sex": "F"})]
    )
    assert set(state.strata) == {"sex=F", "scanner=not-known", "age_band=not-known"}
    assert {part.cases for part in strata.parts(RATES, state)} == {1}


@pytest.mark.parametrize(
    "wrong",
    [{"by": ("colour",)}, {"by": ("sex", "sex")}, {"by": ("sex",), "window": plans.RELEASE}],
)
def test_what_cannot_be_split_is_refused(wrong: dict[str, object]) -> None:
    """An unknown dimension, one twice, and a window that all parts share."""
    given = {"window": plans.FIRST, **wrong}
    with pytest.raises(ConfigurationError):
        Item(name="x", metric=plans.INPUT, data=("ct_*",), limit=100.0, action="notify",
             owner="physicist", **given)  # type: ignore[arg-type]  # fmt: skip


def test_a_plan_with_a_split_item_comes_back_and_one_without_says_nothing_of_it() -> None:
    """Plans that were stored before items could be split keep their bytes."""
    plan = plans.Plan("trial", (RATES, NUMBERS))
    assert plans.decode(json.loads(json.dumps(plans.encode(plan)))) == plan
    plain = Item("x", plans.INPUT, ("ct_*",), plans.FIRST, 100.0, "notify", "physicist")
    assert "by" not in plans.stated(plain)
