"""Measured accuracy of the contouring weights: the report's figures, and groups of persons."""

from __future__ import annotations

import json
from typing import Any

import pytest

from governance.accuracy import read_accuracy
from models.training.contouring import accuracy as measured
from models.training.contouring.summary import summarise

REPORT = json.loads(measured.REPORT.read_text("utf-8"))
PERSONS = json.loads(measured.PERSONS.read_text("utf-8"))["persons"]
CONTENT = measured.measured_accuracy("sha256:0", 8)


@pytest.mark.reg("AIA-13.3b")
def test_every_figure_of_the_report_is_there_unrounded() -> None:
    """Mean, interval and n of each condition, size and metric are those of the report."""
    groups = {(g["given"], g["name"]): g for g in CONTENT["groups"]}
    for given, strata in REPORT["summary"].items():
        for name, row in strata.items():
            group = groups[(given, name)]
            assert group["n"] == row["n"]
            for key in measured.METRICS:
                figure = group["figures"][key]
                assert figure["value"] == row[key]["mean"]
                assert [figure["low"], figure["high"]] == row[key]["interval_95"]
                assert figure["n"] == row[key]["n"]


@pytest.mark.reg("AIA-9.9")
def test_persons_are_grouped_by_age_and_sex() -> None:
    """Under each condition every patient is in one age band and one sex, minors among them."""
    found = read_accuracy(CONTENT)
    assert found.covers_persons()
    for given in REPORT["summary"]:
        persons = [g for g in found.groups if g.given == given and g.about == "person"]
        everybody = next(g.n for g in found.overall() if g.given == given)
        assert sum(g.n for g in persons) == 2 * everybody
    minors = [g for g in found.groups if g.name == "under 18"]
    assert all(g.insufficient == (g.n < 8) for g in minors)


def test_a_group_is_summed_up_like_the_report() -> None:
    """The group of all women is the summary of the women's rows, interval included."""
    rows = [
        case
        for case in REPORT["cases"]
        if case["modalities"] == "ct+pet"
        and not case["seed_given"]
        and PERSONS[case["patient_id"]]["sex"] == "female"
    ]
    wanted = summarise(rows)["dsc"]
    (group,) = [g for g in CONTENT["groups"] if (g["given"], g["name"]) == ("ct+pet", "female")]
    assert group["figures"]["dsc"]["value"] == wanted["mean"]
    assert [group["figures"]["dsc"][k] for k in ("low", "high")] == wanted["interval_95"]


def test_every_patient_of_the_report_is_known() -> None:
    """A patient without age band and sex would fall out of every group without a sign."""
    patients = {case["patient_id"] for case in REPORT["cases"]}
    assert patients <= set(PERSONS)
    strange: dict[str, Any] = {"summary": REPORT["summary"], "cases": [{**REPORT["cases"][0],
                               "patient_id": "nobody"}], "weights": {}, "method": "m"}  # fmt: skip
    with pytest.raises(KeyError):
        measured.accuracy(strange, PERSONS, 8)
