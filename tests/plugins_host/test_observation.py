"""An answer of any kind leaves numbers to watch, the same for the same answer, and no name."""

import json
from dataclasses import dataclass, replace

from adapters.monitor import statistics_document
from plugins.host.findings import Classification, Prediction
from plugins.host.images import Code
from plugins.host.observation import MOST_NUMBERS, answer_numbers, stored
from tests.simulators.dose_case import dose_run
from tests.simulators.run_values import NAME, answer_for


@dataclass(frozen=True)
class Risk:
    """A finding of a kind that the hall does not know yet."""

    name: str
    probability: float
    horizon_years: int
    is_high: bool


def test_a_contour_leaves_its_measurements_uncertainty_and_explanation() -> None:
    """Volume and diameter by structure; score and width; shares of the channels."""
    answer = answer_for()
    found = answer_numbers(answer.prediction, answer.explanation)
    assert found["out_gtvp_118565006"] == 0.024
    assert found["out_gtvp_l0jk"] == 3.7
    assert found["uncertainty_score"] == 0.81
    assert abs(found["uncertainty_width"] - 0.2) < 1e-12
    assert (found["explained"], found["explanation_pet"]) == (1.0, 0.4)
    assert found["faithfulness_deletion_auc"] == 0.2
    abstained = answer_for(abstain=True)
    assert not [n for n in answer_numbers(abstained.prediction, None) if n.startswith("out_")]


def test_a_dose_and_a_risk_leave_theirs_without_being_known() -> None:
    """Points and goals of every region of a dose; a probability of a class; a new finding."""
    prediction = dose_run().answer.prediction
    found = answer_numbers(prediction, None)
    assert found["out_predicteddose_ptv_7000_d95"] == 66.2
    assert found["out_predicteddose_parotid_l_dmean"] == 21.5
    assert found["out_predicteddose_parotid_l_goals_not_met"] == 0.0
    assert found["out_predicteddose_parotid_l_histogram_mean_gy"] == 1.7
    assert not [name for name in found if name.endswith(("roi_number", "bin_gy"))]
    answers = ((Code("A", "99", "a"), 0.2), (Code("B", "99", "b"), 0.8))
    graded = Classification(Code("GRADE", "99", "grade"), answers)
    risk = Risk("Fibrosis", 0.31, 5, True)
    other = Prediction((graded, risk), prediction.uncertainty)  # type: ignore[arg-type]
    told = answer_numbers(other, None)
    assert (told["out_classification_a"], told["out_classification_b"]) == (0.2, 0.8)
    assert told["out_fibrosis_probability"] == 0.31
    assert "out_fibrosis_is_high" not in told


def test_the_stored_statistics_carry_them_and_older_ones_do_without() -> None:
    """Input and answer come back as numbers of one case; free text of the plugin does not."""
    answer = answer_for()
    text, digest = statistics_document(answer)
    assert statistics_document(answer_for())[1] == digest
    assert NAME not in text
    document = json.loads(text)
    assert stored("run", document).numbers["uncertainty_score"] == 0.81
    assert stored("run", document).numbers["mean"] == 1.0
    del document["output"]
    assert "uncertainty_score" not in stored("run", document).numbers


def test_an_answer_of_very_many_findings_leaves_a_bounded_number() -> None:
    """Ten thousand measurements do not become ten thousand monitors."""
    answer = answer_for()
    (region,) = answer.prediction.findings
    many = tuple(replace(region, name=f"Organ_{n}") for n in range(400))  # type: ignore[type-var]
    found = answer_numbers(replace(answer.prediction, findings=many), None)
    assert sum(name.startswith("out_") for name in found) == MOST_NUMBERS
