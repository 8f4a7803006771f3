"""Measured accuracy: one source of every number, and too little evidence is named as such."""

from typing import Any

import pytest

from audit.errors import ConfigurationError
from governance.accuracy import (
    accuracy_forest,
    accuracy_table,
    fits_weights,
    given_text,
    held_against,
    read_accuracy,
)
from governance.report import Number
from tests.simulators.papers import measured, small_release

RELEASE = small_release()
ACCURACY = read_accuracy(measured(RELEASE))


def test_a_figure_keeps_its_precision_and_is_printed_rounded() -> None:
    """The table holds the value of the report; the metric says how many digits are printed."""
    table = accuracy_table(ACCURACY, ACCURACY.overall(), "en", overall=True)
    (row,) = table.rows
    assert row[:2] == ("CT", "all")
    assert row[3] == Number(0.8167, 3, 0.7904, 0.8395)
    assert "held-out" in table.note


@pytest.mark.reg("AIA-10.2fg")
@pytest.mark.reg("AIA-9.9")
def test_too_small_a_group_is_named_and_not_judged() -> None:
    """A group below the smallest size stands with its n and no figure, in table and forest."""
    table = accuracy_table(ACCURACY, ACCURACY.by_group(), "en", overall=False)
    rows = {row[1]: row for row in table.rows}
    assert rows["under 18"][2:] == (Number(2.0, 0), "insufficient")
    assert isinstance(rows["female"][3], Number)
    assert [row.label for row in accuracy_forest(ACCURACY, "ct", "en").rows] == [
        "all", "below 100 ml", "female",
    ]  # fmt: skip


@pytest.mark.reg("AIA-9.9")
@pytest.mark.parametrize("names", [(), ("female",), ("under 18",), ("below 100 ml", "female")])
def test_without_minors_and_another_group_persons_are_not_covered(names: tuple[str, ...]) -> None:
    """Groups of tumours are no groups of persons, and minors are a group that must be there."""
    groups = [g for g in measured(RELEASE)["groups"] if g["name"] in ("all", *names)]
    assert not read_accuracy(measured(RELEASE, groups=groups)).covers_persons()
    assert ACCURACY.covers_persons()


def test_figures_of_other_weights_do_not_fit() -> None:
    """Accuracy belongs to the weights that were judged, all of them and no others."""
    assert fits_weights(ACCURACY, RELEASE.manifest)
    for weights in ([], ["sha256:1"], [*measured(RELEASE)["weights"], "sha256:1"]):
        other = read_accuracy(measured(RELEASE, weights=weights))
        assert not fits_weights(other, RELEASE.manifest)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "other"},
        {"groups": []},
        {"metrics": []},
        {"smallest_group": -1},
        {"groups": [{"given": "ct", "name": "all", "about": "somebody", "n": 1, "figures": {}}]},
        {"groups": [{"given": "ct", "name": "all", "about": "all", "n": 1,
                     "figures": {"dsc": {"value": float("nan"), "low": 0, "high": 1}}}]},
    ],
)  # fmt: skip
def test_malformed_accuracy_is_refused(change: dict[str, Any]) -> None:
    """A schema, group or number that is not one is refused by its path."""
    with pytest.raises(ConfigurationError):
        read_accuracy(measured(RELEASE, **change))


def test_modalities_are_written_as_people_write_them() -> None:
    """ct+pet is CT+PET, and words around it stay."""
    assert given_text("ct+pet with seed point") == "CT+PET with seed point"
    assert given_text("phantom") == "phantom"


@pytest.mark.parametrize(
    ("change", "met"),
    [
        ({"at_least": 0.81}, True),
        ({"at_least": 0.82}, False),
        ({"at_most": 0.81}, False),
        ({"statistic": "interval_low", "at_least": 0.79}, True),
        ({"statistic": "interval_low", "at_least": 0.80}, False),
        ({"statistic": "highest", "at_least": 0.1}, None),
        ({"metric": "seconds", "at_most": 10}, None),
        ({"stratum": "under 18", "at_least": 0.1}, None),
        ({"given": "ct+pet", "at_least": 0.1}, None),
    ],
)
def test_a_criterion_is_held_against_its_own_figure(
    change: dict[str, Any], met: bool | None
) -> None:
    """Met, missed, or not judged here: too small a group and other statistics decide nothing."""
    criterion = {"given": "ct", "stratum": "all", "metric": "dsc", "statistic": "mean"} | change
    judged = held_against(ACCURACY, criterion)
    assert (judged is None) if met is None else (judged is not None and judged[1] is met)
