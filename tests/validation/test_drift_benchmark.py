"""The drift benchmark at a small size: its streams are what they say, and its goals are kept."""

import numpy as np
import pytest

from validation.benchmarks.drift import contours, images, labelled, matching, plan_items
from validation.benchmarks.drift.__main__ import main


def _auc(cases: labelled.Cases) -> float:
    places = cases.stated.ravel().argsort().argsort() + 1.0
    labels = cases.labels.ravel()
    events = labels.sum()
    above = places @ labels - events * (events + 1) / 2
    return float(above / (events * (len(labels) - events)))


def test_the_streams_have_the_stated_auc_and_prevalence() -> None:
    """Before 0.81, after 0.55, prevalence 0.3 in each story; stated risks are calibrated."""
    generator = np.random.default_rng(1)
    still = labelled.quiet(200, 300, generator)
    assert _auc(still) == pytest.approx(0.81, abs=0.01)
    assert still.labels.mean() == pytest.approx(still.stated.mean(), abs=0.01)
    for story in labelled.STORIES:
        fallen = labelled.changed(story, 200, 300, generator)
        assert _auc(fallen) == pytest.approx(0.55, abs=0.01)
        assert fallen.labels.mean() == pytest.approx(0.3, abs=0.01)


def test_chunks_are_matched_to_the_same_run_length() -> None:
    """One chunk of 40 lies below the floor when nothing changed."""
    generator = np.random.default_rng(2)
    floor = labelled.chunk_floor(generator)
    found = labelled.chunk_statistics(labelled.quiet(200, 1000, generator))
    assert np.mean(found < floor) == pytest.approx(0.025, abs=0.01)


@pytest.mark.reg("AIA-72.1")
def test_a_fallen_auc_is_found_in_forty_patients() -> None:
    """Median of the easiest story at most 40 over 150 streams; chunks need fifty."""
    generator = np.random.default_rng(3)
    before = labelled.quiet(150, labelled.QUIET_CASES, generator)
    after = labelled.changed("same patients", 150, labelled.FOLLOWED, generator)
    found = labelled.delays(labelled.ours(before.then(after)), labelled.QUIET_CASES)
    assert found.median <= labelled.GOAL
    assert found.false_share <= labelled.QUIET_CASES / labelled.RUN_LENGTH + 0.06


def test_a_shift_of_three_millimetres_is_found_in_fifteen_cases() -> None:
    """At 1 mm scatter over 20 streams, without a false alarm in 500 quiet cases."""
    found = contours.measure(1.0, 20, np.random.default_rng(4))
    assert found.ours.median <= contours.GOAL_CASES
    assert found.false_ours == 0


@pytest.mark.reg("AIA-26.4")
def test_a_changed_kernel_is_found_on_real_images_within_ten_studies() -> None:
    """Statistics of re-filtered CTs of sarcoma patients, resampled to 8 streams."""
    if not any(images.sarcoma_images(images.data_root())):
        pytest.skip("real data absent: sts51 (OSTEON_TEST_DATA)")
    generator = np.random.default_rng(5)
    tables = images.pool("sarcoma", generator, most=6)
    drawn = images.draw(tables, 8, 30, generator)
    found, quiet, matched = images.measure("sarcoma", tables, drawn, generator)
    medians = {item.change: item.delays.median for item in found}
    assert medians["smooth kernel"] <= images.GOAL_CASES
    assert medians["slice thickness"] <= images.GOAL_CASES
    assert quiet.alarms <= 2
    assert matched.delays["smooth kernel"].median <= medians["smooth kernel"]


def test_the_plans_own_items_find_a_shift_and_a_changed_tag() -> None:
    """Case by case through the code of a site: 3 mm within fifteen, a kernel word within ten."""
    found = plan_items.shift(1.0, 4, np.random.default_rng(6))
    assert found.delays.median <= contours.GOAL_CASES
    generator = np.random.default_rng(7)
    names = ("ct_noise", "slice_spacing_mm")
    table = np.stack([generator.normal(10, 1, 30), np.full(30, 3.0)], axis=1)
    tables = {"unchanged": (names, table), "smooth kernel": (names, table)}
    (line,) = plan_items.acquisition(tables, 4, generator)
    assert (line.change, line.within) == ("smooth kernel", 1.0)


def test_a_threshold_is_the_least_that_keeps_the_run_length() -> None:
    """Ten streams of 100 cases with peaks 1 to 10: 400 at risk per alarm leave two alarms."""
    quiet = np.zeros((10, 100))
    quiet[:, 49] = np.arange(1, 11)
    level = matching.threshold_at(quiet, 400.0)
    alarms = (quiet >= level).any(axis=1).sum()
    assert alarms == 2
    matched = matching.at_run_length("x", quiet, {"change": quiet + 8.0}, 0, 400.0)
    assert matched.run_length >= 400.0
    assert matched.delays["change"].median <= 50


def test_a_peer_counts_by_its_fastest_setting_of_the_run_length() -> None:
    """A setting that alarms too often is left out, however fast it is."""
    settings = {
        "Fast a": {"quiet": [5] * 10, "changed": [301] * 10},
        "Fast b": {"quiet": [0] * 10, "changed": [350] * 10},
        "Fast c": {"quiet": [0] * 10, "changed": [380] * 10},
        "Never x": {"quiet": [1] * 10, "changed": [301] * 10},
    }
    best = labelled.matched(settings, 4000)
    assert set(best) == {"Fast"}
    assert best["Fast"][0] == "Fast b"
    assert best["Fast"][2].median == 50


def test_one_command_names_what_is_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes seeds, streams and a line for every absent peer."""
    assert main(["--streams", "20", "--only", "cost", "--peers", "nowhere"]) == 0
    assert "goal 5 ms" in capsys.readouterr().out
