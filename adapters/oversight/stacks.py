"""What the viewer shows of a run: the image that was read, and the objects that were written.

The image comes from the archive once more, contours and maps from the outbox.  A few stacks
are kept, since a person goes through one slice by slice.

Read next: `adapters/documents/slices.py`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from adapters.documents.pictures import Row
from adapters.documents.slices import Stack
from adapters.rt.raster import mask_from_contours
from adapters.rt.read_dose import read_dose
from adapters.rt.read_structures import read_structures
from audit.errors import NotFoundError
from plugins.host.case import Case
from plugins.host.images import Geometry, Vector3, Volume

if TYPE_CHECKING:
    from adapters.compose import Site
    from plugins.host.ports import Document, RunRequest

KEPT = 2
_LIMITS = {"uncertainty": (0.0, 1.0)}
_SCHEMES = {
    **{"uncertainty": "heat", "attribution": "signed"},
    **{"expected_error": "heat", "dose": "heat"},
}
_TITLES = {
    **{"uncertainty": "uncertainty [0-1]", "attribution": "attribution"},
    **{"expected_error": "expected error [Gy]", "dose": "dose [Gy]"},
}
_SHOWN = ("RTSTRUCT", "RTDOSE")


class Stacks:
    """The stacks of a site that were looked at last; safe among threads."""

    def __init__(self, site: Site, kept: int = KEPT) -> None:
        self._site, self._kept = site, kept
        self._stacks: OrderedDict[str, Stack] = OrderedDict()
        self._lock = threading.Lock()

    def stack(self, run_id: str) -> Stack:
        """Return the stack of a run.

        Raises
        ------
        NotFoundError : no such run, or it wrote neither structure set nor dose.
        UnavailableError : the archive does not answer.
        """
        with self._lock:
            if run_id not in self._stacks:
                self._stacks[run_id] = _load(self._site, run_id)
                while len(self._stacks) > self._kept:
                    self._stacks.popitem(last=False)
            self._stacks.move_to_end(run_id)
            return self._stacks[run_id]


def can_be_shown(documents: Sequence[Document]) -> bool:
    """Return whether a run wrote contours or a dose that are still in the outbox."""
    return any(item.kind in _SHOWN and item.path.is_file() for item in documents)


def _load(site: Site, run_id: str) -> Stack:
    with site.database.reading() as transaction:
        request = transaction.request_of(run_id)
        documents = transaction.documents(run_id)
    case = _fetched(site, request)
    for item in documents:
        if item.kind == "RTSTRUCT" and item.path.is_file():
            structures, _ = read_structures(item.path.read_bytes())
            reference = _reference(case, structures.referenced_series_instance_uids)
            masks = {
                roi.name: mask_from_contours(roi.contours, reference.geometry)
                for roi in structures.rois
            }
            return Stack(reference, masks, _maps(documents, case, reference))
    if any(item.kind == "RTDOSE" and item.path.is_file() for item in documents):
        return _dose_stack(documents, case)
    raise NotFoundError(f"expected contours or a dose of run {run_id[:32]}, found none")


def _dose_stack(documents: Sequence[Document], case: Case) -> Stack:
    """Return a predicted dose over the image, with the contours that it was predicted for."""
    named = {structures.sop_instance_uid: structures for structures in case.structure_sets.values()}
    for item in documents:
        if item.kind != "RTDOSE" or not item.path.is_file():
            continue
        content = item.path.read_bytes()
        dataset = pydicom.dcmread(item.path, stop_before_pixels=True)
        uid = str(dataset.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID)
        if uid in named:
            structures = named[uid]
            reference = _reference(case, structures.referenced_series_instance_uids)
            masks = {
                roi.name: mask_from_contours(roi.contours, reference.geometry)
                for roi in structures.rois
            }
            volume, _ = read_dose(content)
            maps = {**_maps(documents, case, reference)}
            maps["dose"] = _row("dose", volume.array, volume.geometry)
            return Stack(reference, masks, maps)
    raise NotFoundError("expected the structure set that the dose refers to, found it not")


def _fetched(site: Site, request: RunRequest) -> Case:
    cases = site.house.cases
    try:
        return cases.fetch(request, site.registry.manifest(request.release_digest))
    finally:
        site.executor.forget(request.run_id)


def _reference(case: Case, series: tuple[str, ...]) -> Volume:
    for volume in case.images.values():
        if volume.series_instance_uid in series:
            return volume
    raise NotFoundError("expected the image that the contours refer to, found it not")


def _maps(documents: Sequence[Document], case: Case, reference: Volume) -> Mapping[str, Row]:
    rows: dict[str, Row] = {}
    for item in documents:
        if item.kind == "PMAP" and item.path.is_file():
            dataset = pydicom.dcmread(item.path)
            text = f"{dataset.get('SeriesDescription', '')} {dataset.get('ContentLabel', '')}"
            for name in _SCHEMES:
                if name in text.lower():
                    values, geometry = read_map(dataset)
                    rows[name] = _row(name, values, geometry)
    frame = reference.geometry.frame_of_reference_uid
    for dose in case.doses.values():
        if dose.geometry.frame_of_reference_uid == frame:
            rows["dose"] = _row("dose", dose.array, dose.geometry)
    return rows


def _row(name: str, values: NDArray[np.float32], geometry: Geometry) -> Row:
    limits = _LIMITS.get(name)
    if limits is None:
        held = np.abs(values[values != 0])
        top = float(np.percentile(held, 99)) if held.size else 1.0
        limits = (-top, top) if _SCHEMES[name] == "signed" else (0.0, top)
    return Row(_TITLES[name], values, geometry, limits, _SCHEMES[name])


def read_map(dataset: Dataset) -> tuple[NDArray[np.float32], Geometry]:
    """Return a parametric map as numbers on a grid (PS3.3 A.75); frames are evenly spaced."""
    values = np.asarray(dataset.pixel_array, dtype=np.float32)
    values = values[None] if values.ndim == 2 else values
    shared = dataset.SharedFunctionalGroupsSequence[0]
    rows, columns = np.array(
        shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64
    ).reshape(2, 3)
    measures = shared.PixelMeasuresSequence[0]
    places = np.array(
        [
            frame.PlanePositionSequence[0].ImagePositionPatient
            for frame in dataset.PerFrameFunctionalGroupsSequence
        ],
        dtype=np.float64,
    )
    normal = np.cross(rows, columns)
    heights = places @ normal
    order = np.argsort(heights)
    gaps = np.diff(heights[order])
    step = float(np.median(gaps)) if len(gaps) else float(measures.SliceThickness)
    spacing = (step, float(measures.PixelSpacing[0]), float(measures.PixelSpacing[1]))
    geometry = Geometry(
        (len(values), values.shape[1], values.shape[2]),
        spacing,
        _triple(places[order][0]),
        (_triple(normal), _triple(columns), _triple(rows)),
        str(dataset.get("FrameOfReferenceUID", "")),
    )
    return values[order], geometry


def _triple(values: NDArray[np.float64]) -> Vector3:
    return (float(values[0]), float(values[1]), float(values[2]))
