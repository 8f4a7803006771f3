"""The dose plugin: the dose that a plan would give, predicted from CT, structures, prescription.

Read the manifest first: it is the intended purpose in checkable terms.  `predict` recognises the
structures, finds what is prescribed and from which sides a plan irradiates, brings CT and masks
onto the networks' grid, and tells the dose with its histograms, points, intervals and the
protocol's goals.  Nothing that it gives is for treatment.  Codes: AAPM TG-263.

Read next: `grids.py`, `structures.py`, `prescription.py`, `beams.py`, `regions.py`, `card.md`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audit.errors import RefusalError
from plugins.dose.grids import PatientGrid, body_mask, patient_grid
from plugins.dose.prescription import prescribed
from plugins.dose.structures import MODEL_ORGANS, StructureMap, map_structures
from plugins.host.case import Case
from plugins.host.findings import DoseGrid, Explanation, Prediction, Uncertainty
from plugins.host.images import RegionOfInterest
from plugins.host.manifest import Envelope, Input, Limits, Manifest, Output
from plugins.host.protocol import Artifact, Edits, Parameters

if TYPE_CHECKING:
    from models.dose.game import Made
    from models.dose.patient import Patient
    from models.dose.predict import DosePredictor
    from models.dose.uncertainty import Calibration
    from plugins.dose.regions import Structure

FIELD_MARGIN_MM = 50.0
"""Slices beyond the targets in which dose is told: the median of the training plans (45 and 51)."""
MARKED = "Predicted by software; not for treatment"
EMBEDDING = 64
TOGETHER_S = 9.2
"""Within which prediction and explanation end together: of the ten seconds that they may take, some
are left for a prediction that takes longer than those before it."""
LEAST_EXPLANATION_S = 6.0
"""What an explanation may take however long the prediction took: on a machine so slow or busy ten
seconds cannot hold, and no explanation at all would be worse.  Quiet cores leave 6.8 s or more."""
UNCLEAR_TARGET, MISSING_TARGET = "UNCLEAR_TARGET", "MISSING_TARGET"
POSSIBLE_DOSE = "possibledose"

MANIFEST = Manifest(
    plugin="dose",
    version="0.5.0",
    title="Dose prediction for head-and-neck IMRT",
    intended_purpose=(
        "Predict the dose that a nine-field IMRT plan of the head and neck would give, from CT, "
        "structures and prescription, so that a physicist sees before planning which goals are "
        "in reach.  Not for treatment, not for other sites or techniques, not for bone tumours. "
        "Research use; not a certified device."
    ),
    evidence="real",
    inputs=(
        Input("ct", "CT", minimum_instances=16),
        Input("structures", "RTSTRUCT", same_frame_as="ct"),
        Input("plan", "RTPLAN", required=False, every=True),
    ),
    outputs=(Output("DoseGrid", "PredictedDose", "predicted-dose", "99OSTEON", "Predicted dose"),),
    envelope=Envelope(
        body_parts=("HEAD", "NECK", "HEADNECK", "BRAIN", "SKULL", "HEADANDNECK", "HEADNECKCHEST"),
        age_years=(18.0, 120.0),
        slice_spacing_mm=(0.5, 4.0),
        in_plane_mm=(0.4, 5.5),
        frames=(16, 1500),
        oblique_deg=5.0,
        prescription_required=True,
    ),
    parameters={"reference_plan": False},
    limits=Limits(wall_time_s=180.0, memory_mb=4096, explanation_s=20.0, threads=2),
    weights=tuple(json.loads(Path(__file__).with_name("weights.json").read_text("utf-8"))),
    model_packages=("models.dose", "models.physics", "models.unet"),
)


@dataclass(frozen=True, slots=True)
class Work:
    """What `predict` knows of a case and `explain` goes on from; arrays in the networks' order."""

    case: Case
    grid: PatientGrid
    patient: Patient
    structures: tuple[Structure, ...]
    marks: tuple[str, ...]
    source: str
    plan_role: str | None


class Dose:
    """Predict the dose of one case, with points, intervals and goals."""

    manifest = MANIFEST

    def load(self, artifact: Artifact) -> None:
        """Read the networks, and compile what they use on a small patient."""
        from models.dose.predict import DosePredictor
        from models.dose.uncertainty import Calibration

        self.prepare(
            DosePredictor.from_bytes(artifact.weights(self.manifest.weights[0])), Calibration.load()
        )
        self.predictor.warm()

    def prepare(self, predictor: DosePredictor, calibration: Calibration) -> None:
        """Use these networks and intervals from now on."""
        self.predictor = predictor
        self.calibration = calibration
        self._work: Work | None = None
        self._made: tuple[Work, Made, float] | None = None

    def predict(self, case: Case, parameters: Parameters) -> Prediction:
        """Return the dose on the networks' grid in the CT; abstain outside what was trained."""
        from models.dose.game import Made

        begun = time.monotonic()
        work = understood(case)
        self._work = work
        asked = time.monotonic()
        dose, spread = self.predictor.predict_with_spread(work.patient)
        made = Made(dose, time.monotonic() - asked)
        follows = bool(parameters.get("reference_plan", False))
        told = self._told(dose, spread, plan_role=work.plan_role if follows else None)
        self._made = work, made, time.monotonic() - begun
        return told

    def _told(
        self, dose: NDArray[np.float32], spread: NDArray[np.float32], plan_role: str | None
    ) -> Prediction:
        """Return a dose of the case at work with its points, goals, uncertainty and statistics."""
        from models.dose.envelope import reasons_to_abstain
        from plugins.dose.regions import regions
        from plugins.dose.statistics import case_statistics

        work = self._work
        assert work is not None
        case = work.case
        goals = case.prescription.goals if case.prescription else ()
        told = tuple(regions(dose, work.patient, work.structures, self.calibration, goals))
        reasons = reasons_to_abstain(work.patient)
        found = DoseGrid(
            "PredictedDose",
            np.asarray(work.grid.in_patient(dose), np.float32),
            work.grid.dose_geometry,
            "ct",
            "structures",
            told,
            plan_role,
            np.asarray(work.grid.in_patient(spread), np.float32),
            MARKED,
        )
        return Prediction(
            (found,),
            _uncertainty(spread, work.patient, (*reasons, *work.marks), abstain=bool(reasons)),
            case_statistics(
                case, work.patient, work.structures, told, self.predictor.embedding(EMBEDDING)
            ),
        )

    def what_if(self, case: Case, edits: Edits) -> Prediction:
        """Return the dose with edited targets and priorities; points of the drawn structures."""
        from plugins.dose.what_if import edited

        if self._work is None or self._work.case is not case:
            self._work = understood(case)
        changed = edited(self._work.patient, self._work.structures, edits)
        dose, spread = self.predictor.predict_with_spread(changed.patient, changed.priorities)
        return self._told(dose, spread, plan_role=None)

    def explain(self, case: Case, prediction: Prediction) -> Explanation:
        """Return which structures and margins the points hang on, with measured faithfulness."""
        from models.dose.explain import explain
        from models.dose.uncertainty import structure_name
        from plugins.dose.explanation import NOTHING_EXPLAINED, as_explanation, goals_of

        begun = time.monotonic()
        if not prediction.findings or prediction.uncertainty.abstain:
            return NOTHING_EXPLAINED
        if self._work is None or self._work.case is not case:
            self._work = understood(case)
        patient = self._work.patient
        names = {trained: name for name, trained in MODEL_ORGANS.items()}
        for item in self._work.structures:
            if item.prescribed_gy is not None:
                names[structure_name(item.prescribed_gy, patient.top_gy)] = item.name
        goals = goals_of(case.prescription.goals if case.prescription else ())
        made, took_s = None, 0.0
        if self._made is not None and self._made[0] is self._work:
            _, made, took_s = self._made
        left_s = max(TOGETHER_S - took_s - (time.monotonic() - begun), LEAST_EXPLANATION_S)
        return as_explanation(explain(self.predictor, patient, left_s, goals, made), names)


def understood(case: Case) -> Work:
    """Return what the networks take, made from a case.

    Raises
    ------
    RefusalError : no target, no prescription, one that cannot be matched, or other beams.
    """
    from models.dose.patient import Patient
    from plugins.dose.beams import chosen_beams, refuse_untrained
    from plugins.dose.regions import Structure, target_name

    structures = case.structure_sets["structures"]
    mapped = map_structures(structures.rois)
    if mapped.unclear_targets:
        raise RefusalError("expected targets that are clear", reasons=(UNCLEAR_TARGET,))
    levels, source = prescribed(structures, mapped, case.plans, case.prescription)
    grid = patient_grid(case.images["ct"].geometry)
    chosen = chosen_beams(structures, case.plans, grid)
    ct = np.round(grid.lay(case.images["ct"].array)).astype(np.int16)
    named = [
        Structure(target_name(dose), number, grid.mask(mapped.regions[number].contours), dose)
        for number, dose in levels
    ]
    named = [item for item in named if item.mask.any()]
    if not named:
        raise RefusalError("expected a target inside the CT", reasons=(MISSING_TARGET,))
    targets = tuple((item.prescribed_gy, item.mask) for item in named if item.prescribed_gy)
    named += [
        Structure(name, roi.number, grid.mask(roi.contours))
        for name, roi in sorted(mapped.mapped.items())
        if name in MODEL_ORGANS
    ]
    union = np.logical_or.reduce([mask for _, mask in targets])
    patient = Patient(
        ct,
        grid.voxel_mm,
        possible_dose(grid, ct, union, structures.rois),
        targets,
        {MODEL_ORGANS[s.name]: s.mask for s in named if s.name in MODEL_ORGANS and s.mask.any()},
        chosen.beams,
    )
    refuse_untrained(patient)
    marks = (chosen.mark, *_marks(mapped))
    return Work(case, grid, patient, tuple(named), marks, source, chosen.plan_role)


def possible_dose(
    grid: PatientGrid,
    ct_hu: NDArray[np.int16],
    target: NDArray[np.bool_],
    rois: Sequence[RegionOfInterest],
) -> NDArray[np.bool_]:
    """Return where dose is told: the region named for it, else the body near the targets.

    The body is the region of type EXTERNAL where one holds a target, else that of the CT.
    """
    for roi in rois:
        if re.sub(r"[\W_]+", "", roi.name).casefold() == POSSIBLE_DOSE:
            stated = grid.mask(roi.contours)
            if (stated & target).any():
                return stated
    body = np.zeros(target.shape, np.bool_)
    for roi in rois:
        if roi.interpreted_type.strip().upper() == "EXTERNAL":
            body |= grid.mask(roi.contours)
    if not (body & target).any():
        body = body_mask(ct_hu.astype(np.float32))
    held = np.flatnonzero(target.any(axis=(0, 1)))
    reach = round(FIELD_MARGIN_MM / grid.voxel_mm[2])
    near = np.zeros(target.shape[2], np.bool_)
    near[max(held[0] - reach, 0) : held[-1] + reach + 1] = True
    return np.asarray((body & near) | target, np.bool_)


def _marks(mapped: StructureMap) -> tuple[str, ...]:
    """Return what a person should look at, as stable codes with ROI Numbers."""
    return tuple(f"STRUCTURE_{e.code} ROI {e.roi_number}" for e in mapped.review if e.code)


def _uncertainty(
    spread: NDArray[np.float32], patient: Patient, reasons: tuple[str, ...], *, abstain: bool
) -> Uncertainty:
    """Return the expected error as a share of the highest prescription, and its spread."""
    shares = spread[patient.possible_dose] / patient.top_gy
    low, high = (float(value) for value in np.percentile(shares, (5, 95)))
    mean = float(shares.mean())
    return Uncertainty(
        "expected-dose-error-share",
        mean,
        (min(low, mean), max(high, mean)),
        abstain=abstain,
        reasons=reasons,
    )
