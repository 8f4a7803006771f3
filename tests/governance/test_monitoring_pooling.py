"""Several sites pooled: the sums of one place, sooner than alone, at the stated run length."""

import numpy as np
import pytest

from audit.errors import SuiteError
from governance.monitoring import plan as plans
from governance.monitoring.plan import Item
from governance.monitoring.pooling import (
    LEAST_PATIENTS,
    Block,
    Case,
    blocks,
    can_be_pooled,
    histogram,
    pool,
    whole_sums,
)
from governance.monitoring.rates import Rate
from governance.monitoring.run_length import NEVER, mean_run_length

STATED = 0.2
DETECTORS = {"refused": Rate(STATED)}
SITES = ("aachen", "bern", "calw", "delft", "essen")
PRESENT = "2027-01"


def _site(
    name: str, rate: float, generator: np.random.Generator, months: int, a_month: int
) -> list[Case]:
    return [
        Case(
            f"2026-{month + 1:02d}", f"{name}-{month}-{number}", "tumour_site=FEMUR",
            {"refused": np.array(float(generator.random() < rate))},
        )
        for month in range(months)
        for number in range(a_month)
    ]  # fmt: skip


def test_blocks_put_together_are_the_sums_of_all_cases_at_one_place() -> None:
    """Three sites, months in order: evidence equal to one stream of the same cases."""
    generator = np.random.default_rng(1)
    cases = {name: _site(name, 0.4, generator, 4, 6) for name in SITES[:3]}
    found = pool(
        DETECTORS, 1000.0, {n: blocks(DETECTORS, c, PRESENT) for n, c in cases.items()},
        has_window=False,
    )  # fmt: skip
    ordered = sorted(
        ((case.month, name, number, case) for name, own in cases.items()
         for number, case in enumerate(own)), key=lambda item: item[:3],
    )  # fmt: skip
    whole = whole_sums(DETECTORS["refused"], [case.values["refused"] for *_, case in ordered])
    assert found.cases == len(ordered) == 72
    assert found.evidence == pytest.approx(float(whole @ DETECTORS["refused"].weights), rel=1e-9)


@pytest.mark.reg("AIA-72.1")
def test_a_rare_tumour_signal_is_found_by_five_sites_and_by_none_alone() -> None:
    """12 cases a site at 0.45 in place of 0.2, A = 2000: no site has alarmed, the pool has.

    100 repetitions, seed 3: the pool finds at least three quarters, a single site at most one in
    twelve; in most repetitions the pool alarms and not one of the five does.
    """
    generator = np.random.default_rng(3)
    together = alone = only_pooled = 0
    for _ in range(100):
        given = {
            name: blocks(DETECTORS, _site(name, 0.45, generator, 2, 6), PRESENT) for name in SITES
        }
        pooled = bool(pool(DETECTORS, 2000.0, given, has_window=False).alarm_month)
        by_one = sum(
            bool(pool(DETECTORS, 2000.0, {name: own}, has_window=False).alarm_month)
            for name, own in given.items()
        )
        together += pooled
        alone += by_one
        only_pooled += pooled and by_one == 0
    assert together >= 75, together
    assert alone / (100 * len(SITES)) <= 1 / 12, alone
    assert only_pooled >= 60, only_pooled


def test_without_a_change_the_pool_keeps_the_stated_run_length() -> None:
    """At the stated rate: pooled cases to the first alarm, 250 streams, A = 60, seed 4."""
    generator = np.random.default_rng(4)
    limit, alarms, cases = 60.0, [], 5 * 10 * 6
    for _ in range(250):
        given = {
            name: blocks(DETECTORS, _site(name, STATED, generator, 10, 6), PRESENT)
            for name in SITES
        }
        found = pool(DETECTORS, limit, given, has_window=False)
        month = int(found.alarm_month[-2:]) if found.alarm_month else 0
        alarms.append(month * 30 if month else NEVER)
    _, _, most = mean_run_length(np.array(alarms), cases)
    assert most >= limit
    share = float(np.mean([0 < alarm <= 30 for alarm in alarms]))
    assert share <= 30 / limit


def test_no_block_rests_on_few_patients_and_blocks_never_change() -> None:
    """Four patients wait for a fifth; the next export repeats the blocks of the last one."""
    generator = np.random.default_rng(5)
    few = _site("a", 0.2, generator, 1, 4)
    assert blocks(DETECTORS, few, PRESENT) == ()
    twice = [*few, *few]
    assert blocks(DETECTORS, twice, PRESENT) == ()  # eight studies of four patients
    many = _site("a", 0.2, generator, 6, 3)
    told = blocks(DETECTORS, many, "2026-05")
    assert [block.n for block in told] == [6, 6]
    assert blocks(DETECTORS, many, PRESENT)[: len(told)] == told
    assert all(block.n >= LEAST_PATIENTS for block in blocks(DETECTORS, many, PRESENT))


def test_a_block_of_another_item_is_refused() -> None:
    """Neither an unknown name nor another number of alternatives is folded."""
    strange = Block("x=y", "2026-01", 9, {"failed": (0.0,)}, {"failed": (0.0,)})
    short = Block("x=y", "2026-01", 9, {"refused": (0.0,)}, {"refused": (0.0,)})
    for block in (strange, short):
        with pytest.raises(SuiteError, match="this item"):
            pool(DETECTORS, 100.0, {"a": [block]}, has_window=False)


def test_only_what_means_the_same_everywhere_is_pooled() -> None:
    """Stated rates and the release's window; first cases are of one site alone."""

    def item(metric: str, window: str) -> Item:
        return Item("x", metric, ("ct_noise",), window, 100.0, "notify", "physicist")

    assert can_be_pooled(item(plans.RATE, plans.STATED))
    assert can_be_pooled(item(plans.INPUT, plans.RELEASE))
    assert not can_be_pooled(item(plans.INPUT, plans.FIRST))
    assert not can_be_pooled(item(plans.AGREEMENT, plans.FIRST))


def test_a_histogram_joins_small_cells_and_tells_no_exact_number() -> None:
    """Cells of fewer than five patients are joined; shares sum to 1; n at steps of five."""
    generator = np.random.default_rng(6)
    values = generator.normal(size=63)
    patients = [str(number) for number in range(63)]
    found = histogram(values.tolist(), patients, generator.normal(size=100).tolist())
    assert found is not None
    n, edges, shares = found
    assert n == 60
    assert len(edges) == len(shares) - 1
    assert sum(shares) == pytest.approx(1.0, abs=0.03)
    assert min(shares) * 63 >= 4.5
    assert histogram(values[:4].tolist(), patients[:4], values.tolist()) is None
