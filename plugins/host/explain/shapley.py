"""Exact Shapley values of input groups: how much each source adds to one number.

Source: Shapley 1953; Lundberg and Lee 2017 (arXiv:1705.07874), computed by shap's exact
explainer over all 2^n coalitions.  They add up: the contributions sum to the value with
every group present less the value with every group absent.

Read next: `attribution.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUP_LIMIT = 8
"""2^8 = 256 evaluations of a network is the most that a case may cost."""


Values = Callable[[Sequence[frozenset[str]]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Shares:
    """Hold the contribution of each group, and the value without and with all of them."""

    contributions: tuple[tuple[str, float], ...]
    value_absent: float
    value_present: float


def exact_shapley(groups: Sequence[str], values: Values) -> Shares:
    """Return the exact Shapley value of each group.

    Parameters
    ----------
    groups : names, at most eight, each once.
    values : gives the number to be explained for each of several coalitions, the groups
        that are present; it is called once, with all 2^n of them.

    Examples
    --------
    >>> exact_shapley(["ct", "pet"], lambda sets: [0.6 * ("pet" in there) for there in sets])
    Shares(contributions=(('ct', 0.0), ('pet', 0.6)), value_absent=0.0, value_present=0.6)
    """
    if not 1 <= len(groups) <= GROUP_LIMIT or len(set(groups)) != len(groups):
        raise ValueError(f"expected 1 to {GROUP_LIMIT} different groups, found {list(groups)}")
    count = len(groups)
    coalitions = [
        frozenset(name for place, name in enumerate(groups) if bits >> place & 1)
        for bits in range(2**count)
    ]
    known = dict(zip(coalitions, map(float, values(coalitions)), strict=True))

    def of_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        sets = (frozenset(np.asarray(groups)[row > 0].tolist()) for row in np.asarray(rows))
        return np.array([known[there] for there in sets])

    shap = library()
    masker = shap.maskers.Independent(np.zeros((1, count)), max_samples=1)
    found = shap.explainers.ExactExplainer(of_rows, masker)(np.ones((1, count)), silent=True)
    shares = np.asarray(found.values, dtype=np.float64).reshape(count)
    contributions = tuple((name, float(share)) for name, share in zip(groups, shares, strict=True))
    return Shares(contributions, known[coalitions[0]], known[coalitions[-1]])


def library() -> Any:
    """Return the module shap, imported without compiling its loops.

    Compiling them costs 10 to 30 seconds in every process, and here they run over at most
    256 rows.  Remove when shap keeps its compiled code in a cache.
    """
    from numba import config

    before = config.DISABLE_JIT
    config.DISABLE_JIT = True
    try:
        import shap
    finally:
        config.DISABLE_JIT = before
    return shap
