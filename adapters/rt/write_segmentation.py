"""Segmentation (SEG): the masks of the findings on the grid of their source image.

Binary frames over the whole plane, so that viewers lay them on the source pixel by pixel;
planes without a voxel are left out.  Each segment carries its algorithm and a tracking
UID that the report quotes.

Source: PS3.3 A.51 (Segmentation IOD), C.8.20.2 (image), C.8.20.4 (reference).
Read next: `write_frames.py`, `write_report.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from adapters.rt.equipment import MANUFACTURER, Label, WritingContext, stamp
from adapters.rt.repair import repair_long
from adapters.rt.write_frames import ReferenceGrid, pin_dimensions
from adapters.rt.write_multiframe import Frame, in_frame_order, template_planes, with_frames
from models.physics.extents import Extents, extents_of
from plugins.host.findings import Segmentation
from plugins.host.images import Code


def tracking_uid(context: WritingContext, name: str) -> str:
    """Return the Tracking UID of a finding, the same in SEG and report."""
    return context.uid("tracking", name)


def tracking_id(context: WritingContext, name: str) -> str:
    """Return the Tracking ID of a finding: its name, the plugin and the run."""
    return f"{name} {context.request.plugin} {context.request.run_id}"


def write_segmentation(
    context: WritingContext,
    reference: ReferenceGrid,
    segmentations: Sequence[Segmentation],
    number: int = 1,
) -> Dataset:
    """Return the SEG of all segmentations on one reference series.

    Parameters
    ----------
    reference : the series on whose grid all of them lie.
    """
    import highdicom

    label = Label("SEG", number, "SEG")
    held = extents_of([item.mask for item in segmentations])
    filled = np.stack([item.counts > 0 for item in held])
    planes = np.flatnonzero(filled.any(axis=0)).tolist() or list(range(filled.shape[1]))
    few = template_planes(planes)
    with warnings.catch_warnings():  # an empty mask is written as it is, without a remark
        warnings.simplefilter("ignore")
        template = highdicom.seg.Segmentation(
            source_images=[reference.header(plane) for plane in few],
            pixel_array=np.stack([item.mask[few] for item in segmentations], axis=-1),
            segmentation_type="BINARY",
            segment_descriptions=[
                _describe(context, index, item) for index, item in enumerate(segmentations, 1)
            ],
            series_instance_uid=context.uid("SEG", number, "series"),
            series_number=1,
            sop_instance_uid=context.uid("SEG", number, "instance"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=context.request.plugin,
            software_versions=repair_long(context.request.plugin_version)[0],
            device_serial_number=context.release_hex,
            content_label="SEGMENTATION",
            content_description=label.series_description(context),
            omit_empty_frames=False,
        )
    frames = _frames(reference, planes, filled)
    dataset = with_frames(template, reference, range(planes[0], planes[-1] + 1), frames)
    dataset.SegmentsOverlap = "YES" if _overlap(segmentations, filled) else "NO"
    dataset.PixelData = _bits(segmentations, frames, held)
    pin_dimensions(dataset, context, "SEG", number)
    return stamp(dataset, context, label)


def _frames(
    reference: ReferenceGrid, planes: Sequence[int], filled: NDArray[np.bool_]
) -> list[Frame]:
    """Return segment after segment the planes that hold it; all planes where none does."""
    ordered = list(enumerate(in_frame_order(reference.geometry, planes), start=1))
    several = len(filled) > 1
    return [
        Frame(plane, (segment_number, place), segment_number if several else 0)
        for segment_number, held in enumerate(filled, start=1)
        for place, plane in ordered
        if held[plane] or not filled.any()
    ]


def _overlap(segmentations: Sequence[Segmentation], filled: NDArray[np.bool_]) -> bool:
    """Say whether a voxel belongs to more than one segment (PS3.3 C.8.20.2)."""
    for plane in np.flatnonzero(filled.sum(axis=0) > 1):
        first, *others = np.flatnonzero(filled[:, plane]).tolist()
        seen = segmentations[first].mask[plane].copy()
        for other in others:
            mask = segmentations[other].mask[plane]
            if (seen & mask).any():
                return True
            seen |= mask
    return False


def _bits(
    segmentations: Sequence[Segmentation], frames: Sequence[Frame], held: Sequence[Extents]
) -> bytes:
    """Return the frames one bit a voxel, one after another (PS3.5 Section 8.1.1, Annex D).

    Rows of whole bytes are packed where a voxel may be set, and are zero elsewhere.
    """
    _, rows, columns = segmentations[0].mask.shape
    if columns % 8:
        voxels = [segmentations[frame.dimensions[0] - 1].mask[frame.plane] for frame in frames]
        packed = np.packbits(np.stack(voxels).ravel(), bitorder="little")
    else:
        packed = np.zeros((len(frames), rows, columns // 8), dtype=np.uint8)
        for place, frame in enumerate(frames):
            segment = frame.dimensions[0] - 1
            first, end = held[segment].boxes[frame.plane, :2]
            part = segmentations[segment].mask[frame.plane, first:end]
            packed[place, first:end] = np.packbits(part, axis=1, bitorder="little")
    return packed.tobytes() + b"\0" * (packed.size % 2)


def _describe(context: WritingContext, segment_number: int, item: Segmentation) -> Dataset:
    """Return the Segment Sequence item (PS3.3 C.8.20.2)."""
    import highdicom
    from pydicom.sr.codedict import codes

    request = context.request
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=repair_long(request.plugin)[0],
        family=codes.DCM.ArtificialIntelligence,
        version=repair_long(request.plugin_version)[0],
        source=MANUFACTURER,
    )
    segment: Dataset = highdicom.seg.SegmentDescription(
        segment_number=segment_number,
        segment_label=repair_long(item.name)[0],
        segmented_property_category=coded(item.property_category),
        segmented_property_type=coded(item.property_type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid(context, item.name),
        tracking_id=tracking_id(context, item.name),
        anatomic_regions=None if item.anatomy is None else [coded(item.anatomy)],
        display_color=highdicom.color.CIELabColor(53.2, 80.1, 67.2),
    )
    if item.description:
        segment.SegmentDescription = item.description[:1024]
    return segment


def coded(code: Code) -> Dataset:
    """Return the code as highdicom's coded concept."""
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, repair_long(code.meaning)[0])
