"""One distance for the embedding of a case: how far it lies from the release's reference window.

The squared Mahalanobis distance to the mean of one half of the window, by a covariance shrunk
towards its diagonal; the other half, which neither mean nor covariance knows, gives the order
statistics (`tails.rising`).  Odd cases make the one, even cases the other.

What it cannot see: a change that keeps the distance.  An embedding is the model's own encoder:
what the encoder does not represent stays unseen.

Source: Mahalanobis 1936; shrinkage: Ledoit and Wolf 2004, "A well-conditioned estimator", here
with a fixed weight; split reference as in split conformal prediction (Papadopoulos 2002).

Read next: `tails.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit.errors import SuiteError
from governance.monitoring.sums import FloatArray
from governance.monitoring.tails import LEAST_REFERENCE, Tails, rising

SHRINKAGE = 0.3
_FLOOR = 1e-9


@dataclass(frozen=True, slots=True)
class Distance:
    """Mean and precision that the distance is measured by."""

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]

    def of(self, embeddings: FloatArray) -> FloatArray:
        """Return the distances of embeddings (..., features), per feature."""
        away = np.asarray(embeddings) - np.asarray(self.mean)
        squared = np.einsum("...i,ij,...j->...", away, np.asarray(self.precision), away)
        return np.asarray(np.sqrt(np.maximum(squared, 0.0) / len(self.mean)))


def reference_distance(reference: Sequence[Sequence[float]], miss: float) -> tuple[Distance, Tails]:
    """Return the distance that one half of a reference gives, and the detector of the other half.

    Raises
    ------
    SuiteError : fewer than 40 embeddings, or of unequal lengths.
    """
    if len({len(row) for row in reference}) != 1 or len(reference) < 2 * LEAST_REFERENCE:
        raise SuiteError(
            f"expected {2 * LEAST_REFERENCE} embeddings of one length, found {len(reference)}"
        )
    values = np.asarray(reference, dtype=np.float64)
    fitted, kept = values[1::2], values[::2]
    mean = fitted.mean(axis=0)
    sample = np.cov(fitted, rowvar=False).reshape(len(mean), len(mean))
    variance = np.diag(np.diag(sample)) + max(_FLOOR, float(np.trace(sample))) * 1e-6 * np.eye(
        len(mean)
    )
    shrunk = (1 - SHRINKAGE) * sample + SHRINKAGE * variance
    distance = Distance(
        tuple(map(float, mean)),
        tuple(tuple(map(float, row)) for row in np.linalg.inv(shrunk)),
    )
    return distance, rising([float(item) for item in distance.of(kept)], miss)
