"""rt-utils: a structure set to masks."""

import sys
from pathlib import Path

import numpy as np
from rt_utils import RTStructBuilder
from serve import serve

folder = Path(sys.argv[1])


def _read() -> object:
    found = RTStructBuilder.create_from(str(folder / "ct"), str(folder / "RS.dcm"))
    return [found.get_roi_mask_by_name(name) for name in found.get_roi_names()]


def _keep(found: object) -> None:
    np.save(folder / "read-peer.npy", np.moveaxis(np.array(found), -1, 1))


serve(_read, _keep)
