"""Parametric maps: uncertainty and attribution, a number for every voxel.

Pixels are 32-bit floats in the map's own unit; the Real World Value Mapping says what the
number means.  Frames before the first and after the last that hold anything are left out.

Source: PS3.3 A.75 (Parametric Map IOD), C.8.32; PS3.3 C.7.6.16.2.11 (value mapping).
Read next: `write_frames.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from adapters.rt.equipment import MANUFACTURER, Label, WritingContext, stamp
from adapters.rt.repair import repair_long, repair_short
from adapters.rt.write_frames import (
    ReferenceGrid,
    name_source_frames,
    pin_dimensions,
    position,
)
from adapters.rt.write_multiframe import Frame, in_frame_order, template_planes, with_frames
from adapters.rt.write_segmentation import coded
from audit.errors import PluginOutputError
from plugins.host.images import Code, Geometry

NO_UNITS = Code("1", "UCUM", "no units")


@dataclass(frozen=True, slots=True)
class VoxelMap:
    """One map: values (frames, rows, columns) on ``geometry`` and what they mean.

    Parameters
    ----------
    name : at most 16 characters, e.g. ``uncertainty``.
    quantity : coded meaning of the numbers.

    Raises
    ------
    PluginOutputError : shape and grid differ, or a number is NaN or infinite.
    """

    name: str
    explanation: str
    values: NDArray[np.float32]
    geometry: Geometry
    quantity: Code
    unit: Code = NO_UNITS

    def __post_init__(self) -> None:
        if self.values.shape != self.geometry.shape:
            raise PluginOutputError(
                f"expected a map of {self.geometry.shape}, found {self.values.shape}: {self.name}"
            )
        if not np.all(np.isfinite(self.values)):
            raise PluginOutputError(f"expected finite numbers, found NaN or infinity: {self.name}")


def write_parametric_map(
    context: WritingContext,
    reference: ReferenceGrid,
    voxel_map: VoxelMap,
    number: int = 1,
) -> Dataset:
    """Return the parametric map object.

    Parameters
    ----------
    reference : the reference series and its grid; a map on another grid carries its own
        positions and names the series as a whole.
    """
    from highdicom.pm import ParametricMap

    label = Label("PMAP", number, f"{voxel_map.name} map")
    values = np.ascontiguousarray(voxel_map.values, dtype=np.float32)
    filled = np.flatnonzero(values.any(axis=(1, 2)))
    planes = range(filled[0], filled[-1] + 1) if len(filled) else range(1)
    same_grid = voxel_map.geometry == reference.geometry
    given = template_planes(planes) if same_grid else list(planes)
    sources = given if same_grid else range(reference.geometry.shape[0])
    dataset = ParametricMap(
        source_images=[reference.header(plane) for plane in sources],
        pixel_array=values[given],
        series_instance_uid=context.uid("PMAP", number, "series"),
        series_number=1,
        sop_instance_uid=context.uid("PMAP", number, "instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=context.request.plugin,
        software_versions=repair_long(context.request.plugin_version)[0],
        device_serial_number=context.release_hex,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(voxel_map)],
        voi_lut_transformations=[_window(voxel_map)],
        content_label=repair_short(voxel_map.name.upper())[0],
        content_description=label.series_description(context),
        content_qualification="PRODUCT" if context.request.mode == "clinical" else "RESEARCH",
        **({} if same_grid else _own_grid(voxel_map.geometry, planes)),
    )
    if same_grid:
        ordered = in_frame_order(voxel_map.geometry, planes)
        frames = [Frame(plane, (place,)) for place, plane in enumerate(ordered, start=1)]
        dataset = with_frames(dataset, reference, planes, frames)
        dataset.FloatPixelData = values[ordered].astype("<f4", copy=False).tobytes()
    else:
        name_source_frames(dataset, reference)
    pin_dimensions(dataset, context, "PMAP", number)
    return stamp(dataset, context, label)


def _mapping(voxel_map: VoxelMap) -> Dataset:
    """Return what the stored numbers mean: themselves, in the map's unit."""
    from highdicom.pm import RealWorldValueMapping

    low, high = float(voxel_map.values.min()), float(voxel_map.values.max())
    return RealWorldValueMapping(
        lut_label=repair_short(voxel_map.name)[0],
        lut_explanation=repair_long(voxel_map.explanation)[0],
        unit=coded(voxel_map.unit),
        value_range=(low, high if high > low else low + 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=coded(voxel_map.quantity),
    )


def _window(voxel_map: VoxelMap) -> Dataset:
    """Return a display window over the whole range (PS3.3 C.11.2.1.3.2, LINEAR_EXACT)."""
    import highdicom

    low, high = float(voxel_map.values.min()), float(voxel_map.values.max())
    return highdicom.VOILUTTransformation(
        window_center=round((low + high) / 2, 6),
        window_width=max(round(high - low, 6), 1e-3),
        voi_lut_function="LINEAR_EXACT",
    )


def _own_grid(geometry: Geometry, planes: range) -> dict[str, object]:
    """Return plane measures, orientation and positions of a map on its own grid."""
    import highdicom

    return {
        "pixel_measures": highdicom.PixelMeasuresSequence(
            pixel_spacing=geometry.spacing_mm[1:],
            slice_thickness=geometry.spacing_mm[0],
            spacing_between_slices=geometry.spacing_mm[0],
        ),
        "plane_orientation": highdicom.PlaneOrientationSequence(
            "PATIENT", (*geometry.axes[2], *geometry.axes[1])
        ),
        "plane_positions": [
            highdicom.PlanePositionSequence(
                "PATIENT", [float(value) for value in position(geometry, plane)]
            )
            for plane in planes
        ],
    }
