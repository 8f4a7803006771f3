"""The writing rows of the numerics table: masks to an RT Structure Set and to a SEG.

Ours are the writers that a run uses, with everything that they state of run, release and
equipment; from the masks in memory to the file on disk.

Read next: `numerics.py`, `peers/masks_rt_utils.py`, `peers/seg_highdicom.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plugins.host.images import Code, Geometry

if TYPE_CHECKING:
    from pydicom import Dataset

    from adapters.rt.equipment import WritingContext
    from adapters.rt.sources import SourceSeries
    from plugins.host.findings import Segmentation

_TISSUE = Code("85756007", "SCT", "Tissue")
_BONE = Code("272673000", "SCT", "Bone")


@cache
def drawn_masks(folder: Path) -> NDArray[np.bool_]:
    """Return the masks to be written, read once: the peers hold theirs in memory too."""
    return np.unpackbits(np.load(folder / "drawn.npy"), axis=-1).view(np.bool_)


def grid_of(source: SourceSeries) -> Geometry:
    """Return the grid of an axial series from its headers."""
    first, last = source.datasets[0], source.datasets[-1]
    count = len(source.datasets)
    x, y, low = (float(value) for value in first.ImagePositionPatient)
    rows_mm, columns_mm = (float(value) for value in first.PixelSpacing)
    step_mm = (float(last.ImagePositionPatient[2]) - low) / (count - 1)
    return Geometry(
        (count, int(first.Rows), int(first.Columns)),
        (step_mm, rows_mm, columns_mm),
        (x, y, low),
        ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
        str(first.FrameOfReferenceUID),
    )


def write_structures(folder: Path) -> Path:
    """Write the masks as RT Structure Set on the CT of the folder; its headers are read anew,
    as the peer reads its images."""
    from adapters.rt.equipment import encode
    from adapters.rt.read_series import read_headers
    from adapters.rt.write_structure_set import write_structure_set

    source = read_headers(sorted((folder / "ct").glob("*.dcm")))
    regions = _regions(drawn_masks(folder), grid_of(source))
    target = folder / "RS-ours.dcm"
    target.write_bytes(encode(write_structure_set(_context(source.first), source, regions)))
    return target


def round_trip(written: Path, folder: Path) -> str:
    """Say how many voxels differ after reading each side's structure set with our reader."""
    from adapters.rt.raster import mask_from_contours
    from adapters.rt.read_structures import read_structures

    masks, grid = drawn_masks(folder), grid_of(_source(folder))
    wrong = []
    for path in (written, folder / "RS-peer.dcm"):
        rois = read_structures(path)[0].rois
        back = [mask_from_contours(roi.contours, grid) for roi in rois]
        pairs = zip(back, masks, strict=True)
        wrong.append(sum(int(np.count_nonzero(mask != true)) for mask, true in pairs))
    return (
        f"{wrong[0]} of {int(np.count_nonzero(masks))} voxels differ after reading "
        f"(theirs {wrong[1]})"
    )


def write_segments(folder: Path) -> Path:
    """Write the masks as SEG on the CT of the folder, whose headers both sides hold."""
    from adapters.rt.equipment import encode
    from adapters.rt.write_frames import reference_grid
    from adapters.rt.write_segmentation import write_segmentation

    source = _source(folder)
    context, grid = _context(source.first), grid_of(source)
    reference = reference_grid(context, source, grid)
    regions = _regions(drawn_masks(folder), grid)
    target = folder / "SEG-ours.dcm"
    target.write_bytes(encode(write_segmentation(context, reference, regions)))
    return target


def same_segments(written: Path, folder: Path) -> str:
    """Say whether both sides store the same bits, and whether highdicom reads ours back."""
    import highdicom
    import pydicom

    ours, theirs = pydicom.dcmread(written), pydicom.dcmread(folder / "SEG-peer.dcm")
    same = ours.PixelData == theirs.PixelData
    read = highdicom.seg.segread(written)
    uids = [str(item.SOPInstanceUID) for item in _source(folder).datasets]
    wrong = 0
    for number, mask in enumerate(drawn_masks(folder), start=1):
        back = read.get_pixels_by_source_instance(
            uids, segment_numbers=[number], assert_missing_frames_are_empty=True
        )
        wrong += int(np.count_nonzero(back[..., 0].astype(np.bool_) != mask))
    return (
        f"PixelData {'identical' if same else 'DIFFER'} ({int(ours.NumberOfFrames)} frames); "
        f"{wrong} voxels differ as highdicom reads ours"
    )


@cache
def _source(folder: Path) -> SourceSeries:
    from adapters.rt.read_series import read_headers

    return read_headers(sorted((folder / "ct").glob("*.dcm")))


def _regions(masks: NDArray[np.bool_], grid: Geometry) -> list[Segmentation]:
    from plugins.host.findings import Segmentation

    return [
        Segmentation(f"R{number}", mask, grid, "ct", _TISSUE, _BONE, "ORGAN")
        for number, mask in enumerate(masks, start=1)
    ]


def _context(header: Dataset) -> WritingContext:
    from adapters.rt.equipment import WritingContext
    from adapters.rt.identity import inherit
    from plugins.host.manifest import Input, Manifest, Output
    from plugins.host.ports import RunRequest

    manifest = Manifest(
        plugin="benchmark",
        version="1.0.0",
        title="Numerics benchmark",
        intended_purpose="Measure this installation",
        evidence="analytic",
        inputs=(Input("ct", "CT"),),
        outputs=(Output("Segmentation", "R1", "272673000", "SCT", "Bone"),),
    )
    request = RunRequest(
        run_id="benchmark",
        study_instance_uid=str(header.StudyInstanceUID),
        plugin=manifest.plugin,
        plugin_version=manifest.version,
        release_digest="sha256:" + "0" * 64,
        mode="research",
        series={"ct": str(header.SeriesInstanceUID)},
        sop_instance_uids=(),
        opened_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return WritingContext(request, manifest, inherit(header), "bench")
