"""Our side of the sliding-window benchmark: the model, the labels, how far they agree.

Read next: `models/sparing/label.py`, `window_subject.py` (the input).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapters.benchmarks.window_subject import LABELS
from models.importers.networks.runner import load
from models.importers.nnunet import read
from models.importers.source import Source
from models.importers.statement import read_statement
from models.physics.agreement import dsc
from models.sparing.label import segment_labels


@lru_cache(maxsize=1)
def ct_of(folder: Path) -> Any:
    """Return the CT, its truth and spacing, read once: the peers hold theirs in memory too."""
    given = np.load(folder / "windows" / "ct.npz")
    return given["image"], given["truth"], tuple(float(step) for step in given["spacing"])


@lru_cache(maxsize=1)
def nnunet_model(folder: Path) -> Any:
    """Return the description and the runner of the model in the folder."""
    root = folder / "windows" / "model"
    files = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    documents = {n: json.loads(c) for n, c in files.items() if n.endswith(".json")}
    code = {"value": "1", "scheme": "99BENCH", "meaning": "Bench"}
    labels = [{"from": n, "name": n, "code": code} for n in LABELS if n != "background"]
    statement = {
        "inputs": [{"role": "ct", "modality": "CT"}],
        "outputs": {"labels": labels},
    }
    imported = read(Source(files, documents), read_statement(statement))
    network = imported.description.network
    return imported.description, load(network, [imported.weights[n] for n in network.files])


def labels_of(folder: Path) -> NDArray[np.uint16]:
    """Return our labels of the CT, on all cores that the peers get."""
    description, runner = nnunet_model(folder)
    image, _, spacing = ct_of(folder)
    axes = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    before = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        return segment_labels(description, runner, image[None], spacing, axes)
    finally:
        torch.set_num_threads(before)


def dice(name: str) -> Callable[[Any, Path], str]:
    """Return what says how our labels and a peer's agree with the truth and each other."""

    def words(found: NDArray[np.uint16], folder: Path) -> str:
        theirs = np.load(folder / "windows" / f"{name}.npy")
        truth = ct_of(folder)[1]
        told = []
        for label, value in LABELS.items():
            if value:
                own, other, real = found == value, theirs == value, truth == value
                pair, between = (dsc(own, real), dsc(other, real)), dsc(own, other)
                told.append(
                    f"{label} DSC {pair[0]:.4f}, {pair[1]:.4f} (to each other {between:.4f})"
                )
        return "; ".join(told)

    return words
