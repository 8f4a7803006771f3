"""A category (scanner, kernel, manufacturer, site) against the release's reference window.

Each category of the reference has a limit of its share; everything that the reference never
held is one more category, with the limit of "none among n".  A change shows as a category that
comes more often than its limit permits: a new scanner in the one, a moved case mix in another.
The marginal of a Dirichlet-multinomial mixture in one category is the beta-binomial mixture of
`rates.py`; the categories share one bound.

What it cannot see: a category that only disappears moves no share above its limit until the
others do.

Source: rates.py, sums.py; Clopper and Pearson 1934.

Read next: `embedding.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit.errors import SuiteError
from governance.monitoring.rates import MULTIPLES, Rate, rate_limit
from governance.monitoring.sums import FloatArray

NEVER_SEEN = -1
"""Code of a category that the reference never held."""
NEW_WEIGHT = 0.5
LEAST_REFERENCE = 20


@dataclass(frozen=True, slots=True)
class Categories:
    """Detector of a category whose share rose, or that is new.

    Parameters
    ----------
    names : the categories of the reference, sorted.
    limits : greatest share of each, and last of all unseen ones together.  A category that was
        all of the reference has the limit 1 and is not bet upon: only others can be new.
    """

    names: tuple[str, ...]
    limits: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.limits) != len(self.names) + 1 or not 0 < self.limits[-1] < 1:
            raise SuiteError("expected a limit of each category and one of unseen ones")

    @classmethod
    def from_reference(cls, reference: Sequence[str], miss: float) -> Categories:
        """Return the detector of a reference window; the miss is shared by the categories."""
        counts = Counter(reference)
        n = counts.total()
        if n < LEAST_REFERENCE:
            raise SuiteError(f"expected {LEAST_REFERENCE} reference values, found {n}")
        names = tuple(sorted(counts))
        share = miss / (len(names) + 1)
        return cls(names, tuple(rate_limit(c, n, share) for c in (*map(counts.get, names), 0)))  # type: ignore[arg-type]

    def code(self, name: str) -> float:
        """Return the number of a category, `NEVER_SEEN` for a new one."""
        return float(self.names.index(name)) if name in self.names else float(NEVER_SEEN)

    @property
    def weights(self) -> FloatArray:
        """Return the weights: half to what is new, half shared by what is known."""
        known = [index for index, limit in enumerate(self.limits[:-1]) if limit < 1]
        new = NEW_WEIGHT if known else 1.0
        share = np.zeros(len(self.limits))
        share[known] = (1 - new) / max(1, len(known))
        share[-1] = new
        return np.repeat(share / len(MULTIPLES), len(MULTIPLES))

    def factors(self, value: FloatArray) -> FloatArray:
        """Return the factors of coded categories (`code`) of any shape."""
        codes = np.asarray(value)
        parts = []
        for index, limit in enumerate(self.limits):
            code = NEVER_SEEN if index == len(self.names) else index
            hit = np.asarray(codes == code, dtype=np.float64)
            still = np.ones((*codes.shape, len(MULTIPLES)))
            parts.append(Rate(limit).factors(hit) if limit < 1 else still)
        return np.concatenate(parts, axis=-1)
