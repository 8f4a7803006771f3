"""Compare the answer of a replay with what the log says of the run.

On the same machine class (processor, threads, library versions as recorded) the answer has
to be the same bit for bit.  Elsewhere masks may differ in few voxels, because
floating-point sums run in another order.  Then they are compared themselves, with the
structure set in the outbox, as long as that is the one on record; where it is not there,
the recorded volume and maximum diameter are.

Source: DSC = 2 |A and B| / (|A| + |B|), Dice 1945; the tolerances below are ours.

Read next: `rt/raster.py`, contours to masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.database.bodies import coded
from adapters.rt.digest import content_digest_of
from adapters.rt.raster import mask_from_contours
from adapters.rt.read_structures import read_structures
from audit.kinds import NOT_EVALUATED
from plugins.host.findings import Segmentation
from plugins.host.identity import array_digest
from plugins.host.images import Contour
from plugins.host.ports import Answer, Document
from plugins.host.staging import answer_digest

DSC_TOLERANCE = 0.995
VOLUME_TOLERANCE = 0.01
MACHINE = ("python", "machine", "torch", "numpy", "scipy", "processor", "threads", "flags")
DIGEST, MASK, MEASUREMENTS, ABSTENTION = "mask-digest", "dsc", "volume-and-diameter", "abstention"

Contours = Mapping[str, tuple[Contour, ...]]
Regions = Sequence[tuple[Mapping[str, Any], Segmentation]]


def compare(body: Mapping[str, Any], answer: Answer, contours: Contours) -> dict[str, Any]:
    """Return the comparison of an answer with the body of an inference record.

    Parameters
    ----------
    answer : without findings where the plugin abstains, as the recorded one.
    contours : of the recorded structure set, by name of region; see `contours_of`.

    Returns
    -------
    verdict : ``identical``, ``within-tolerance`` (never on the same machine class, where
        nothing may differ) or ``different``.
    comparison : what decided: ``mask-digest``, ``dsc`` (at least 0.995), ``abstention``, or
        ``volume-and-diameter`` (1 % and one voxel diagonal).
    answer_digest : ``same``, ``different``, or ``not-compared`` where the recorded answer
        had an explanation and this one was made without.
    """
    found = [item for item in answer.prediction.findings if isinstance(item, Segmentation)]
    recorded = body["output"]["rois"]
    same_machine = _same_machine(body.get("runtime", {}), answer.runtime)
    alike = _same_shape(body, answer, [coded(item.name) for item in found])
    regions = list(zip(recorded, found, strict=False))
    result: dict[str, Any] = {"comparison": DIGEST if recorded else ABSTENTION}
    if alike and all(roi.get("mask_sha256") == array_digest(item.mask) for roi, item in regions):
        verdict = "identical"
    elif alike:
        within, details = _within(regions, contours)
        result |= details
        verdict = "within-tolerance" if within and not same_machine else "different"
    else:
        verdict = "different"
    return result | {
        "verdict": verdict,
        "same_machine_class": same_machine,
        "findings": len(found),
        "abstained": answer.prediction.uncertainty.abstain,
        "answer_digest": _compare_digest(body, answer),
    }


def contours_of(body: Mapping[str, Any], documents: Iterable[Document]) -> Contours:
    """Return the contours of the structure sets in the outbox, by name of region.

    A file that is gone, or that is not the one on record, is left out.
    """
    on_record = {item["content_sha256"] for item in body["output"]["documents"]}
    contours: dict[str, tuple[Contour, ...]] = {}
    for document in documents:
        if document.kind != "RTSTRUCT" or document.content_digest not in on_record:
            continue
        try:
            content = document.path.read_bytes()
            if content_digest_of(content) == document.content_digest:
                structures, _ = read_structures(content)
                contours |= {roi.name: roi.contours for roi in structures.rois}
        except Exception:  # broad: damage has many kinds in pydicom; it is as good as gone
            continue
    return contours


def dsc(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Dice similarity coefficient of two masks; 1 where both are empty."""
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2.0 * int(np.count_nonzero(first & second)) / total if total else 1.0


def _within(regions: Regions, contours: Contours) -> tuple[bool, dict[str, Any]]:
    """Return whether every region agrees, and by what that was found."""
    if all(item.name in contours for _, item in regions):
        values = [
            dsc(item.mask, mask_from_contours(contours[item.name], item.geometry))
            for _, item in regions
        ]
        lowest = min(values, default=1.0)
        return lowest >= DSC_TOLERANCE, {"comparison": MASK, "lowest_dsc": round(lowest, 6)}
    agree = all(_measurements_agree(roi, item) for roi, item in regions)
    return agree, {"comparison": MEASUREMENTS}


def _measurements_agree(roi: Mapping[str, Any], item: Segmentation) -> bool:
    """Compare volume and diameter as the plugin states them, then and now."""
    limits = {
        ("volume_ml", "ml"): VOLUME_TOLERANCE * float(roi.get("volume_ml", 0.0)),
        ("max_diameter_mm", "mm"): float(np.linalg.norm(item.geometry.spacing_mm)),
    }
    compared = 0
    for (key, unit), limit in limits.items():
        if key not in roi:
            continue
        now = next((m.value for m in item.measurements if m.unit.lower() == unit), None)
        if now is None or abs(now - float(roi[key])) > limit:
            return False
        compared += 1
    return compared > 0


def _same_shape(body: Mapping[str, Any], answer: Answer, names: list[str]) -> bool:
    """Tell whether regions and abstention are those on record."""
    before, now = body["uncertainty"], answer.prediction.uncertainty
    return names == [roi["name"] for roi in body["output"]["rois"]] and (
        bool(before["abstain"]) == now.abstain
    )


def _same_machine(recorded: Mapping[str, Any], runtime: Mapping[str, str]) -> bool:
    """Compare what a result may depend on, as the record states it: text or its digest."""
    return all(
        str(recorded[key]) in (text, coded(text))
        for key in MACHINE
        if key in recorded
        for text in [str(runtime.get(key))]
    )


def _compare_digest(body: Mapping[str, Any], answer: Answer) -> str:
    recorded = body["output"].get("answer_sha256", NOT_EVALUATED)
    explained = body["explanation"]["kind"] != "none"
    if recorded == NOT_EVALUATED or explained != (answer.explanation is not None):
        return "not-compared"
    return "same" if recorded == answer_digest(answer) else "different"
