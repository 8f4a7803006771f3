"""How faithful are the explanations of contouring?  Measured on every training patient.

Each patient of `sts51` is contoured and explained, with CT and PET and with CT alone, by
the members that never saw it; the figures are those that every run carries.  Whether
deletion by attribution beats a random order is tested over the patients (Wilcoxon signed
rank, one-sided; Wilcoxon 1945).

    python -m validation.benchmarks.explanation_faithfulness [--patients N] [--threads N]

It writes `plugins/contouring/faithfulness.json`, which the model card quotes.
Read next: `plugins/contouring/explain.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from scipy.stats import wilcoxon

from models.contouring.ensemble import Ensemble, members_unseen
from models.contouring.inputs import FloatArray, Grid
from models.contouring.uncertainty import Calibration
from models.training.contouring.cases import Case as Patient
from models.training.contouring.cases import data_folder, patient_ids, read_case
from models.weights.store import read_index, weight_paths
from plugins.contouring.card import FAITHFULNESS
from plugins.contouring.plugin import Contouring
from plugins.host.case import Case, Subject
from plugins.host.findings import Explanation
from plugins.host.images import Geometry, Volume

AXIAL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
ROLE = "contouring"
SCHEMA = "osteon.contouring.faithfulness/1"
Row = dict[str, Any]

log = structlog.get_logger()


def host_case(patient: Patient, *, pet_given: bool) -> Case:
    """Return a patient of the array collection as the typed case that a plugin sees."""
    images = {"ct": _volume(patient.ct_hu, patient.ct_grid, "CT")}
    if pet_given:
        images["pet"] = _volume(patient.pet_suv, patient.pet_grid, "PT")
    return Case(patient.patient_id, Subject(), images)


def _volume(array: FloatArray, grid: Grid, modality: str) -> Volume:
    z, y, x = grid.origin_mm
    geometry = Geometry(grid.shape, grid.spacing_mm, (x, y, z), AXIAL, "1.2")
    names = tuple(f"{modality}.{index}" for index in range(grid.shape[0]))
    return Volume(array, geometry, modality, "1", "1", modality, "1", names)


def measure(plugin: Contouring, patient: Patient) -> list[Row]:
    """Return one row for each modality set in which a contour was found."""
    unseen = members_unseen(plugin.ensemble.trained_on, patient.patient_id)
    members = ",".join(plugin.ensemble.member_names[index] for index in unseen)
    rows = []
    for name, pet_given in (("ct+pet", True), ("ct", False)):
        case = host_case(patient, pet_given=pet_given)
        prediction = plugin.predict(case, {"members": members})
        if prediction.findings:
            rows.append(_row(patient.patient_id, name, plugin.explain(case, prediction)))
    return rows


def _row(patient_id: str, given: str, explanation: Explanation) -> Row:
    numbers = {name: round(value, 4) for name, value in explanation.faithfulness.items()}
    shares = {f"share_{name}": round(value, 4) for name, value in explanation.contributions}
    seconds = round(explanation.seconds, 1)
    return {"patient_id": patient_id, "given": given, **shares, **numbers, "seconds": seconds}


def summarise(rows: Sequence[Row]) -> Row:
    """Return means over patients, and how often and how surely deletion beats chance."""
    told = np.array([row["deletion_auc"] for row in rows])
    random = np.array([row["deletion_auc_random"] for row in rows])
    shares = [row["share_pet"] for row in rows if "share_pet" in row]
    correlation = np.mean([row["randomisation_rank_correlation"] for row in rows])
    return {
        "n": len(rows),
        "deletion_auc": round(float(told.mean()), 4),
        "deletion_auc_random": round(float(random.mean()), 4),
        "better_count": int((told < random).sum()),
        "p_value": float(wilcoxon(told, random, alternative="less").pvalue),
        "randomisation_rank_correlation": round(float(correlation), 4),
        "completeness_error_median": float(np.median([r["completeness_error"] for r in rows])),
        "pet_share": round(float(np.mean(shares)), 4) if shares else None,
        "seconds_median": float(np.median([row["seconds"] for row in rows])),
    }


def report(rows: Sequence[Row], weights: Mapping[str, str]) -> Row:
    """Return the document that the model card quotes."""
    names = sorted({str(row["given"]) for row in rows})
    return {
        "schema": SCHEMA,
        "method": "cross-fitted: each patient explained by the members that never saw it",
        "weights": dict(weights),
        "summary": {
            name: summarise([row for row in rows if row["given"] == name]) for name in names
        },
        "cases": list(rows),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all patients, or the first few, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=FAITHFULNESS)
    chosen = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(chosen.threads)
    weights = {f"fold-{item.fold}": item.digest for item in read_index() if item.role == ROLE}
    plugin = Contouring()
    plugin.prepare(Ensemble.load(weight_paths(ROLE)), Calibration.load())
    folder = data_folder()
    rows: list[Row] = []
    for patient_id in patient_ids(folder)[: chosen.patients]:
        rows += measure(plugin, read_case(folder, patient_id))
        log.info("explained", patient=patient_id, rows=len(rows))
    chosen.output.write_text(json.dumps(report(rows, weights), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
