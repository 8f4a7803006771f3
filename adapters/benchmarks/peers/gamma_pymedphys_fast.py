"""pymedphys: which points pass, at its documented fast settings."""

import sys
from pathlib import Path

import numpy as np
import pymedphys
from serve import serve

folder = Path(sys.argv[1])
given = np.load(folder / "doses.npz")
axes = tuple(
    np.arange(n) * float(s) for n, s in zip(given["reference"].shape, given["spacing"], strict=True)
)


def _work() -> object:
    return pymedphys.gamma(
        axes, given["reference"], axes, given["evaluated"], 3, 3,
        lower_percent_dose_cutoff=10, quiet=True, max_gamma=1.1, skip_once_passed=True,
    )  # fmt: skip


serve(_work, lambda found: np.save(folder / "gamma.npy", found))
