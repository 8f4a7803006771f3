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
from pydicom import Dataset

from adapters.rt.equipment import MANUFACTURER, Label, WritingContext, stamp
from adapters.rt.repair import repair_long
from adapters.rt.write_frames import ReferenceGrid, name_source_frames, pin_dimensions
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
    masks = np.stack([item.mask for item in segmentations], axis=-1)
    filled = np.flatnonzero(masks.any(axis=(1, 2, 3)))
    planes = range(len(masks)) if not len(filled) else range(filled[0], filled[-1] + 1)
    with warnings.catch_warnings():  # an empty mask is written as it is, without a remark
        warnings.simplefilter("ignore")
        dataset = highdicom.seg.Segmentation(
            source_images=[reference.headers[plane] for plane in planes],
            pixel_array=masks[planes.start : planes.stop],
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
            omit_empty_frames=len(filled) > 0,
        )
    name_source_frames(dataset, reference)
    pin_dimensions(dataset, context, "SEG", number)
    return stamp(dataset, context, label)


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
