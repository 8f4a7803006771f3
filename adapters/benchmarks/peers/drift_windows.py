"""Two-sample tests of frouros on a sliding window: their statistic after each case.

    drift_windows.py FOLDER     reads FOLDER/tables.npz, writes FOLDER/statistics.npz

`windows` are reference windows (windows, cases, numbers); each other array is a set of streams
(streams, cases, numbers), of which stream s belongs to window s mod windows.  The answer has, for
each method and set, the statistic after each case, 0 until the sliding window is full: the
greatest Kolmogorov-Smirnov distance over the numbers, and MMD with a Gaussian kernel on
standardised numbers.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from frouros.detectors.data_drift import IncrementalKSTest, MMDStreaming
from frouros.utils.kernels import rbf_kernel

folder = Path(sys.argv[1])
given = dict(np.load(folder / "tables.npz"))
windows = given.pop("windows")
SIZES = (10, 20)


def _ks(reference, stream, size):
    found = np.zeros(len(stream))
    for number in range(stream.shape[1]):
        detector = IncrementalKSTest(window_size=size)
        detector.fit(X=reference[:, number])
        for case, value in enumerate(stream[:, number]):
            test, _ = detector.update(value=value)
            if test is not None:
                found[case] = max(found[case], test.statistic)
    return found


def _mmd(reference, stream, size):
    mean, scale = reference.mean(axis=0), reference.std(axis=0)
    scale = np.where(scale > 0, scale, np.maximum(np.abs(mean), 1.0) * 0.01)
    detector = MMDStreaming(
        window_size=size, kernel=partial(rbf_kernel, sigma=float(np.sqrt(reference.shape[1])))
    )
    detector.fit(X=(reference - mean) / scale)
    found = np.zeros(len(stream))
    for case, row in enumerate(np.clip((stream - mean) / scale, -50, 50)):
        distance, _ = detector.update(value=row)
        if distance is not None:
            found[case] = distance.distance
    return found


answers = {}
for method, function in (("KS", _ks), ("MMD", _mmd)):
    for size in SIZES:
        for name, streams in given.items():
            answers[f"{method} window {size}|{name}"] = np.stack(
                [
                    function(windows[index % len(windows)], stream, size)
                    for index, stream in enumerate(streams)
                ]
            )
np.savez(folder / "statistics.npz", **answers)
