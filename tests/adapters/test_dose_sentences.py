"""Counterfactuals and beams of a predicted dose are told as sentences, in both languages."""

import pytest

from adapters.database.terms import reason_code
from adapters.web.dose_sentences import BEAMS, beams_told, sentences
from adapters.web.texts_dose import DOSE_TEXTS
from plugins.dose import beams

INFERENCE = {
    "output": {
        "doses": [
            {
                "points": [
                    {"region": "Parotid_R", "point": "Mean", "value": 30.0, "unit": "Gy"},
                    {"region": "SpinalCord", "point": "D0.1cc", "value": 20.0, "unit": "Gy"},
                ],
                "goals": [],
            }
        ]
    }
}
EXPLANATION = {
    "contributions": [
        ["Parotid_R.Mean:PTV_7000-margin", 0.3],
        ["Parotid_R.Mean:PTV_7000-minus-2mm", -0.05],
        ["Parotid_R.Mean:lowest-within-1pct", -0.2],
        ["Parotid_R.Mean:anew-at-lowest", -0.1],
        ["Parotid_R.Mean:d95-at-lowest", -0.012],
        ["SpinalCord.D0.1cc:lowest-within-1pct", -0.5],
    ]
}


@pytest.mark.parametrize("language", [0, 1])
def test_bounds_and_changes_are_told_in_gray(language: int) -> None:
    """Both sentences of the record; one without what the networks say of it is left out."""
    told = [
        DOSE_TEXTS[item.key][language].format(**item.values)
        for item in sentences(EXPLANATION, INFERENCE)
    ]
    assert len(told) == 2
    assert "PTV_7000" in told[0]
    assert "2 mm" in told[0]
    assert "-1.5 Gy" in told[0]
    assert ("cannot go below 24.0 Gy", "nicht unter 24.0 Gy")[language] in told[1]
    for number in ("30.0 Gy", "27.0 Gy", "-1.2 %"):
        assert number in told[1]


def test_nothing_is_told_of_points_that_the_record_does_not_have() -> None:
    """No prediction, no explanation, or numbers that are withheld: no sentence."""
    assert sentences(EXPLANATION, {}) == ()
    assert sentences({}, INFERENCE) == ()
    masked = {"contributions": [["Parotid_R.Mean:PTV_7000-minus-2mm", "none"]]}
    assert sentences(masked, INFERENCE) == ()


def test_whose_beams_were_taken_is_told_from_the_record() -> None:
    """Each code of the plugin has its sentence; other marks and other plugins have none."""
    marks = (
        beams.AROUND_ITS_ISOCENTRE, beams.ISOCENTRE_ASSUMED, beams.NO_PLAN, beams.NO_BEAMS,
    )  # fmt: skip
    codes = [reason_code(mark) for mark in marks]
    assert sorted(codes) == sorted(BEAMS)
    keys = [beams_told({"uncertainty": {"reasons": ["NO_ORGANS", code]}}) for code in codes]
    told = [DOSE_TEXTS[key] for key in keys]
    assert len(set(told)) == 4
    assert told[2] == (
        "Nine coplanar fields assumed, no plan was given.",
        "Neun koplanare Felder angenommen, kein Plan lag vor.",
    )
    assert beams_told({"uncertainty": {"reasons": ["NO_ORGANS"]}}) == ""
    assert beams_told({}) == ""
