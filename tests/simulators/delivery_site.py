"""A site's delivery with a clock that tests turn, and an archive that goes wrong.

`delivery_site` has a real site database, a real outbox with small DICOM objects, and
`ShakyPacs`: the embedded folder archive behind the `Pacs` port, which is away, forgets,
refuses or kills the process when told.

Read next: `fhir_run.py`, whose run it delivers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
)

from adapters.database import Database
from adapters.delivery import SiteDelivery
from adapters.folder import FolderPacs
from adapters.pacs import InstanceReference, StoreOutcome
from adapters.rt.digest import content_digest
from audit.errors import AuthenticationError, UnavailableError
from plugins.host.identity import uid_for
from plugins.host.ports import Delivered, Document, RunRequest


class Killed(BaseException):
    """The process ended here, as far as the code can tell."""


class Clock:
    """A clock that stands still until a test turns it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 6, 17, 0, tzinfo=UTC)  # a Friday afternoon

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **step: float) -> None:
        """Turn the clock on."""
        self.now += timedelta(**step)


@dataclass
class ShakyPacs:
    """A folder archive that does what it is told.

    Parameters
    ----------
    away : nobody answers.
    credentials : False refuses them.
    forget : SOP Instance UIDs that are answered as stored and are not.
    change : SOP Instance UIDs that come back with other content.
    codes : SOP Instance UID -> status of its store.
    kill : "before store", "after store" or "read back": where the process ends.
    """

    folder: FolderPacs
    away: bool = False
    credentials: bool = True
    forget: set[str] = field(default_factory=set)
    change: set[str] = field(default_factory=set)
    codes: dict[str, int] = field(default_factory=dict)
    kill: str = ""
    calls: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    name: str = "shaky"
    capabilities: frozenset[str] = frozenset({"search", "retrieve", "store", "read_back"})

    def store(self, study_instance_uid: str, files: Sequence[bytes]) -> tuple[StoreOutcome, ...]:
        """Store files, or fail as told."""
        self._meet("store")
        self._die("before store")
        outcomes = []
        for data in files:
            uid = str(dcmread(BytesIO(data), stop_before_pixels=True).SOPInstanceUID)
            if uid in self.codes:
                outcomes.append(StoreOutcome(uid, "failed", self.codes[uid]))
            elif uid in self.forget:
                outcomes.append(StoreOutcome(uid, "stored"))
            else:
                self.stored.append(uid)
                outcomes.extend(self.folder.store(study_instance_uid, [data]))
        self._die("after store")
        return tuple(outcomes)

    def retrieve_instance(self, reference: InstanceReference) -> bytes:
        """Return an instance, or fail as told."""
        self._meet("retrieve")
        self._die("read back")
        data = self.folder.retrieve_instance(reference)
        if reference.sop_instance_uid in self.change:
            return b"\0" * 128 + b"DICM" + b"damaged"
        return data

    def instances(self) -> list[str]:
        """Return the SOP Instance UIDs that are there."""
        return sorted(
            item.sop_instance_uid
            for study in self.folder.search_studies()
            for series in self.folder.search_series(study)
            for item in self.folder.search_instances(study, series.series_instance_uid)
        )

    def _meet(self, call: str) -> None:
        self.calls.append(call)
        if self.away:
            raise UnavailableError("expected an answer of the archive, found none")
        if not self.credentials:
            raise AuthenticationError("expected to be let in, found status 401")

    def _die(self, where: str) -> None:
        if self.kill == where:
            self.kill = ""
            raise Killed(where)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.folder, name)


@dataclass
class DeliverySite:
    """A site database, a clock, an outbox, and the runs that tests deliver."""

    root: Path
    database: Database
    clock: Clock
    request: RunRequest
    recorded: list[str] = field(default_factory=list)

    def delivery(self, *targets: Any, **options: Any) -> SiteDelivery:
        """Return the delivery of a process that has just started."""
        options.setdefault("require_recorded", self.recorded.append)
        return SiteDelivery(self.database, targets, now=self.clock, **options)

    def shaky(self, name: str = "shaky") -> ShakyPacs:
        """Return an empty archive."""
        return ShakyPacs(FolderPacs(name, self.root / name), name=name)

    def run(
        self, number: int = 1, mode: str = "research"
    ) -> tuple[RunRequest, tuple[Document, ...]]:
        """Return a run and its documents in the outbox."""
        run_id = hashlib.sha256(f"{self.root} {number}".encode()).hexdigest()[:32]
        request = replace(self.request, run_id=run_id, mode=mode)
        outbox = self.root / "outbox" / run_id
        outbox.mkdir(parents=True, exist_ok=True)
        structure = _written(outbox / "rtstruct.dcm", "RTSTRUCT", request)
        capture = _written(outbox / "sc.dcm", "SC", request)
        return request, (structure, capture)

    def until_final(
        self, delivery: SiteDelivery, request: RunRequest, documents: tuple[Document, ...]
    ) -> tuple[Delivered, ...]:
        """Deliver as the engine does, turning the clock to each next attempt."""
        for _ in range(60):
            states = delivery.deliver(request, documents)
            due = [item.next_attempt_at for item in states if item.next_attempt_at]
            if not due:
                return states
            self.clock.now = max(self.clock.now, *due)
        raise AssertionError(f"expected the run to end, found {states}")


@pytest.fixture
def delivery_site(tmp_path: Path, made_run: Any) -> Iterator[DeliverySite]:
    """A fresh site."""
    database = Database(f"sqlite:///{tmp_path / 'site.db'}")
    database.upgrade()
    yield DeliverySite(tmp_path, database, Clock(), made_run.request)
    database.close()


def _written(path: Path, kind: str, request: RunRequest) -> Document:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.StudyInstanceUID = request.study_instance_uid
    dataset.SeriesInstanceUID = uid_for(request.run_id, kind, "series")
    dataset.SOPInstanceUID = uid_for(request.run_id, kind, "instance")
    dataset.PatientID, dataset.Modality = "PAT-4711", "RTSTRUCT" if kind == "RTSTRUCT" else "OT"
    dataset.SOPClassUID = RTStructureSetStorage
    if kind == "RTSTRUCT":
        dataset.StructureSetLabel, dataset.StructureSetROISequence = "GTVp", []
    else:
        dataset.SOPClassUID = SecondaryCaptureImageStorage
        dataset.Rows = dataset.Columns = 4
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        dataset.PixelData = np.arange(16, dtype=np.uint8).tobytes()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dcmwrite(path, dataset, enforce_file_format=True)
    return Document(
        kind,
        path,
        content_digest(dcmread(path)),
        str(dataset.SOPClassUID),
        str(dataset.SOPInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.StudyInstanceUID),
        file_digest=f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
    )
