"""Judge every patient by the member that never saw it, on jittered crops of the native CT grid.

Jitter: on each axis one side of the crop, drawn at random, is cut by 0 to 40 mm, but no nearer
than 6 mm to the tumour; so the tumour lies up to 20 mm off the middle and its margin runs from
6 to 50 mm. Each patient is contoured on three such crops, the same for every condition, and its
metrics are the means over them; the patient stays the unit of every interval.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from scipy import ndimage

from models.contouring.contour import contour_case
from models.contouring.ensemble import Ensemble, members_unseen
from models.contouring.inputs import FloatArray, Grid
from models.contouring.postprocess import BoolArray, volume_ml
from models.contouring.uncertainty import Spread, modality_set
from models.training.contouring.cases import Case
from models.training.contouring.metrics import ContourScore, score_contour

JITTER_MM = 40.0
NEAREST_CUT_MM = 6.0
JITTER_COUNT = 3
SEED = 20261125
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class JitteredCase:
    """Hold a crop of a patient whose tumour is off the middle, with a seed point inside it."""

    ct_hu: FloatArray
    gtv: BoolArray
    grid: Grid
    seed_point_zyx_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """Hold one contouring of one crop: condition, metrics, spread and volumes."""

    patient_id: str
    fold: int
    jitter: int
    modalities: str
    seed_given: bool
    score: ContourScore
    spread: Spread
    reference_ml: float
    contour_ml: float
    seconds: float


def jitter_case(case: Case, generator: np.random.Generator) -> JitteredCase:
    """Return a crop as the module's docstring describes it.

    The seed point is a random voxel of the tumour's inner part: at least half as deep as the
    deepest one, as a person would click.
    """
    inside = np.argwhere(case.gtv)
    slices, origin = [], []
    for axis, (size, step) in enumerate(
        zip(case.ct_grid.shape, case.ct_grid.spacing_mm, strict=True)
    ):
        cut = generator.uniform(-JITTER_MM, JITTER_MM)
        keep = int(NEAREST_CUT_MM / step)
        room = inside[:, axis].min() if cut > 0 else size - 1 - inside[:, axis].max()
        count = int(min(abs(cut) / step, max(0, room - keep)))
        start, stop = (count, size) if cut > 0 else (0, size - count)
        slices.append(slice(start, stop))
        origin.append(case.ct_grid.origin_mm[axis] + start * step)
    box = (slices[0], slices[1], slices[2])
    gtv = case.gtv[box]
    grid = Grid(gtv.shape, case.ct_grid.spacing_mm, (origin[0], origin[1], origin[2]))
    depth = ndimage.distance_transform_edt(gtv, sampling=grid.spacing_mm)
    deep = np.argwhere(depth >= depth.max() / 2)
    point = deep[generator.integers(len(deep))] * grid.spacing_mm + grid.origin_mm
    return JitteredCase(case.ct_hu[box], gtv, grid, (point[0], point[1], point[2]))


def evaluate_case(ensemble: Ensemble, case: Case) -> list[CaseResult]:
    """Return the results of a patient: crops x modality sets x seed point, by unseen members."""
    unseen = members_unseen(ensemble.trained_on, case.patient_id)
    if not unseen:
        raise ValueError(f"expected a member that never saw {case.patient_id}, found none")
    judges = Ensemble([(ensemble.networks[i], ensemble.headers[i]) for i in unseen])
    number = int(case.patient_id.rsplit("_", 1)[1])
    results = []
    for jitter in range(JITTER_COUNT):
        crop = jitter_case(case, np.random.default_rng([SEED, number, jitter]))
        for pet_given in (True, False):
            for seed_given in (False, True):
                started = time.perf_counter()
                contour = contour_case(
                    judges,
                    crop.ct_hu,
                    crop.grid,
                    case.pet_suv if pet_given else None,
                    case.pet_grid if pet_given else None,
                    crop.seed_point_zyx_mm if seed_given else None,
                )
                results.append(
                    CaseResult(
                        case.patient_id,
                        judges.headers[0].fold,
                        jitter,
                        modality_set(pet_given),
                        seed_given,
                        score_contour(contour.mask, crop.gtv, crop.grid.spacing_mm),
                        contour.spread,
                        volume_ml(crop.gtv, crop.grid.spacing_mm),
                        volume_ml(contour.mask, crop.grid.spacing_mm),
                        time.perf_counter() - started,
                    )
                )
    return results


def evaluate(ensemble: Ensemble, cases: Sequence[Case], path: Path) -> list[CaseResult]:
    """Return the results of all patients and write them as JSON lines to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results: list[CaseResult] = []
    with path.open("w", encoding="utf-8") as file:
        for case in cases:
            found = evaluate_case(ensemble, case)
            results.extend(found)
            file.writelines(json.dumps(asdict(result)) + "\n" for result in found)
            file.flush()
            plain = [row.score.dsc for row in found if row.modalities == "ct+pet"]
            log.info("evaluated", patient=case.patient_id, dsc=round(float(np.mean(plain)), 3))
    return results


def read_results(path: Path) -> list[CaseResult]:
    """Return the results that `evaluate` wrote."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        CaseResult(
            **{**row, "score": ContourScore(**row["score"]), "spread": Spread(**row["spread"])}
        )
        for row in rows
    ]


def measure_time(ensemble: Ensemble, case: Case) -> dict[str, float | int | str]:
    """Return the seconds that one case takes with all members, preprocessing included."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        contour_case(ensemble, case.ct_hu, case.ct_grid, case.pet_suv, case.pet_grid)
        seconds.append(time.perf_counter() - started)
    return {
        "patient_id": case.patient_id,
        "threads": torch.get_num_threads(),
        "members": len(ensemble.networks),
        "seconds_median": round(float(np.median(seconds)), 2),
        "seconds_highest": round(max(seconds), 2),
    }
