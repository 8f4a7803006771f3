"""Say what a multi-frame object states in the words of single-frame ones.

Enhanced objects state in functional groups what single-frame ones state at the top, partly
under other names (PS3.3 C.7.6.16, C.8.13, C.8.15); legacy converted ones keep what has no
group of its own in the Unassigned Converted Attributes (PS3.3 A.70 to A.72).  Whoever asks
a flat header for a kernel, a body part or a private factor need not know which it is.

The body part of an enhanced object is a code: PS3.16 Annex L, Table L-1, gives the Body
Part Examined that it stands for.

Read next: `read_facts.py`, `read_suv.py`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from pydicom import Dataset

_REGIONS = Path(__file__).parent / "anatomic_regions.json"
_OF_OTHERS = frozenset({"ConversionSourceAttributesSequence", "ReferencedImageSequence"})
"""Groups that describe other objects than this one."""


def flat_header(dataset: Dataset, frame_index: int = 0) -> Dataset:
    """Return the header of one frame; of a single-frame object the header itself.

    What the top of the object states wins over its groups, save for the time of a frame.
    """
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        return dataset
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    stated = Dataset()
    for group in (*shared[:1], groups[frame_index]):
        for element in group:
            if element.VR == "SQ" and element.value and element.keyword not in _OF_OTHERS:
                stated.update(element.value[0])
    flat = Dataset()
    flat.update(stated)
    flat.update(dataset)
    moment, duration_ms = (
        stated.get(f"FrameAcquisition{word}") for word in ("DateTime", "Duration")
    )
    if moment:
        flat.AcquisitionDateTime = moment
    if duration_ms:
        flat.ActualFrameDuration = round(duration_ms)
    return flat


def body_part_of(dataset: Dataset) -> str:
    """Return Body Part Examined, else that of the coded anatomic region; empty where neither.

    A region that the table does not know is named by its code's meaning.
    """
    stated = str(dataset.get("BodyPartExamined") or "").strip()
    if stated:
        return stated
    for item in dataset.get("AnatomicRegionSequence") or ():
        code = str(item.get("CodeValue") or "")
        return _regions().get(code) or str(item.get("CodeMeaning") or "").strip()[:64]
    return ""


@cache
def _regions() -> dict[str, str]:
    regions: dict[str, str] = json.loads(_REGIONS.read_text(encoding="utf-8"))
    return regions
