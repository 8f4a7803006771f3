"""The model card says what was measured, no more and no less."""

from __future__ import annotations

import json

from plugins.contouring import card
from plugins.contouring.plugin import MANIFEST


def test_the_figures_of_the_card_are_those_of_the_results() -> None:
    """The committed card holds exactly the figures of the committed results."""
    block = card.figures(card.read(card.CROSS_VALIDATION), card.read(card.FAITHFULNESS))
    text = card.CARD.read_text("utf-8")
    assert card.with_figures(text, block) == text, "run: python -m plugins.contouring.card"


def test_the_results_are_those_of_the_committed_weights() -> None:
    """Results of other weights do not count: each digest of the report is in the manifest."""
    for path in (card.CROSS_VALIDATION, card.FAITHFULNESS):
        report = card.read(path)
        if report is not None:
            named = {digest.removeprefix("sha256:") for digest in report["weights"].values()}
            assert named == {name.removesuffix(".safetensors") for name in MANIFEST.weights}, path


def test_the_list_of_weights_is_that_of_the_index() -> None:
    """`weights.json` names the ensemble of the index, in order of its folds."""
    index = card.read(card.WEIGHT_INDEX)
    assert index is not None
    assert tuple(json.loads(card.WEIGHTS.read_text("utf-8"))) == card.weight_files(index)


def test_every_figure_has_its_number_and_interval() -> None:
    """A row of the report becomes a row of the card with n, mean and interval."""
    metric = {"n": 34, "mean": 0.8512, "interval_95": [0.8204, 0.8791]}
    few = {"n": 33, "mean": 9.04, "interval_95": [7.5, 11.2]}
    row = {"n": 34, "dsc": metric, "hd95_mm": few}
    report = {
        "method": "cross-fitted",
        "jitter": {"crops_per_patient": 3, "cut_mm": [0.0, 40.0]},
        "summary": {"ct": {"all": row}, "ct+pet": {"all": row}},
        "calibration": {"abstain_below": 0.6},
        "trust": {},
    }
    block = card.figures(report, None)
    rows = [line for line in block.splitlines() if "| all |" in line]
    assert rows[0].startswith("| CT+PET | all | 34 | 0.851 (0.820 to 0.879) | - | ")
    assert "9.0 (7.5 to 11.2, n = 33)" in rows[0]
    assert rows[1].startswith("| CT | all | 34 |")
    assert card.NOT_MEASURED in block


def test_the_card_names_the_data_and_its_licence() -> None:
    """Attribution that CC BY 3.0 asks for stands in the card."""
    text = card.CARD.read_text("utf-8")
    for words in ("10.7937/K9/TCIA.2015.7GO2GSKS", "CC BY 3.0", "Vallières", "Clark"):
        assert words in text


def test_the_trained_field_of_the_card_is_that_of_the_envelope() -> None:
    """The size beyond which a seed point is needed is the manifest's."""
    trained = MANIFEST.envelope.trained_field_mm
    assert trained is not None
    assert " × ".join(f"{size:.0f}" for size in trained) + " mm" in card.CARD.read_text("utf-8")


def test_the_criteria_are_fixed_and_complete() -> None:
    """Each criterion has one bound, a reason and an id of its own."""
    document = json.loads((card.FOLDER / "criteria.json").read_text("utf-8"))
    identifiers = [item["id"] for item in document["criteria"]]
    assert len(set(identifiers)) == len(identifiers)
    for item in document["criteria"]:
        assert ("at_least" in item) != ("at_most" in item)
        assert item["reason"]
