"""Bring the case of a run: from a PACS, or from a folder of files.

Both fulfil `plugins.host.ports.CaseSource` and also give the headers that the writers
inherit from (`sources`).  The last few cases stay decoded, so that the steps after
inference do not read them again.

Read next: `rt/read_case.py`, how files become a case.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from pydicom import Dataset

from adapters.pacs import InstanceReference, Pacs
from adapters.rt.read_case import LoadedCase, read_case
from adapters.rt.read_checks import DEFAULT_LIMIT_BYTES
from adapters.rt.read_facts import merge_subject
from adapters.rt.read_folder import FolderScan
from adapters.rt.read_part10 import Source, read_identity, read_instance
from adapters.rt.read_series import read_headers
from adapters.rt.sources import SourceSeries
from adapters.single_headers import headers_in_archive, headers_in_folder
from audit.errors import DiskFullError, InputError, NotFoundError, TooLargeError
from plugins.host.case import Case, Subject
from plugins.host.manifest import Manifest
from plugins.host.ports import RunRequest

DEFAULT_RESERVE_BYTES = 1 << 30
DEFAULT_CAPACITY = 2
SUBJECT_KEYWORDS = ("PatientAge", "PatientSex", "PatientWeight")
SUBJECT_LOOKUPS = 8


class LoadedCases:
    """Keep the last decoded cases by run id; safe for several threads."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._capacity = capacity
        self._cases: OrderedDict[str, LoadedCase] = OrderedDict()
        self._lock = Lock()

    def get(self, run_id: str) -> LoadedCase | None:
        """Return a case that is kept, or None."""
        with self._lock:
            known = self._cases.get(run_id)
            if known is not None:
                self._cases.move_to_end(run_id)
            return known

    def put(self, run_id: str, loaded: LoadedCase) -> LoadedCase:
        """Keep a case and let the least recently used one go."""
        with self._lock:
            self._cases[run_id] = loaded
            self._cases.move_to_end(run_id)
            while len(self._cases) > self._capacity:
                self._cases.popitem(last=False)
        return loaded

    def forget(self, run_id: str) -> None:
        """Let a case go; nothing happens where it is not kept."""
        with self._lock:
            self._cases.pop(run_id, None)


class FolderCaseSource:
    """Cases from the files that `scan_folder` found."""

    def __init__(
        self,
        scan: FolderScan,
        *,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        capacity: int = DEFAULT_CAPACITY,
    ) -> None:
        self._scan = scan
        self._limit = limit_bytes
        self._kept = LoadedCases(capacity)

    def fetch(self, request: RunRequest, manifest: Manifest) -> Case:
        """Return the decoded case; raises InputError and its kinds."""
        kept = self._kept.get(request.run_id)
        return (kept or self._kept.put(request.run_id, self._load(request, manifest))).case

    def sources(self, request: RunRequest) -> Mapping[str, SourceSeries]:
        """Return the headers of every role.

        Those of a kept case are without optional inputs that were left out; of one that is
        not kept the headers are read again, without pixels, for every role of the request.
        """
        kept = self._kept.get(request.run_id)
        if kept is not None:
            return kept.sources
        return {
            role: read_headers(files, limit_bytes=self._limit)
            for role, files in self._files(request).items()
        }

    def headers(self, request: RunRequest) -> Mapping[str, SourceSeries]:
        """Return what a refusal inherits from: the kept headers, else one of each series."""
        kept = self._kept.get(request.run_id)
        return kept.sources if kept is not None else headers_in_folder(self._scan.files, request)

    def forget(self, run_id: str) -> None:
        """Let a decoded case go, when its run is closed."""
        self._kept.forget(run_id)

    def _load(self, request: RunRequest, manifest: Manifest) -> LoadedCase:
        files = {request.series[role]: found for role, found in self._files(request).items()}
        others = [
            read_instance(self._scan.files[series.series_instance_uid][0]).dataset
            for study in self._scan.studies
            if study.study_instance_uid == request.study_instance_uid
            for series in study.series
            if series.series_instance_uid not in files
        ]
        return read_case(request, manifest, files, others=others, limit_bytes=self._limit)

    def _files(self, request: RunRequest) -> dict[str, tuple[Path, ...]]:
        """Return the files of every role."""
        files: dict[str, tuple[Path, ...]] = {}
        for role, uid in request.series.items():
            if uid not in self._scan.files:
                raise InputError(f"expected the series of role {role} in the folder, found none")
            files[role] = self._scan.files[uid]
        return files


class PacsCaseSource:
    """Cases from a PACS, through a staging folder that is emptied after decoding.

    Parameters
    ----------
    staging : folder in the home; a run's files stand under its run id while it is read.
    limit_bytes : most bytes of one run on disk, and most stored pixel bytes of a series.
    reserve_bytes : free space that is always left on the disk.
    """

    def __init__(
        self,
        pacs: Pacs,
        staging: Path,
        *,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        reserve_bytes: int = DEFAULT_RESERVE_BYTES,
        capacity: int = DEFAULT_CAPACITY,
    ) -> None:
        self._pacs = pacs
        self._staging = staging
        self._limit = limit_bytes
        self._reserve = reserve_bytes
        self._kept = LoadedCases(capacity)

    def fetch(self, request: RunRequest, manifest: Manifest) -> Case:
        """Return the decoded case.

        Raises
        ------
        InputError : and its kinds; TooLargeError before more than the limit is on disk.
        DiskFullError : less than the reserve would be left.
        UnavailableError : the PACS is away.
        """
        kept = self._kept.get(request.run_id)
        return (kept or self._kept.put(request.run_id, self._load(request, manifest))).case

    def sources(self, request: RunRequest) -> Mapping[str, SourceSeries]:
        """Return the headers of every role.

        Those of a kept case are without optional inputs that were left out; of one that is
        not kept the headers are read again, without pixels, for every role of the request.
        """
        kept = self._kept.get(request.run_id)
        if kept is not None:
            return kept.sources
        with self._staged(request) as files:
            return {
                role: read_headers(files[uid], limit_bytes=self._limit)
                for role, uid in request.series.items()
            }

    def headers(self, request: RunRequest) -> Mapping[str, SourceSeries]:
        """Return what a refusal inherits from: the kept headers, else one of each series."""
        kept = self._kept.get(request.run_id)
        return kept.sources if kept is not None else headers_in_archive(self._pacs, request)

    def forget(self, run_id: str) -> None:
        """Let a decoded case go, when its run is closed."""
        self._kept.forget(run_id)

    def _load(self, request: RunRequest, manifest: Manifest) -> LoadedCase:
        with self._staged(request) as files:
            own = merge_subject(
                [read_instance(items[0]).dataset for items in files.values() if items]
            )
            tags, others = self._subject_of_others(request, own)
            return read_case(
                request, manifest, files, others=others, other_tags=tags, limit_bytes=self._limit
            )

    @contextmanager
    def _staged(self, request: RunRequest) -> Iterator[dict[str, Sequence[Source]]]:
        """Give the retrieved files by Series Instance UID, and remove them afterwards."""
        place = self._staging / request.run_id
        place.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="input-", dir=place))
        try:
            yield self._retrieve(request, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _retrieve(self, request: RunRequest, folder: Path) -> dict[str, Sequence[Source]]:
        """Write every series of the request below ``folder`` and return the files."""
        files: dict[str, Sequence[Source]] = {}
        total = 0
        for number, uid in enumerate(sorted(set(request.series.values()))):
            place = folder / str(number)
            paths: list[Path] = []
            for content in self._pacs.retrieve_series(request.study_instance_uid, uid):
                total += len(content)
                self._check_room(len(content), total)
                paths.append(_write(place / f"{len(paths):06d}.dcm", content))
            files[uid] = paths
        return files

    def _check_room(self, size: int, total: int) -> None:
        if total > self._limit:
            raise TooLargeError(
                f"expected at most {self._limit / 2**20:.0f} MiB for one run, found more"
            )
        free = shutil.disk_usage(self._staging).free
        if free - size < self._reserve:
            raise DiskFullError(
                f"expected {self._reserve / 2**20:.0f} MiB to stay free in the staging folder, "
                f"found {free / 2**20:.0f} MiB"
            )

    def _subject_of_others(
        self, request: RunRequest, own: Subject
    ) -> tuple[list[Mapping[str, str]], list[Dataset]]:
        """Return what search results say of the study's other series, and headers of some.

        Age, sex and weight often stand in one series only; where one is missing, at most
        a few other series are asked for one instance each.
        """
        if "search" not in self._pacs.capabilities:
            return [], []
        summaries = [
            item
            for item in self._pacs.search_series(request.study_instance_uid)
            if item.series_instance_uid not in set(request.series.values())
        ]
        tags = [item.tags for item in summaries]
        if None not in (own.age_years, own.sex, own.weight_kg):
            return tags, []
        silent = [
            item for item in summaries if not all(item.tags.get(key) for key in SUBJECT_KEYWORDS)
        ]
        headers = []
        for item in silent[:SUBJECT_LOOKUPS]:
            found = self._pacs.search_instances(
                request.study_instance_uid, item.series_instance_uid
            )
            if found:
                headers.append(self._header(found[0]))
        return tags, [item for item in headers if item.get("StudyInstanceUID")]

    def _header(self, reference: InstanceReference) -> Dataset:
        """Return a header for the patient's facts; an empty one where it cannot be had."""
        try:
            content = self._pacs.retrieve_instance(reference)
        except NotFoundError:
            return Dataset()
        try:
            return read_instance(content).dataset
        except InputError:
            return read_identity(content)


def _write(path: Path, content: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                "expected room for a retrieved object, found the disk full"
            ) from error
        raise
    return path
