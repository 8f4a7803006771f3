"""Counterfactuals and beams of a predicted dose as sentences, from the codes of the record.

The record has each as a code and a number relative to the point as it was predicted
(`plugins/dose/explanation.py`); the points stand in the record of the prediction.

Read next: `pages.py`, `texts_dose.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_DRAWN_BACK = re.compile(r"(?P<organ>[^:]+)\.Mean:(?P<target>[^:]+)-minus-(?P<mm>[\d.]+)mm")
_LOWEST = re.compile(
    r"(?P<organ>[^:]+)\.(?P<point>Mean|D0\.1cc):lowest-within-(?P<percent>[\d.]+)pct"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """The key of a text, and what stands in its places."""

    key: str
    values: Mapping[str, str]


BEAMS = ("BEAMS_OF_PLAN", "BEAM_ANGLES_OF_PLAN", "BEAMS_ASSUMED", "BEAMS_NOT_IN_PLAN")
"""Codes of `plugins/dose/beams.py`: whose beams the dose was predicted for."""


def beams_told(inference: Mapping[str, Any]) -> str:
    """Return the key of the text that says whose beams were taken; empty where none is told."""
    reasons = inference.get("uncertainty", {}).get("reasons", ())
    return next((f"dose_{code}" for code in BEAMS if code in reasons), "")


def sentences(explanation: Mapping[str, Any], inference: Mapping[str, Any]) -> tuple[Sentence, ...]:
    """Return what would change, and what an organ cannot go below; none where nothing is known."""
    numbers = {
        str(name): float(value)
        for name, value in explanation.get("contributions", ())
        if isinstance(value, (int, float))
    }
    predicted = {
        (point["region"], point["point"]): float(point["value"])
        for dose in inference.get("output", {}).get("doses", ())
        for point in dose["points"]
    }
    return tuple(_told(numbers, predicted))


def _told(
    numbers: Mapping[str, float], predicted: Mapping[tuple[str, str], float]
) -> Iterator[Sentence]:
    for name, change in numbers.items():
        found = _DRAWN_BACK.fullmatch(name)
        if found and (gray := predicted.get((found["organ"], "Mean"))) is not None:
            yield Sentence(
                "dose_drawn_back", found.groupdict() | {"change": f"{gray * change:+.1f} Gy"}
            )
        found = _LOWEST.fullmatch(name)
        if found is None or (found["organ"], found["point"]) not in predicted:
            continue
        gray, stem = predicted[found["organ"], found["point"]], name.partition(":")[0]
        anew, d95 = numbers.get(f"{stem}:anew-at-lowest"), numbers.get(f"{stem}:d95-at-lowest")
        if anew is not None and d95 is not None:
            yield Sentence(
                "dose_lowest",
                found.groupdict()
                | {
                    "predicted": f"{gray:.1f} Gy",
                    "lowest": f"{gray * (1 + change):.1f} Gy",
                    "anew": f"{gray * (1 + anew):.1f} Gy",
                    "d95": f"{100 * d95:+.1f} %",
                },
            )
