"""rt-utils: masks in memory to a structure set on a folder of CT slices."""

import sys
from pathlib import Path

import numpy as np
from rt_utils import RTStructBuilder
from serve import serve

folder = Path(sys.argv[1])
masks = np.unpackbits(np.load(folder / "drawn.npy"), axis=-1).view(np.bool_)


def _work() -> object:
    made = RTStructBuilder.create_new(str(folder / "ct"))
    for number, mask in enumerate(masks, start=1):
        made.add_roi(mask=np.moveaxis(mask, 0, -1), name=f"R{number}")
    made.save(str(folder / "RS-peer.dcm"))
    return None


serve(_work, lambda _: None)
