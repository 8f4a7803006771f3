"""What a refusal's objects inherit from, where the series cannot be read as a volume.

One readable header of a series is enough: patient and study come from it, the other
instances are named by their UIDs alone.  A damaged object is passed over; one that is damaged
behind its identity still says whose study it is.

Read next: `case_source.py`, which gives the headers of a case that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydicom import Dataset

from adapters.pacs import InstanceReference, Pacs
from adapters.rt.read_part10 import Source, read_identity, read_instance
from adapters.rt.sources import Sources, SourceSeries
from audit.errors import InputError, MissingAttributeError, NotFoundError
from plugins.host.ports import RunRequest

TRIALS = 4
"""How many objects of a series are looked at before it counts as unreadable."""


def headers_in_archive(pacs: Pacs, request: RunRequest) -> Sources:
    """Return one header of each series of a request, and the names of its other instances.

    Raises
    ------
    MissingAttributeError : no series has a readable header of the study.
    UnavailableError and what else the archive raises.
    """

    def instances(uid: str) -> Sequence[InstanceReference]:
        return pacs.search_instances(request.study_instance_uid, uid)

    return _headers(request, instances, pacs.retrieve_instance)


def headers_in_folder(files: Mapping[str, Sequence[Path]], request: RunRequest) -> Sources:
    """Return the same from files, by Series Instance UID."""
    paths: dict[str, Path] = {}

    def instances(uid: str) -> Sequence[InstanceReference]:
        found = []
        for path in files.get(uid, ()):
            reference = _reference(request, uid, read_identity(path))
            paths[reference.sop_instance_uid] = path
            found.append(reference)
        return [item for item in found if item.sop_instance_uid]

    return _headers(request, instances, lambda item: paths[item.sop_instance_uid])


def _headers(
    request: RunRequest,
    instances: Callable[[str], Sequence[InstanceReference]],
    load: Callable[[InstanceReference], Source],
) -> Sources:
    found: dict[str, SourceSeries] = {}
    for role, uid in request.series.items():
        references = instances(uid)
        for number, reference in enumerate(references[:TRIALS]):
            header = _header(request, reference, load)
            if header is not None:
                others = (*references[:number], *references[number + 1 :])
                named = (_named(item, str(header.SOPClassUID)) for item in others)
                found[role] = SourceSeries(uid, (header, *named))
                break
    if not found:
        raise MissingAttributeError("expected a readable header in some series, found none")
    return found


def _header(
    request: RunRequest,
    reference: InstanceReference,
    load: Callable[[InstanceReference], Source],
) -> Dataset | None:
    """Return the header of an instance; None where it does not say that it is of the study."""
    try:
        source = load(reference)
    except NotFoundError:
        return None
    try:
        dataset = read_instance(source).dataset
    except InputError:
        dataset = read_identity(source)
    stated = str(dataset.get("StudyInstanceUID") or "")
    whole = all(dataset.get(keyword) for keyword in ("SOPClassUID", "SOPInstanceUID"))
    return dataset if whole and stated == request.study_instance_uid else None


def _reference(request: RunRequest, series_uid: str, header: Dataset) -> InstanceReference:
    sop, kind = (str(header.get(word) or "") for word in ("SOPInstanceUID", "SOPClassUID"))
    return InstanceReference(request.study_instance_uid, series_uid, sop, kind)


def _named(reference: InstanceReference, sop_class_uid: str) -> Dataset:
    """Return a header that names an instance and says nothing else."""
    named = Dataset()
    named.SOPClassUID = reference.sop_class_uid or sop_class_uid
    named.SOPInstanceUID = reference.sop_instance_uid
    return named
