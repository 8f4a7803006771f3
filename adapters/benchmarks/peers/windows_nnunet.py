"""nnU-Net v2: labels of a CT by its predictor at its defaults, with the same weights."""

import contextlib
import os
import sys
from pathlib import Path

import numpy as np
import torch
from serve import serve

folder = Path(sys.argv[1]) / "windows"
given = np.load(folder / "ct.npz")
image, spacing = given["image"][None], [float(step) for step in given["spacing"]]
torch.set_num_threads(len(os.sched_getaffinity(0)))


def _predictor() -> object:
    # nnU-Net prints at import when these are not set.
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ.setdefault(name, "none")
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    found = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    found.initialize_from_trained_model_folder(str(folder / "model"), (0,))
    return found


with contextlib.redirect_stdout(sys.stderr):  # stdout carries the answers
    predictor = _predictor()


def _work() -> object:
    return predictor.predict_single_npy_array(image, {"spacing": spacing}, None, None, False)


serve(_work, lambda found: np.save(folder / "nnunet.npy", np.asarray(found)))
