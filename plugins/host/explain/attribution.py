"""Attribution by voxel: which part of the input moves the number that is explained.

Source: integrated gradients, Sundararajan et al. 2017 (arXiv:1703.01365), as in captum.
They are complete: attributions sum to the value of the input less that of the baseline;
what the numerical integration misses is reported as ``completeness_error``.

Read next: `faithfulness.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plugins.host.explain.batches import BATCH_SIZE

if TYPE_CHECKING:
    from torch import Tensor

STEP_COUNT = 8


@dataclass(frozen=True, slots=True)
class Attribution:
    """Hold attributions in the shape of the input, without its batch axis.

    ``completeness_error`` is the missing part over the difference that should be reached.
    """

    values: NDArray[np.float32]
    completeness_error: float

    def voxels(self) -> NDArray[np.float32]:
        """Return the sum over channels (axis 0): positive voxels speak for the finding."""
        return np.asarray(self.values.sum(axis=0), dtype=np.float32)


def integrated_gradients(
    value: Callable[[Tensor], Tensor],
    inputs: Tensor,
    baseline: Tensor,
    step_count: int = STEP_COUNT,
) -> Attribution:
    """Return the integrated gradients of ``value`` from ``baseline`` to ``inputs``.

    Parameters
    ----------
    value : maps a batch (N, C, ...) to one number each (N,), differentiably.
    inputs, baseline : (1, C, ...), float32.
    step_count : points of the Gauss-Legendre rule; each is one forward and backward pass.
    """
    method = library().IntegratedGradients(value)
    found, missing = method.attribute(
        inputs,
        baselines=baseline,
        n_steps=step_count,
        method="gausslegendre",
        internal_batch_size=BATCH_SIZE,
        return_convergence_delta=True,
    )
    values = found[0].detach().numpy().astype(np.float32)
    reached = float(values.sum(dtype=np.float64))
    expected = reached - float(missing[0])
    return Attribution(values, abs(float(missing[0])) / max(abs(expected), 1e-6))


def library() -> Any:
    """Return the module captum.attr; importing it takes seconds."""
    import captum.attr

    return captum.attr
