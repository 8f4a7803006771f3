"""rt-utils: a structure set to masks, and masks to a structure set."""

import sys
from pathlib import Path

import numpy as np
from rt_utils import RTStructBuilder
from serve import serve

folder = Path(sys.argv[1])
masks = np.load(folder / "rois.npy") if (folder / "rois.npy").exists() else None


def _read() -> object:
    found = RTStructBuilder.create_from(str(folder / "ct"), str(folder / "RS.dcm"))
    return [found.get_roi_mask_by_name(name) for name in found.get_roi_names()]


def _write() -> object:
    made = RTStructBuilder.create_new(str(folder / "ct"))
    for number, mask in enumerate(masks):
        made.add_roi(mask=np.moveaxis(mask, 0, -1), name=f"R{number}")
    made.save(str(folder / "RS-peer.dcm"))
    return None


def _keep(found: object) -> None:
    if found is not None:
        np.save(folder / "read-peer.npy", np.moveaxis(np.array(found), -1, 1))


serve(_write if (folder / "write").exists() else _read, _keep)
