"""The port of every picture archive: search, retrieve, store, changes.

Four doors fulfil it: `orthanc/`, `dicomweb/`, `folder/` and `dimse/`.  Words follow
PS3.18.  Every method raises `UnavailableError` when the archive is away,
`AuthenticationError` when it refuses the credentials and `RejectedError` when it refuses
the request.

Read next: `folder/pacs.py`, the simplest door.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

ROUTING_KEYWORDS = (
    "AcquisitionNumber",
    "BodyPartExamined",
    "ContrastBolusAgent",
    "ConvolutionKernel",
    "FrameOfReferenceUID",
    "ImageOrientationPatient",
    "ImageType",
    "InstitutionalDepartmentName",
    "Laterality",
    "Manufacturer",
    "ManufacturerModelName",
    "Modality",
    "NumberOfFrames",
    "PatientAge",
    "PatientPosition",
    "PatientSex",
    "PixelSpacing",
    "PresentationIntentType",
    "ProtocolName",
    "RequestedProcedurePriority",
    "Rows",
    "SeriesDescription",
    "SeriesNumber",
    "SliceThickness",
    "SOPClassUID",
    "StationName",
    "StudyDescription",
    "Units",
    "ViewPosition",
)
"""DICOM keywords that every door puts into `SeriesSummary.tags`, where the object has them.
Names, numbers and dates of the patient are not among them."""


@dataclass(frozen=True, slots=True)
class InstanceReference:
    """Names one instance in an archive."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str = ""


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """One series as found by a search; ``tags`` maps DICOM keywords to text.

    ``expected_count`` is what a sender announced (Orthanc's ExpectedNumberOfInstances),
    None when nobody did; ``instance_count`` is what is there now.
    """

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    instance_count: int
    expected_count: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """Something arrived, changed or left; ``kind`` is new_instance, changed, patient or deleted.

    A door that cannot tell instances apart reports one ``changed`` per study, and
    ``patient`` where the archive lists a known study under another patient.
    """

    kind: str
    study_instance_uid: str
    arrived_at: datetime
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    sender: str = ""


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """Changes after a cursor; store ``cursor`` durably, then ask again with it."""

    changes: tuple[Change, ...]
    cursor: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What the archive said of one instance: stored, duplicate, warning or failed."""

    sop_instance_uid: str
    status: str
    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AssociationClosed:
    """What one DIMSE association brought of one study; a hint that a sender has finished.

    Parameters
    ----------
    ended_normally : the sender released it; an abort or a lost line is no such word.
    series_counts : Series Instance UID -> instances that came in it.
    """

    sender: str
    ended_normally: bool
    closed_at: datetime
    series_counts: Mapping[str, int]


class Pacs(Protocol):
    """One picture archive.

    ``name`` is the configured name.  ``capabilities`` is a subset of {"search",
    "retrieve", "store", "changes", "instance_changes", "read_back", "commitment"}: a caller
    asks before it uses one.  "instance_changes" says that an instance which came again with
    another content is told as one that came.
    """

    name: str
    capabilities: frozenset[str]

    def check(self) -> str:
        """Return one line about the archive (software, version); raise when unusable."""
        ...

    def changes(self, cursor: str | None, limit: int = 1000) -> ChangeBatch:
        """Return what happened after ``cursor``; None starts at the beginning."""
        ...

    def search_studies(self, **keys: str) -> tuple[str, ...]:
        """Return Study Instance UIDs that match DICOM keywords exactly."""
        ...

    def search_series(self, study_instance_uid: str) -> tuple[SeriesSummary, ...]:
        """Return the series of a study; empty when the study is not there."""
        ...

    def search_instances(
        self, study_instance_uid: str, series_instance_uid: str
    ) -> tuple[InstanceReference, ...]:
        """Return the instances of a series."""
        ...

    def retrieve_series(self, study_instance_uid: str, series_instance_uid: str) -> Iterator[bytes]:
        """Yield each instance of a series as Part 10 bytes."""
        ...

    def retrieve_instance(self, reference: InstanceReference) -> bytes:
        """Return one instance as Part 10 bytes; NotFoundError when absent."""
        ...

    def store(self, study_instance_uid: str, files: Sequence[bytes]) -> tuple[StoreOutcome, ...]:
        """Store Part 10 files of one study; one outcome for each, in order."""
        ...
