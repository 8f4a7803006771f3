"""A cohort of planned doses: structures and doses come back, and predictions are scored by them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.validation.building_doses import build_doses
from plugins.host.findings import DoseGrid, Histogram, Measurement, RegionDose
from plugins.host.images import Code, Geometry, Volume
from plugins.host.manifest import Input
from validation.cohort.cases import FolderFiles, load_reference
from validation.cohort.linkage import public_linkage
from validation.cohort.manifest import CohortError
from validation.cohort.structures import (
    Region,
    Structures,
    decode_structures,
    encode_structures,
    prescription,
    structure_set,
)
from validation.criteria.reading import read_criteria
from validation.harness.cases import Evaluation, PlannedDose, read_evaluation, series_of
from validation.harness.conditions import SWEEPS, changed
from validation.harness.dose_scoring import on_grid, score_dose
from validation.harness.plan import RunPlan, givens_of
from validation.harness.results import Condition

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
GEOMETRY = Geometry((6, 20, 24), (2.5, 4.0, 4.0), (1.0, 2.0, 3.0), AXES, "frame-1")
FIRST = Path("validation/first")


def masks() -> tuple[np.ndarray, np.ndarray]:
    """Return a target with a hole and an island, and an organ."""
    target = np.zeros(GEOMETRY.shape, bool)
    target[1:5, 5:15, 6:16] = True
    target[2, 9:11, 9:11] = False
    target[3, 0, 0] = True
    organ = np.zeros(GEOMETRY.shape, bool)
    organ[2:4, 2:5, 18:22] = True
    return target, organ


def structures() -> Structures:
    """Return both as the regions of a case."""
    target, organ = masks()
    everywhere = np.ones(GEOMETRY.shape, bool)
    return Structures(
        (
            Region("PTV70", "PTV", target, 70.0),
            Region("LeftParotid", "ORGAN", organ),
            Region("PossibleDose", "CONTROL", everywhere),
        ),
        GEOMETRY,
    )


def planned() -> PlannedDose:
    """Return a dose of 70 Gy in the target, 20 Gy in the organ and 5 Gy elsewhere."""
    target, organ = masks()
    dose = np.where(target, 70.0, np.where(organ, 20.0, 5.0)).astype(np.float32)
    volume = Volume(dose, GEOMETRY, "RTDOSE", "Gy", "1", "2", "3", ("4",))
    return PlannedDose(volume, structures())


def predicted(dose: np.ndarray, geometry: Geometry = GEOMETRY) -> DoseGrid:
    """Return a dose with an interval for the target's D95 and the organ's mean."""
    held = Histogram(1.0, np.asarray([1.0]), 0.0, 1.0, 0.5)
    d95 = Measurement(Code("D95", "99OSTEON", "D95"), 69.0, "Gy", (65.0, 71.0))
    mean = Measurement(Code("Mean", "99OSTEON", "Mean"), 25.0, "Gy", (22.0, 28.0))
    regions = (
        RegionDose("PTV_7000", 1, "PTV", held, (d95,)),
        RegionDose("Parotid_L", 2, "ORGAN", held, (mean,)),
    )
    return DoseGrid("PredictedDose", dose.astype(np.float32), geometry, "ct", "structures", regions)


def test_structures_come_back_and_their_contours_fill_to_the_same_masks():
    """Names, types, doses and masks; the contours of a hole and an island too."""
    from adapters.rt.raster import mask_from_contours

    whole = structures()
    found = decode_structures(encode_structures(whole), "case-001")
    assert [(r.name, r.interpreted_type, r.prescribed_gy) for r in found.regions] == [
        ("PTV70", "PTV", 70.0),
        ("LeftParotid", "ORGAN", None),
        ("PossibleDose", "CONTROL", None),
    ]
    drawn = structure_set(found, "case-001")
    for region, roi in zip(found.regions, drawn.rois, strict=True):
        assert np.array_equal(mask_from_contours(roi.contours, found.geometry), region.mask)
    stated = prescription(found, "case-001")
    assert [(item.roi_number, item.dose_gy) for item in stated.targets] == [(1, 70.0)]
    assert stated.structure_set_uid == drawn.sop_instance_uid


def test_bytes_that_are_no_structures_are_refused():
    """Cut short, or an archive of other members."""
    for raw in (encode_structures(structures())[:-200], b"PK", b""):
        with pytest.raises(CohortError) as caught:
            decode_structures(raw, "case-001")
        assert caught.value.reasons[0].startswith("COHORT_FILE_MALFORMED")


def test_the_planned_dose_itself_has_no_error():
    """Zero errors; one of two intervals holds what was planned."""
    found = score_dose(predicted(planned().dose.array), planned())
    assert found == {"dose_score_gy": 0.0, "dvh_error_gy": 0.0, "dvh_covered_share": 0.5}


def test_an_error_of_two_gray_is_two_gray():
    """Everywhere 2 Gy more: dose and DVH error of 2 Gy."""
    found = score_dose(predicted(planned().dose.array + 2.0), planned())
    assert found["dose_score_gy"] == pytest.approx(2.0, abs=1e-6)
    assert found["dvh_error_gy"] == pytest.approx(2.0, abs=1e-6)


def test_a_dose_on_another_grid_is_read_where_the_plan_is():
    """Every second voxel of a dose that rises evenly gives the same dose between."""
    rising = np.broadcast_to(np.arange(24.0), GEOMETRY.shape).astype(np.float32)
    coarse = replace(GEOMETRY, shape=(6, 20, 12), spacing_mm=(2.5, 4.0, 8.0))
    read = on_grid(np.ascontiguousarray(rising[:, :, ::2]), coarse, GEOMETRY)
    assert np.allclose(read[:, :, :22], rising[:, :, :22], atol=1e-5)
    assert read[0, 0, 23] == 0.0


def test_what_moves_anatomy_is_left_out_where_structures_would_stay():
    """Noise is asked of a case with structures, a rotation is not."""
    plan = RunPlan(
        *("sha256:" + "0" * 64,) * 3, "pack", "held-out",
        givens=("ct+structures",), sweeps=(("noise", 20.0), ("rotation", 5.0)),
    )  # fmt: skip
    cohort, _ = built()
    names = [item.name for item in plan.conditions(cohort, cohort.cases[0])]
    assert "noise" in names
    assert "rotation" not in names
    assert all(SWEEPS[name].moves for name in ("slice-thickness", "crop-jitter", "rotation"))


def test_a_plugin_is_asked_with_all_that_it_takes_then_with_all_that_it_needs():
    """Optional inputs make the fuller set; a plan is never part of a cohort."""
    pet = (Input("ct", "CT"), Input("pet", "PT", required=False))
    dose = (Input("ct", "CT"), Input("structures", "RTSTRUCT"), Input("plan", "RTPLAN", False))
    assert givens_of(pet) == ("ct+pet", "ct")
    assert givens_of(dose) == ("ct+structures",)


def built(folder: Path | None = None):
    """Return a cohort of two small packs, and its files."""
    import tempfile

    from tests.simulators.dose_packs import write_pack

    place = folder or Path(tempfile.mkdtemp())
    packs = place / "packs"
    packs.mkdir()
    for number, shift in ((1, 0), (2, 3)):
        write_pack(packs / f"pt_{number}.npz", shift)
    words = json.loads((FIRST / "openkbp-cohort.json").read_text()) | {"packs": "packs"}
    cohort = build_doses(place, words, public_linkage("doi:10.1002/mp.14845"), place / "built")
    return cohort, FolderFiles(place / "built")


def test_packs_become_cases_with_a_dose_for_their_reference(tmp_path):
    """What a plugin gets, what it is judged by, and flags for the strata; no id of a patient."""
    cohort, files = built(tmp_path)
    case = cohort.cases[0]
    evaluation = read_evaluation(case, files)
    assert load_reference(case, files) is None
    assert evaluation.planned.dose.array.max() == pytest.approx(70.0)
    names = [roi.name for roi in evaluation.case.structure_sets["structures"].rois]
    assert names == ["PTV70", "RightParotid", "PossibleDose"]
    assert evaluation.case.prescription.targets[0].dose_gy == 70.0
    assert set(series_of(evaluation.case)) == {"ct", "structures"}
    assert case.facts.flags == ("levels-1", "organ-missing", "small-targets")
    assert "pt_1" not in str(cohort)


def test_what_is_no_patient_has_no_right_answer(tmp_path):
    """A head is shown as a foot, and the planned dose is not judged by."""
    cohort, files = built(tmp_path)
    evaluation = read_evaluation(cohort.cases[0], files)
    found = changed(evaluation, Condition("other-body", 1.0, "ct+structures"), "case-001", 1)
    assert found.case.body_part == "FOOT"
    assert found.planned is None
    assert isinstance(found, Evaluation)


def test_the_criteria_of_the_first_certificate_can_be_read():
    """Every criterion is of a kind that exists and of a metric of the registry."""
    document = read_criteria((FIRST / "dose-criteria.json").read_bytes())
    assert document.plugin == "dose"
    assert {item.metric for item in document.criteria if item.metric} == {
        *("dose_score_gy", "dvh_error_gy", "dvh_covered_share"),
    }
