"""Drift detectors of river, frouros or alibi-detect on given streams: first alarms per setting.

    drift_streams.py PEER FOLDER     reads FOLDER/streams.npz, writes FOLDER/PEER.json

`quiet` and `changed` are (streams, cases); `reference` a window before them; `run_length` the
mean run length that alibi-detect is asked for.  A setting's answer is the number of the case of
the first alarm of each stream, from 1, or 0 without one.
"""

import json
import sys
from pathlib import Path

import numpy as np

peer, folder = sys.argv[1], Path(sys.argv[2])
given = np.load(folder / "streams.npz")
quiet, changed, reference = given["quiet"], given["changed"], given["reference"]


def _first(make, update, stream) -> int:
    detector = make()
    for number, value in enumerate(stream.tolist(), 1):
        if update(detector, value):
            return number
    return 0


def _river():
    from river import drift

    def _update(detector, value) -> bool:
        detector.update(value)
        return detector.drift_detected

    for delta in (0.002, 0.02, 0.1, 0.3, 0.6, 0.9):
        yield f"ADWIN delta {delta}", lambda d=delta: drift.ADWIN(delta=d, clock=1), _update
    for allowance in (0.005, 0.1):
        for level in (2, 4, 6, 8, 12, 16, 24, 36, 50):
            yield (
                f"Page-Hinkley threshold {level} delta {allowance}",
                lambda t=level, a=allowance: drift.PageHinkley(threshold=t, delta=a, mode="up"),
                _update,
            )


def _frouros():
    from frouros.detectors.concept_drift import CUSUM, CUSUMConfig

    def _update(detector, value) -> bool:
        detector.update(value=value)
        return detector.drift

    for allowance in (0.05, 0.15):
        for level in (4, 8, 16, 32):
            yield (
                f"CUSUM lambda {level} delta {allowance}",
                lambda t=level, a=allowance: CUSUM(
                    config=CUSUMConfig(lambda_=t, delta=a, min_num_instances=30)
                ),
                _update,
            )


def _alibi():
    from alibi_detect.cd import CVMDriftOnline

    length = float(given["run_length"])
    detector = CVMDriftOnline(
        reference, ert=length, window_sizes=[20, 40], n_bootstraps=int(12 * length), verbose=False
    )

    def _make():
        detector.reset_state()
        return detector

    def _update(found, value) -> bool:
        return bool(found.predict(np.array([value]))["data"]["is_drift"])

    yield f"CVM online ert {length:.0f}", _make, _update


found = {}
for name, make, update in {"river": _river, "frouros": _frouros, "alibi-detect": _alibi}[peer]():
    found[name] = {
        "quiet": [_first(make, update, stream) for stream in quiet],
        "changed": [_first(make, update, stream) for stream in changed],
    }
(folder / f"{peer}.json").write_text(json.dumps(found))
