"""Seed points in DICOM objects: a named point of a report, or of a structure set.

SR (TID 1500): a Measurement Group (125007) whose Tracking Identifier (112039) or Finding
(121071) has a seed's name, with an SCOORD3D of Graphic Type POINT (PS3.3 C.18.9): its
coordinates are patient coordinates of the Referenced Frame of Reference UID (3006,0024).

RT Structure Set: a region whose ROI Name has a seed's name, with contours of Contour
Geometric Type POINT (PS3.3 C.8.8.6).  A region with an outline is no point, and its middle
would be a guess.

What has a seed's name and is no such point was meant and cannot be used: somebody is told.

Read next: `in_fhir.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import RTStructureSetStorage

from adapters.rt.read_part10 import readable_values
from adapters.seeds.points import OTHER_STUDY, SHAPE, Seed, Unusable
from audit.errors import InputError
from plugins.host.images import Vector3

MODALITIES = ("SR", "RTSTRUCT")
REPORTS = "1.2.840.10008.5.1.4.1.1.88."
"""Root of the SR storage SOP classes (PS3.6 Annex A)."""
GROUP, TRACKING_IDENTIFIER, FINDING = ("125007", "DCM"), ("112039", "DCM"), ("121071", "DCM")
PERSON_OBSERVER = ("121008", "DCM")
COORDINATES = ("SCOORD", "SCOORD3D")
_DEPTH = 12


def seeds_in(
    data: bytes, names: Sequence[str], study_instance_uid: str
) -> tuple[Seed | Unusable, ...]:
    """Return the seed points of a DICOM object; none where it holds none or is damaged.

    Parameters
    ----------
    names : patterns of a seed's name, as ``fnmatch`` has them; case does not matter.
    study_instance_uid : the study that it was found in; one of another study is unusable.
    """
    try:
        with readable_values("an object that may hold a seed point"):
            dataset = dcmread(BytesIO(data), force=True)
            found = tuple(_found(dataset, names))
            if found and dataset.get("StudyInstanceUID") != study_instance_uid:
                return (Unusable(str(dataset.SOPInstanceUID), OTHER_STUDY),)
            return found
    except (InputError, OSError):  # what cannot be read holds no seed; the archive keeps it
        return ()


def _found(dataset: Dataset, names: Sequence[str]) -> Iterable[Seed | Unusable]:
    kind = str(dataset.get("SOPClassUID") or "")
    if kind == RTStructureSetStorage:
        return _of_structure_set(dataset, names)
    return _of_report(dataset, names) if kind.startswith(REPORTS) else ()


def is_seed_name(text: str, names: Sequence[str]) -> bool:
    """Return whether a text is the name of a seed point.

    Examples
    --------
    >>> is_seed_name("GTVp_seed", ("SEED", "*_SEED"))
    True
    """
    plain = text.strip().casefold()
    return any(fnmatchcase(plain, pattern.casefold()) for pattern in names)


def _of_report(dataset: Dataset, names: Sequence[str]) -> Iterator[Seed | Unusable]:
    name, observer = str(dataset.SOPInstanceUID), _observer(dataset) or _equipment(dataset)
    for group in _items(dataset):
        if _concept(group) != GROUP or not any(is_seed_name(text, names) for text in _names(group)):
            continue
        for item in _items(group):
            if item.get("ValueType") not in COORDINATES:
                continue
            is_point = item.ValueType == "SCOORD3D" and item.get("GraphicType") == "POINT"
            point = _point(item.get("GraphicData")) if is_point else None
            frame = str(item.get("ReferencedFrameOfReferenceUID") or "")
            if point is not None and frame:
                yield Seed(point, frame, "sr", name, observer)
            else:
                yield Unusable(name, SHAPE)


def _of_structure_set(dataset: Dataset, names: Sequence[str]) -> Iterator[Seed | Unusable]:
    name, given_by = str(dataset.SOPInstanceUID), _person(dataset) or _equipment(dataset)
    frames = {
        str(item.get("ROINumber")): str(item.get("ReferencedFrameOfReferenceUID") or "")
        for item in dataset.get("StructureSetROISequence") or []
        if is_seed_name(str(item.get("ROIName") or ""), names)
    }
    for region in dataset.get("ROIContourSequence") or []:
        number = str(region.get("ReferencedROINumber"))
        for contour in (region.get("ContourSequence") or []) if number in frames else []:
            is_point = contour.get("ContourGeometricType") == "POINT"
            point = _point(contour.get("ContourData")) if is_point else None
            if point is not None and frames[number]:
                yield Seed(point, frames[number], "rtstruct", name, given_by)
            else:
                yield Unusable(name, SHAPE)


def _person(dataset: Dataset) -> str:
    return str(dataset.get("ReviewerName") or dataset.get("OperatorsName") or "")


def _items(dataset: Dataset, depth: int = 0) -> Iterator[Dataset]:
    """Yield every content item below a data set."""
    for item in dataset.get("ContentSequence") or []:
        yield item
        if depth < _DEPTH:
            yield from _items(item, depth + 1)


def _concept(item: Dataset) -> tuple[str, str]:
    return _code(item.get("ConceptNameCodeSequence"))


def _code(codes: Any) -> tuple[str, str]:
    for code in codes or []:
        return str(code.get("CodeValue") or ""), str(code.get("CodingSchemeDesignator") or "")
    return "", ""


def _names(group: Dataset) -> Iterator[str]:
    """Yield what a measurement group is called: its tracking identifier and its finding."""
    for item in group.get("ContentSequence") or []:
        if _concept(item) == TRACKING_IDENTIFIER:
            yield str(item.get("TextValue") or "")
        elif _concept(item) == FINDING:
            yield str(item.get("TextValue") or "")
            for code in item.get("ConceptCodeSequence") or []:
                yield str(code.get("CodeMeaning") or "")
                yield str(code.get("CodeValue") or "")


def _observer(dataset: Dataset) -> str:
    found = (item for item in _items(dataset) if _concept(item) == PERSON_OBSERVER)
    return next((str(item.get("PersonName") or "") for item in found), "")


def _equipment(dataset: Dataset) -> str:
    words = (str(dataset.get(word) or "") for word in ("Manufacturer", "ManufacturerModelName"))
    return " ".join(word for word in words if word)


def _point(values: Any) -> Vector3 | None:
    if values is None or isinstance(values, (str, bytes)) or len(values) != 3:
        return None
    x, y, z = (float(value) for value in values)
    return (x, y, z) if all(map(math.isfinite, (x, y, z))) else None
