"""The headers that written objects inherit from: source series without their pixels.

A SEG, RTSTRUCT or SR copies the patient and study modules of the study that it belongs
to and names every instance that it was made from (PS3.3 C.7.1.1, C.7.2.1, C.12.1).  The
reader keeps those headers; the writers ask for them by role.

Read next: `read_series.py`, which fills them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom import Dataset


@dataclass(frozen=True, slots=True)
class FrameReference:
    """Name the source of one frame of a volume.

    ``frame_number`` counts from 1 inside a multi-frame instance; it is None where the
    instance holds a single frame (PS3.3 Table 10-3: Referenced Frame Number).
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None


@dataclass(frozen=True, slots=True)
class SourceSeries:
    """Hold the headers of one decoded series, in the frame order of its volume.

    Parameters
    ----------
    datasets : headers without pixel data and without file meta; for single-frame objects
        ``datasets[i]`` is frame i of the volume, for an enhanced object there is one.
        They are shared, not copied: a writer must not change them.
    frame_numbers : for an enhanced object the source frame number (from 1) of each frame
        of the volume; empty for single-frame objects and for RT objects.
    notes : what the reader repaired or noticed, as stable codes.
    """

    series_instance_uid: str
    datasets: tuple[Dataset, ...]
    frame_numbers: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Dataset:
        """Return the header whose patient and study modules a written object inherits."""
        return self.datasets[0]

    def frame(self, frame_index: int) -> FrameReference:
        """Return what frame ``frame_index`` (from 0) of the volume was read from."""
        if self.frame_numbers:
            dataset, number = self.datasets[0], self.frame_numbers[frame_index]
            return FrameReference(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), number)
        dataset = self.datasets[frame_index]
        return FrameReference(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), None)


Sources = Mapping[str, SourceSeries]
"""Role of the manifest -> the series that was read for it."""
