"""Note how far a training is: a line of JSON for each look at the held-back patients."""

from __future__ import annotations

import json
import math
from pathlib import Path


def note(path: Path, step: int, training_gy: float, held_back_gy: float) -> None:
    """Append a line; the held-back error is null where nobody is held back (NaN)."""
    line = {
        "step": step,
        "training_error_gy": round(training_gy, 4),
        "held_back_dose_gy": None if math.isnan(held_back_gy) else round(held_back_gy, 4),
    }
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
