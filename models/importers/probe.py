"""Try an imported model on one window before it becomes a release.

Read next: `networks/runner.py`.
"""

from __future__ import annotations

import numpy as np

from audit.errors import ModelImportError
from models.importers.networks.runner import Runner, load
from models.importers.source import Imported

SEED = 0


def probe(imported: Imported) -> Runner:
    """Return the model's runner after it answered to one window of noise.

    Raises
    ------
    ModelImportError : the answer has another shape than the description says, is not
        finite, or there is none.
    """
    description = imported.description
    network, patch = description.network, description.inference.patch
    runner = load(network, [imported.weights[name] for name in network.files])
    window = np.random.default_rng(SEED).normal(size=(1, len(description.channels), *patch))
    batch = window.astype(np.float32)
    if description.inference.planar:
        batch = batch[:, :, 0]
    place = f"{network.files[0]}: answer to a window of {batch.shape[1:]}"
    expected = (1, description.outputs.channel_count, *batch.shape[2:])
    try:
        answer = runner(batch)
    except Exception as error:  # whatever a foreign network raises on a window that it cannot take
        raise ModelImportError(place, f"an array of {expected}", type(error).__name__) from error
    if answer.shape != expected:
        raise ModelImportError(place, f"an array of {expected}", f"one of {answer.shape}")
    if not np.isfinite(answer).all():
        raise ModelImportError(place, "finite numbers", "others")
    return runner
