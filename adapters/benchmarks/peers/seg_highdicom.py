"""highdicom: ten segments as a binary SEG, written to a file."""

import sys
import warnings
from pathlib import Path

import highdicom
import numpy as np
import pydicom
from pydicom.sr.codedict import codes
from serve import serve

folder = Path(sys.argv[1])
sources = [
    pydicom.dcmread(path, stop_before_pixels=True) for path in sorted((folder / "ct").glob("*.dcm"))
]
drawn = np.unpackbits(np.load(folder / "drawn.npy"), axis=-1).view(np.bool_)
masks = np.ascontiguousarray(np.moveaxis(drawn, 0, -1))
described = [
    highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=f"R{number}",
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Bone,
        algorithm_type="MANUAL",
    )
    for number in range(1, masks.shape[-1] + 1)
]
warnings.simplefilter("ignore")


def _work() -> object:
    made = highdicom.seg.Segmentation(
        sources, masks, "BINARY", described, highdicom.UID(), 1, highdicom.UID(), 1,
        "peer", "peer", "1", "1",
    )  # fmt: skip
    made.save_as(folder / "SEG-peer.dcm")
    return None


serve(_work, lambda _: None)
