"""An object grown from two frames is, byte by byte, the one that highdicom makes of all."""

import io
import warnings
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adapters.rt import write_parametric_map as pmap
from adapters.rt import write_segmentation as seg
from adapters.rt.equipment import MANUFACTURER, Label, encode, stamp
from adapters.rt.sources import SourceSeries
from adapters.rt.write_frames import pin_dimensions, reference_grid
from plugins.host.images import Code
from tests.simulators.limb_case import context_for, headers_for, oblique, segmentation_of

SHAPE = (5, 4, 6)
HELD = st.lists(arrays(np.bool_, SHAPE, elements=st.booleans()), min_size=1, max_size=2)
PLANES = st.lists(st.booleans(), min_size=5, max_size=5)
"""Which planes hold something: gaps, even distances and single planes all occur."""


def grids(reverse, enhanced):
    """Return context and grid: frames up or down the normal, one instance each or one for all."""
    geometry = oblique(SHAPE)
    if reverse:
        axes = np.asarray(geometry.axes) * [[-1.0], [1.0], [1.0]]
        geometry = replace(geometry, axes=tuple(map(tuple, axes.tolist())))
    source = headers_for(geometry)
    if enhanced:
        source = SourceSeries("1.2.3.5", source.datasets[:1], (5, 4, 3, 2, 1))
    context = context_for(source)
    return context, reference_grid(context, source, geometry)


def name_frames(dataset, reference):
    """Name the source frames of an enhanced source, as Table 10-3 asks for."""
    if not reference.source.frame_numbers:
        return dataset
    for group in dataset.PerFrameFunctionalGroupsSequence:
        corner = np.asarray(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        plane = round(float(reference.geometry.to_index(corner)[0]))
        item = group.DerivationImageSequence[0].SourceImageSequence[0]
        item.ReferencedFrameNumber = reference.source.frame_numbers[plane]
    series = dataset.ReferencedSeriesSequence[0]
    series.ReferencedInstanceSequence = series.ReferencedInstanceSequence[:1]
    return dataset


def whole_segmentation(context, reference, items):
    """Return the SEG that highdicom makes of all frames."""
    label = Label("SEG", 1, "SEG")
    masks = np.stack([item.mask for item in items], axis=-1)
    filled = np.flatnonzero(masks.any(axis=(1, 2, 3)))
    planes = range(filled[0], filled[-1] + 1) if len(filled) else range(len(masks))
    described = [seg._describe(context, number, item) for number, item in enumerate(items, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = highdicom.seg.Segmentation(
            source_images=[reference.header(plane) for plane in planes],
            pixel_array=masks[planes.start : planes.stop],
            segmentation_type="BINARY",
            segment_descriptions=described,
            series_instance_uid=context.uid("SEG", 1, "series"),
            series_number=1,
            sop_instance_uid=context.uid("SEG", 1, "instance"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=context.request.plugin,
            software_versions=context.request.plugin_version,
            device_serial_number=context.release_hex,
            content_label="SEGMENTATION",
            content_description=label.series_description(context),
            omit_empty_frames=len(filled) > 0,
        )
    bits = int(dataset.NumberOfFrames) * SHAPE[1] * SHAPE[2]
    if -(-bits // 8) % 2:  # highdicom fills up with the character 0, not with the number
        dataset.PixelData = dataset.PixelData[:-1] + b"\0"
    name_frames(dataset, reference)
    pin_dimensions(dataset, context, "SEG", 1)
    return stamp(dataset, context, label)


@settings(max_examples=40, deadline=None)
@given(HELD, PLANES, st.booleans(), st.booleans())
def test_a_segmentation_is_the_one_of_highdicom(held, planes, reverse, enhanced):
    """For any masks, gaps between planes, direction of the frames and kind of source."""
    context, reference = grids(reverse, enhanced)
    kept = np.asarray(planes)[:, None, None]
    items = [
        segmentation_of(mask & kept, reference.geometry, f"GTV{n}") for n, mask in enumerate(held)
    ]
    ours = encode(seg.write_segmentation(context, reference, items))
    theirs = encode(whole_segmentation(context, reference, items))
    assert ours == theirs


def whole_map(context, reference, item):
    """Return the parametric map that highdicom makes of all frames."""
    label = Label("PMAP", 1, f"{item.name} map")
    filled = np.flatnonzero(item.values.any(axis=(1, 2)))
    planes = range(filled[0], filled[-1] + 1) if len(filled) else range(1)
    dataset = highdicom.pm.ParametricMap(
        source_images=[reference.header(plane) for plane in planes],
        pixel_array=item.values[planes.start : planes.stop],
        series_instance_uid=context.uid("PMAP", 1, "series"),
        series_number=1,
        sop_instance_uid=context.uid("PMAP", 1, "instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=context.request.plugin,
        software_versions=context.request.plugin_version,
        device_serial_number=context.release_hex,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[pmap._mapping(item)],
        voi_lut_transformations=[pmap._window(item)],
        content_label=item.name.upper(),
        content_description=label.series_description(context),
        content_qualification="RESEARCH",
    )
    name_frames(dataset, reference)
    pin_dimensions(dataset, context, "PMAP", 1)
    return stamp(dataset, context, label)


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.float32, SHAPE, elements=st.floats(-8, 8, width=32)), PLANES, st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_a_map_is_the_one_of_highdicom(values, planes, reverse, enhanced):
    """For any values, empty planes, direction of the frames and kind of source."""
    context, reference = grids(reverse, enhanced)
    values = values * np.asarray(planes, dtype=np.float32)[:, None, None]
    quantity = Code("uncertainty-map", "99OSTEON", "Voxel uncertainty")
    item = pmap.VoxelMap("uncertainty", "0 to 1", values, reference.geometry, quantity)
    ours = encode(pmap.write_parametric_map(context, reference, item))
    assert ours == encode(whole_map(context, reference, item))


@pytest.mark.parametrize("count", [1, 2])
def test_what_was_grown_reads_like_any_other_data_set(count):
    """Sequences that stand in the object as bytes are parsed when they are asked for."""
    context, reference = grids(reverse=False, enhanced=False)
    mask = np.ones(SHAPE, dtype=bool)
    items = [segmentation_of(mask, reference.geometry, f"GTV{n}") for n in range(count)]
    dataset = seg.write_segmentation(context, reference, items)
    assert len(dataset.PerFrameFunctionalGroupsSequence) == SHAPE[0] * count
    back = pydicom.dcmread(io.BytesIO(encode(dataset)))
    again = encode(seg.write_segmentation(context, reference, items))
    assert encode(back) == again
    assert len(back.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == SHAPE[0]
