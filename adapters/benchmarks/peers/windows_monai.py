"""MONAI: labels of a CT by SlidingWindowInferer, Gaussian blending, with the same weights.

What surrounds it (resampling there and back) is the suite's full path, which gives nnU-Net's map.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from serve import serve

from adapters.benchmarks.windows import nnunet_model
from models.importers import decide
from models.importers.segment import prepare

folder = Path(sys.argv[1]) / "windows"
given = np.load(folder / "ct.npz")
image, spacing = given["image"][None], [float(step) for step in given["spacing"]]
torch.set_num_threads(len(os.sched_getaffinity(0)))
description, runner = nnunet_model(folder.parent)
inferer = SlidingWindowInferer(description.inference.patch, overlap=0.5, mode="gaussian")


def _work() -> object:
    axes = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    prepared = prepare(description, image, tuple(spacing), axes)
    with torch.inference_mode():
        logits = inferer(torch.from_numpy(prepared.image.array[None]), runner.gradients[0])
    return decide.decide(logits[0].numpy(), description.outputs, prepared.undo).maps[0]


serve(_work, lambda found: np.save(folder / "monai.npy", np.asarray(found)))
