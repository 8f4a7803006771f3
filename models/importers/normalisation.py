"""Bring the intensities of one channel into the range that a network was trained on.

Formulas: nnU-Net v2 ``CTNormalization``, ``ZScoreNormalization``,
``RescaleTo01Normalization``; MONAI 1.6 ``ScaleIntensityRange``, ``NormalizeIntensity``,
``ScaleIntensity``.  Statistics are taken in float32, as there.

Read next: `resampling.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.errors import ModelImportError
from models.importers import fields

FloatArray = NDArray[np.float32]
METHODS = ("none", "clip-zscore", "zscore", "zscore-inside", "zscore-nonzero", "range", "unit")
_SMALLEST = 1e-8
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "clip-zscore": ("low", "high", "mean", "deviation"),
    "range": ("low", "high", "to_low", "to_high"),
}


@dataclass(frozen=True, slots=True)
class Normalisation:
    """One rule of intensities.

    Parameters
    ----------
    method : ``none``; ``clip-zscore``: clip to [low, high], then (x - mean) / deviation;
        ``zscore``: by the image's own mean and deviation; ``zscore-inside``: by those of the
        voxels that a crop found to be inside, others stay; ``zscore-nonzero``: by those of
        the voxels that are not 0, others stay; ``range``: [low, high] to [to_low, to_high];
        ``unit``: the image's own range to [to_low, to_high].
    clip : ``range`` cuts what lies outside.
    """

    method: str
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    deviation: float | None = None
    to_low: float | None = None
    to_high: float | None = None
    clip: bool = False

    def __post_init__(self) -> None:
        place = "preprocessing: normalise"
        if self.method not in METHODS:
            raise ModelImportError(place, ", ".join(METHODS), self.method[:40])
        for name in _NEEDED.get(self.method, ()):
            fields.number(getattr(self, name), f"{place}: {self.method}: {name}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ModelImportError(f"{place}: low", f"less than high, {self.high:g}", self.low)
        if self.deviation is not None and self.deviation <= 0:
            raise ModelImportError(f"{place}: deviation", "more than 0", self.deviation)

    def apply(self, channel: FloatArray, inside: NDArray[np.bool_] | None) -> FloatArray:
        """Return the normalised channel as a new float32 array."""
        array = np.array(channel, dtype=np.float32)
        if self.method == "clip-zscore":
            np.clip(array, self.low, self.high, out=array)
            return _scaled(array, float(self.mean or 0.0), float(self.deviation or 1.0))
        if self.method == "range":
            return self._to_range(array, float(self.low or 0.0), float(self.high or 0.0))
        if self.method == "unit":
            return self._to_range(array, float(array.min()), float(array.max()))
        if self.method in ("zscore-inside", "zscore-nonzero"):
            chosen = array != 0 if self.method == "zscore-nonzero" else inside
            return _zscored(array, chosen)
        return array if self.method == "none" else _zscored(array, None)

    def _to_range(self, array: FloatArray, low: float, high: float) -> FloatArray:
        """Return x' = (x - low) / (high - low) (to_high - to_low) + to_low."""
        to_low = 0.0 if self.to_low is None else self.to_low
        to_high = 1.0 if self.to_high is None else self.to_high
        if high <= low:
            return array - np.float32(low) + np.float32(to_low)
        array = (array - np.float32(low)) / np.float32(high - low)
        array = array * np.float32(to_high - to_low) + np.float32(to_low)
        return np.clip(array, to_low, to_high) if self.clip else array


def decode(document: Any, place: str) -> Normalisation:
    """Return the rule that a document states."""
    values = fields.mapping(document, place)
    fields.only(values, Normalisation.__dataclass_fields__, place)
    fields.choice(values, "method", place, METHODS)
    return Normalisation(**values)


def _zscored(array: FloatArray, chosen: NDArray[np.bool_] | None) -> FloatArray:
    """Return (x - mean) / deviation of the chosen voxels; the others stay as they are."""
    if chosen is None:
        return _scaled(array, float(array.mean()), float(array.std()))
    values = array[chosen]
    if values.size:
        array[chosen] = _scaled(values, float(values.mean()), float(values.std()))
    return array


def _scaled(array: FloatArray, mean: float, deviation: float) -> FloatArray:
    return (array - np.float32(mean)) / np.float32(max(deviation, _SMALLEST))
