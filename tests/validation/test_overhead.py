"""The overhead benchmark: alternating sides, honest figures beside each other."""

import numpy as np
import pytest

from validation.benchmarks.overhead import Timed, dice, measure, timed

MASK = np.eye(4, dtype=bool)


def test_sides_alternate_and_the_median_decides():
    """Each repeat runs the path and then the script; median, minimum and what is not the
    plugin's time are told for both, and the verdict follows from the medians."""
    order = []

    def side(name, seconds):
        def run(number):
            order.append((name, number))
            return Timed(seconds[number], 0.1 * number, 4.0, MASK)

        return run

    path, bare = [7.0, 6.9, 9.0], [6.0, 6.5, 6.1]
    found = measure(side("path", path), side("bare", bare), 3)
    assert order == [(name, number) for number in range(3) for name in ("path", "bare")]
    assert (found.path_median_s, found.path_minimum_s) == (7.0, 6.9)
    assert (found.bare_median_s, found.bare_minimum_s) == (6.1, 6.0)
    assert found.path_other_minimum_s == pytest.approx(2.9)
    assert found.bare_other_median_s == pytest.approx(2.1)
    assert found.start_p95_s == pytest.approx(0.19)
    assert found.allowed_s == pytest.approx(7.1)
    assert found.holds
    assert found.agreement_dsc == 1.0


@pytest.mark.parametrize(("path_s", "holds"), [(7.05, True), (7.15, False)])
def test_a_second_is_allowed_where_a_tenth_is_less(path_s, holds):
    """One second over a script of six is the limit, and no more."""
    found = measure(
        lambda _: Timed(path_s, 0.2, 5.0, MASK), lambda _: Timed(6.1, 0.0, 5.0, MASK), 1
    )
    assert found.holds is holds


def test_masks_that_differ_are_told():
    """The agreement is that of the worst pair."""
    other = MASK.copy()
    other[0, 0] = False
    masks = iter((MASK, other))
    found = measure(
        lambda _: Timed(1.0, 0.0, 0.5, next(masks)), lambda _: Timed(1.0, 0.0, 0.5, MASK), 2
    )
    assert found.agreement_dsc == pytest.approx(6 / 7)
    assert dice(np.zeros(3, dtype=bool), np.zeros(3, dtype=bool)) == 1.0


def test_a_script_is_timed_with_its_plugin():
    """What a script tells of the plugin's time and mask is kept."""
    found = timed(lambda: (0.25, MASK))
    assert (found.plugin_s, found.start_s) == (0.25, 0.0)
    assert found.total_s >= 0.0
    assert found.mask is MASK
