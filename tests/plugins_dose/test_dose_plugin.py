"""The dose plugin: the same dose as the arrays give, on any axes, and refusals by name."""

import os
import zipfile
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from adapters.rt.read_plan import read_plan
from adapters.rt.read_series import read_series
from adapters.rt.read_structures import read_structures
from audit.errors import RefusalError
from models.dose import explain as explain_module
from models.dose.beams import ANGLES_DEGREES
from models.dose.explain import DoseExplanation
from models.dose.patient import Beams
from models.dose.predict import DosePredictor
from models.dose.uncertainty import Calibration
from models.training.dose.packs import read_pack
from models.weights.store import weight_paths
from plugins.dose import card
from plugins.dose import plugin as plugin_module
from plugins.dose.beams import AROUND_ITS_ISOCENTRE, ISOCENTRE_ASSUMED
from plugins.dose.grids import filled_between, patient_grid
from plugins.dose.plugin import LEAST_EXPLANATION_S, TOGETHER_S, Dose, understood
from plugins.host.case import Case, Subject
from plugins.host.outputs import check_prediction
from plugins.host.prescription import DoseGoal, PrescribedTarget, Prescription
from tests.simulators.neck_case import neck_case, turned

DATA = Path(os.environ.get("OSTEON_TEST_DATA", "../shared/data"))
AXES = [*product(permutations(range(3)), product((False, True), repeat=3))]


@pytest.fixture(scope="module")
def plugin():
    """The plugin with the stored weights."""
    made = Dose()
    made.prepare(DosePredictor.load(weight_paths("dose")[0]), Calibration.load())
    return made


@pytest.fixture(scope="module")
def told(plugin):
    """What it tells of the neck phantom."""
    return plugin.predict(neck_case(), {})


def region_of(prediction, name):
    """Return one region of a dose by its TG-263 name."""
    return next(item for item in prediction.findings[0].regions if item.name == name)


@pytest.fixture(scope="module")
def dicom_case(tmp_path_factory):
    """pt_1 read from DICOM."""
    archive = DATA / "openkbp_dicom" / "pt_1.zip"
    if not archive.exists():
        pytest.skip("openkbp_dicom is not here")
    folder = tmp_path_factory.mktemp("pt_1")
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    ct, _ = read_series(sorted(folder.glob("CT*.dcm")), "CT")
    structures, _ = read_structures(folder / "RS.dcm")
    plan, _ = read_plan(folder / "RP.dcm")
    return Case(
        ct.study_instance_uid, Subject(), {"ct": ct}, {"structures": structures}, {}, {"plan": plan}
    )


@pytest.mark.slow
def test_a_dicom_patient_gets_the_dose_of_its_arrays(plugin, dicom_case):
    """The same masks, and the dose of the array path within 0.2 Gy; its plan is a template.

    The pack has its CT in steps of 4 HU in soft tissue, the DICOM every value.
    """
    case, ct = dicom_case, dicom_case.images["ct"]
    patient, _ = read_pack(DATA / "openkbp" / "train" / "pt_1.npz")
    work = understood(case)
    assert ISOCENTRE_ASSUMED in work.marks
    assert np.array_equal(work.patient.possible_dose, patient.possible_dose)
    for (dose, mask), (wanted, pack) in zip(
        sorted(work.patient.targets, key=lambda pair: pair[0]),
        sorted(patient.targets, key=lambda pair: pair[0]),
        strict=True,
    ):
        assert dose == wanted
        assert np.array_equal(mask, pack)
    assert work.patient.organs.keys() == patient.organs.keys()
    assert all(np.array_equal(mask, patient.organs[n]) for n, mask in work.patient.organs.items())
    prediction = plugin.predict(case, {})
    check_prediction(prediction, case)
    found = prediction.findings[0]
    assert found.geometry.shape == ct.geometry.shape
    assert np.allclose(found.geometry.affine(), ct.geometry.affine())
    arrays = plugin.predictor.predict(patient)
    assert np.abs(np.transpose(found.dose_gy[::-1], (1, 2, 0)) - arrays).max() < 0.2


@pytest.mark.slow
def test_the_isocentre_of_a_dicom_plan_gives_the_dose_of_the_arrays_around_it(plugin, dicom_case):
    """With metersets the plan's isocentre counts: 8 mm off, the dose is that of arrays with it."""
    plan = dicom_case.plans["plan"]
    beams = tuple(replace(beam, meterset=80.0) for beam in plan.beams)
    case = replace(dicom_case, plans={"plan": replace(plan, beams=beams)})
    prediction = plugin.predict(case, {})
    assert AROUND_ITS_ISOCENTRE in prediction.uncertainty.reasons
    found = np.transpose(prediction.findings[0].dose_gy[::-1], (1, 2, 0))
    patient, _ = read_pack(DATA / "openkbp" / "train" / "pt_1.npz")
    # Row, column and slice of (258.586, 230.739, 153.471) mm in the pack's arrays.
    given = Beams(tuple(map(float, ANGLES_DEGREES)), (59.073, 66.2023, 65.6116))
    arrays = plugin.predictor.predict(replace(patient, beams=given))
    assert np.abs(found - arrays).max() < 0.2
    assert np.abs(found - plugin.predictor.predict(patient)).max() > 2


def test_the_target_gets_its_dose_and_everything_is_told(told):
    """Points of targets and organs with intervals, inside and outside the target as expected."""
    target, cord = region_of(told, "PTV_7000"), region_of(told, "SpinalCord")
    points = {item.code.value: item for item in target.measurements}
    assert set(points) == {"D99", "D95", "D1", "Mean"}
    assert 60 < points["D95"].value < 75
    low, high = points["D95"].interval
    assert low < points["D95"].value < high
    assert cord.histogram.mean_gy < 0.7 * target.histogram.mean_gy
    assert not told.uncertainty.abstain
    assert told.findings[0].error_gy.max() > 0
    assert len(told.statistics.embedding) == 64
    assert told.statistics.geometry["levels"] == 2.0


@pytest.mark.parametrize(("order", "flips"), AXES[::7])
def test_any_storage_order_gives_the_same_dose_at_the_same_place(plugin, told, order, flips):
    """The CT stored along other axes: dose and grid agree at points of the patient."""
    case = turned(neck_case(), order, flips)
    found = plugin.predict(case, {}).findings[0]
    check_prediction(plugin.predict(case, {}), case)
    first = told.findings[0]
    for index in ((20, 25, 30), (15, 30, 18), (28, 20, 40)):
        place = first.geometry.to_patient(np.asarray(index, np.float64))
        there = tuple(np.rint(found.geometry.to_index(place)).astype(int))
        assert abs(found.dose_gy[there] - first.dose_gy[index]) < 0.05


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_turning_and_turning_back_is_the_identity(order):
    """Values laid into the networks' order come back to their voxels."""
    for flips in product((False, True), repeat=3):
        case = turned(neck_case(), order, flips)
        volume = case.images["ct"]
        grid = patient_grid(volume.geometry)
        assert grid.blocks == (1, 1, 1)
        assert np.array_equal(grid.in_patient(grid.lay(volume.array)), volume.array)
        assert np.allclose(grid.dose_geometry.affine(), volume.geometry.affine())


def test_a_fine_ct_gives_the_same_dose_on_blocks_of_its_voxels(plugin, told):
    """A CT of 1 mm pixels: blocks; means of targets within 1.5 Gy, of small organs within 4 Gy."""
    case = neck_case((1.25, 1.0, 1.0))
    prediction = plugin.predict(case, {})
    check_prediction(prediction, case)
    found = prediction.findings[0]
    assert found.geometry.spacing_mm == (2.5, 4.0, 4.0)
    first = case.images["ct"].geometry.to_patient(np.asarray([0.5, 1.5, 1.5]))
    assert np.allclose(found.geometry.origin_mm, first)
    for name in ("PTV_7000", "PTV_5600", "Parotid_L", "Parotid_R"):
        means = [region_of(item, name).histogram.mean_gy for item in (told, prediction)]
        assert abs(means[0] - means[1]) < (1.5 if name.startswith("PTV") else 4.0), name


@pytest.mark.parametrize(
    ("spacing", "blocks"),
    [
        ((1.5, 4.0, 4.0), (1, 1, 1)),
        ((2.0, 1.9, 1.9), (1, 1, 1)),
        ((1.25, 1.0, 1.0), (2, 4, 4)),
        ((0.6, 0.5, 0.5), (4, 9, 9)),
    ],
)
def test_only_a_ct_finer_than_the_training_data_is_taken_in_blocks(spacing, blocks):
    """Down to the finest spacing of the training data a voxel of the CT is one of the grid."""
    geometry = replace(neck_case().images["ct"].geometry, spacing_mm=spacing)
    assert patient_grid(geometry).blocks == blocks


def test_left_and_right_stay_apart(plugin):
    """A target towards the left gives the left parotid more dose than the right one."""
    case = neck_case()
    structures = case.structure_sets["structures"]
    moved = [
        replace(
            roi,
            contours=tuple(
                replace(c, points_mm=c.points_mm + np.asarray([24.0, 0, 0])) for c in roi.contours
            ),
        )
        if roi.name.startswith("PTV")
        else roi
        for roi in structures.rois
    ]
    case = replace(case, structure_sets={"structures": replace(structures, rois=tuple(moved))})
    prediction = plugin.predict(case, {})
    left, right = (region_of(prediction, name) for name in ("Parotid_L", "Parotid_R"))
    assert left.histogram.mean_gy > right.histogram.mean_gy + 5


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (neck_case(doses=()), "PRESCRIPTION_REQUIRED"),
        (neck_case(drop=("PTV70", "PTV56")), "TARGET_NOT_FOUND"),
        (neck_case(doses=((1, 70.0),)), "TARGET_WITHOUT_DOSE"),
        (neck_case(doses=((1, 66.0), (2, 56.0))), "TARGET_DOSE_CONTRADICTS"),
        (neck_case(doses=((1, 70.0), (2, 56.0), (3, 70.0))), "TARGET_NO_PTV"),
        (neck_case(doses=((1, 70.0), (2, 56.0), (2, 54.0))), "PRESCRIPTION_CONFLICT"),
    ],
)
def test_without_a_prescription_that_fits_it_refuses(plugin, case, reason):
    """Nobody guesses: each target has one dose, its name does not contradict, no organ has one."""
    with pytest.raises(RefusalError) as caught:
        plugin.predict(case, {})
    assert caught.value.reasons == (reason,)


def stated(*targets, **values):
    """Return a prescription of the protocol."""
    named = tuple(PrescribedTarget(dose, name) for name, dose in targets)
    return Prescription(named, "protocol", "hn", **values)


def test_a_prescription_of_the_case_is_taken_by_name(plugin):
    """Spelling does not matter where the meaning is the same."""
    named = stated(("ptv-70", 70.0), ("PTV 56 Gy", 56.0))
    prediction = plugin.predict(replace(neck_case(doses=()), prescription=named), {})
    assert next(item.name for item in prediction.findings[0].regions) == "PTV_7000"


@pytest.mark.parametrize(
    ("prescription", "reason"),
    [
        (stated(("PTV70", 66.0), ("PTV56", 56.0)), "TARGET_DOSE_CONTRADICTS"),
        (stated(("PTV99", 70.0)), "TARGET_WITHOUT_DOSE"),
        (
            stated(("PTV70", 70.0), structure_set_uid="1.2.3"),
            "PRESCRIPTION_OF_OTHER_STRUCTURES",
        ),
    ],
)
def test_a_prescription_that_cannot_be_right_is_refused(plugin, prescription, reason):
    """Two that differ, a name that nobody has, another structure set."""
    with pytest.raises(RefusalError) as caught:
        plugin.predict(replace(neck_case(), prescription=prescription), {})
    assert caught.value.reasons == (reason,)


def test_goals_of_the_protocol_are_judged(plugin):
    """Met, not met, and uncertain where the interval holds the limit."""
    goals = (
        DoseGoal("SpinalCord", "D0.1cc[Gy]", "at_most", 200.0, "hn"),
        DoseGoal("PTV_7000", "V20Gy[%]", "at_most", 1.0, "hn"),
        DoseGoal("Parotid_L", "Mean[Gy]", "at_most", 0.0, "hn"),
    )
    whole = stated(("PTV70", 70.0), ("PTV56", 56.0), goals=goals, protocol="hn")
    case = replace(neck_case(), prescription=whole)
    prediction = plugin.predict(case, {})
    verdicts = {
        (part.name, goal.measured.code.value): goal.verdict
        for part in prediction.findings[0].regions
        for goal in part.goals
    }
    assert verdicts["SpinalCord", "D0.1cc"] == "met"
    assert verdicts["PTV_7000", "V20Gy"] == "not-met"
    mean = next(
        item
        for item in region_of(prediction, "Parotid_L").measurements
        if item.code.value == "Mean"
    )
    limit = DoseGoal("Parotid_L", "Mean[Gy]", "at_most", mean.value + 0.1, "hn")
    near = replace(whole, goals=(limit,))
    again = plugin.predict(replace(case, prescription=near), {})
    assert region_of(again, "Parotid_L").goals[0].verdict == "uncertain"


def test_outside_what_was_trained_it_abstains(plugin):
    """A palliative prescription is told to be outside, whatever the networks answer."""
    prediction = plugin.predict(
        neck_case(doses=((1, 30.0), (2, 24.0)), names=("PTV High", "PTV Low")), {}
    )
    assert prediction.uncertainty.abstain
    assert "PRESCRIPTION_NOT_TRAINED" in prediction.uncertainty.reasons


def test_gaps_between_contours_are_filled_by_shape():
    """A slice between two drawn ones holds a shape between theirs; a wide gap stays open."""
    mask = np.zeros((9, 20, 20), bool)
    mask[0, 4:16, 4:16] = True
    mask[2, 8:12, 8:12] = True
    mask[8, 8:12, 8:12] = True
    filled = filled_between(mask, 3.0)
    assert mask[2].sum() < filled[1].sum() < mask[0].sum()
    assert not filled[3:8].any()


def test_the_card_has_the_measured_figures():
    """Card and list of weights are what the recorded results give."""
    files = card.weight_files(card.read(card.WEIGHT_INDEX))
    text = card.CARD.read_text("utf-8")
    assert card.with_figures(text, card.figures(card.read(card.VALIDATION), files)) == text
    assert Dose.manifest.weights == files


def test_an_explanation_gets_what_the_prediction_left_of_the_ten_seconds(plugin, monkeypatch):
    """3 s of prediction are taken off, of 30 s only so many; its dose is not made again."""
    now, asked, takes = [0.0], [], [3.0]
    predict, case = plugin.predictor.predict_with_spread, neck_case()

    def slow(*given):
        now[0] += takes[0]
        return predict(*given)

    def watched(predictor, patient, budget_s, goals, made):
        asked.append((budget_s, made))
        return DoseExplanation((), (), {}, 0, 0.0)

    monkeypatch.setattr(plugin_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(plugin.predictor, "predict_with_spread", slow)
    monkeypatch.setattr(explain_module, "explain", watched)
    prediction = plugin.predict(case, {})
    plugin.explain(case, prediction)
    plugin.explain(neck_case(), prediction)
    takes[0] = 30.0
    plugin.explain(case, plugin.predict(case, {}))
    (left_s, made), (whole_s, other), (least_s, _) = asked
    assert left_s == pytest.approx(TOGETHER_S - 3.0)
    assert least_s == LEAST_EXPLANATION_S
    assert TOGETHER_S <= 9.5
    assert made.seconds == pytest.approx(3.0)
    assert np.isclose(made.dose_gy.max(), prediction.findings[0].dose_gy.max())
    assert whole_s == TOGETHER_S
    assert other is None
