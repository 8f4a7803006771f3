"""dicompyler-core: histograms of every region of a structure set."""

import sys
from pathlib import Path

import numpy as np
from dicompylercore import dicomparser, dvhcalc
from serve import serve

folder = Path(sys.argv[1])
structures, dose = str(folder / "RS.dcm"), str(folder / "RD.dcm")
names = {
    key: item["name"] for key, item in dicomparser.DicomParser(structures).GetStructures().items()
}


def _work() -> object:
    rows = []
    for key in sorted(names):
        found = dvhcalc.get_dvh(structures, dose, key)
        rows.append((key, found.volume * 1000, found.mean, float(found.statistic("D0.1cc").value)))
    return rows


serve(_work, lambda found: np.save(folder / "dvh.npy", np.array(found, dtype=float)))
