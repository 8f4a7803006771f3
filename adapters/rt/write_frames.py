"""Frames that derived images refer to: the source grid as plain, valid headers.

highdicom takes geometry and identity of a SEG or parametric map from source headers.
Real ones are untidy, so it gets headers made from the decoded `Geometry` and the
inherited patient and study, one for each frame; an enhanced multi-frame source becomes
one header a frame.

Read next: `write_multiframe.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.uid import CTImageStorage
from pydicom.valuerep import format_number_as_ds

from adapters.rt.equipment import WritingContext
from adapters.rt.sources import SourceSeries
from plugins.host.images import Geometry


def decimal(value: float) -> str:
    """Return a DS of at most 16 characters, rounded to a millionth."""
    return str(format_number_as_ds(round(float(value), 6) + 0.0))


@dataclass(frozen=True, slots=True)
class ReferenceGrid:
    """A source series with its grid, and what the headers of all of its frames say alike.

    ``shared`` belongs to all objects that are written and must not be changed.
    """

    source: SourceSeries
    geometry: Geometry
    shared: Dataset

    def header(self, frame_index: int) -> Dataset:
        """Return a valid single-frame header of one frame."""
        reference = self.source.frame(frame_index)
        header = Dataset()
        header.update(self.shared)
        # highdicom takes a multi-frame SOP Class for one image: a plain one stands in for it
        # until the frames are named.
        plain = not self.source.frame_numbers
        header.SOPClassUID = reference.sop_class_uid if plain else CTImageStorage
        header.SOPInstanceUID = reference.sop_instance_uid
        header.ImagePositionPatient = position(self.geometry, frame_index)
        return header


def reference_grid(
    context: WritingContext, source: SourceSeries, geometry: Geometry
) -> ReferenceGrid:
    """Return the grid of a source series, for headers of its frames.

    Parameters
    ----------
    source : the series whose frames have this geometry.
    """
    spacing = [decimal(geometry.spacing_mm[1]), decimal(geometry.spacing_mm[2])]
    # PS3.3 C.7.6.2.1.1: first the direction of a row (increasing column), then of a column.
    orientation = [decimal(value) for value in (*geometry.axes[2], *geometry.axes[1])]
    shared = Dataset()
    context.inherited.copy_to(shared)
    shared.SeriesInstanceUID = source.series_instance_uid
    shared.Modality = str(source.first.get("Modality", "OT"))
    shared.FrameOfReferenceUID = geometry.frame_of_reference_uid
    shared.PositionReferenceIndicator = None
    shared.Rows, shared.Columns = geometry.shape[1], geometry.shape[2]
    shared.PixelSpacing = spacing
    shared.SliceThickness = decimal(geometry.spacing_mm[0])
    shared.SpacingBetweenSlices = decimal(geometry.spacing_mm[0])
    shared.ImageOrientationPatient = orientation
    return ReferenceGrid(source, geometry, shared)


def position(geometry: Geometry, frame_index: int) -> list[str]:
    """Return Image Position (Patient) of a frame: LPS mm of its first voxel's centre."""
    step = geometry.spacing_mm[0] * frame_index
    return [
        decimal(start + step * direction)
        for start, direction in zip(geometry.origin_mm, geometry.axes[0], strict=True)
    ]


def name_source_frames(dataset: Dataset, reference: ReferenceGrid) -> None:
    """Name, for an enhanced source, its SOP Class and the source frame of each frame.

    Frames are matched by position, because their order in ``dataset`` is the library's.
    """
    source = reference.source
    if not source.frame_numbers:
        return
    whole = source.frame(0)

    def name_class(item: Dataset, element: DataElement) -> None:
        named = element.keyword == "ReferencedSOPInstanceUID"
        if named and str(element.value) == whole.sop_instance_uid:
            item.ReferencedSOPClassUID = whole.sop_class_uid

    dataset.walk(name_class)
    for group in dataset.PerFrameFunctionalGroupsSequence:
        corner = np.asarray(group.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
        frame_index = round(float(reference.geometry.to_index(corner)[0]))
        for derivation in group.get("DerivationImageSequence") or []:
            for item in derivation.SourceImageSequence:
                item.ReferencedFrameNumber = source.frame(frame_index).frame_number
    for series in dataset.get("ReferencedSeriesSequence") or []:
        unique = {str(i.ReferencedSOPInstanceUID): i for i in series.ReferencedInstanceSequence}
        series.ReferencedInstanceSequence = list(unique.values())


def pin_dimensions(dataset: Dataset, context: WritingContext, *parts: str | int) -> None:
    """Replace the generated Dimension Organization UID by one of the run."""
    uid = context.uid("dimensions", *parts)
    for item in (
        *dataset.get("DimensionOrganizationSequence", []),
        *dataset.get("DimensionIndexSequence", []),
    ):
        if "DimensionOrganizationUID" in item:
            item.DimensionOrganizationUID = uid
