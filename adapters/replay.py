"""Run an old run again from its recorded release and inputs, and compare.

On the same machine class (processor, threads, library versions as recorded) the answer has
to be the same bit for bit; elsewhere the masks may differ in few voxels, because
floating-point sums run in another order: then the volume decides, within the tolerance
stated here.  Nothing of a replay leaves the house.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.run_record import inference_body
from audit.errors import InputChangedError, NotFoundError
from plugins.host.findings import Segmentation
from plugins.host.identity import array_digest, case_digest
from plugins.host.ports import Answer

if TYPE_CHECKING:
    from adapters.compose import Site

VOLUME_TOLERANCE = 0.01
COMPARED = ("python", "torch", "numpy", "processor", "threads", "flags")


def replay_run(site: Site, run_id: str) -> dict[str, Any]:
    """Return how the replay of a run compares with its record.

    Returns
    -------
    verdict : ``identical`` (same digests), ``within-tolerance`` or ``different``.

    Raises
    ------
    InputChangedError : the archive now holds other pixel values for the same instances.
    """
    with site.database.reading() as transaction:
        row = transaction.run(run_id)
        body = inference_body(transaction, run_id)
    if row is None or not body:
        raise NotFoundError(f"expected a recorded inference for run {run_id}, found none")
    request = replace(row.request, mode="replay", trigger="replay")
    manifest = site.registry.manifest(request.release_digest)
    case = site.house.cases.fetch(request, manifest)
    digest = case_digest(case)
    if digest != row.input_digest:
        raise InputChangedError(f"expected input {row.input_digest}, found {digest}")
    answer = site.house.workers.run(request, case, explain=False)
    result = compare(body, answer) | {"run_id": run_id, "input_digest": digest}
    with site.database.transaction() as transaction:
        site.journal.replayed(transaction, request, result)
    return result


def compare(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """Return the comparison of an answer with the body of an inference record."""
    recorded = {roi["name"]: roi for roi in body["output"]["rois"]}
    runtime = body.get("runtime", {})
    same_machine = all(
        str(runtime.get(key)) == str(answer.runtime.get(key)) for key in COMPARED if key in runtime
    )
    found = [f for f in answer.prediction.findings if isinstance(f, Segmentation)]
    identical = len(found) == len(recorded)
    within = identical
    for finding in found:
        before = recorded.get(finding.name, {})
        identical &= before.get("mask_sha256") == array_digest(finding.mask)
        volume = float(np.count_nonzero(finding.mask)) * finding.geometry.voxel_volume_ml()
        expected = float(before.get("volume_ml", np.nan))
        within &= bool(abs(volume - expected) <= VOLUME_TOLERANCE * max(expected, 1e-9))
    verdict = "identical" if identical else "within-tolerance" if within else "different"
    if verdict == "within-tolerance" and same_machine:
        verdict = "different"
    return {"verdict": verdict, "same_machine_class": same_machine, "findings": len(found)}
