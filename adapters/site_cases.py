"""The case of a run from the archive that the run came from; and whose study it is.

Fulfils `plugins.host.ports.CaseSource` for a site with several archives.  The patient's
number is read here once, for the vault (so that records carry a pseudonym that can be
erased) and for the FHIR identity; it goes nowhere else.  When the archive has moved the
study to another patient since, the log says so.

Read next: `case_source.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.case_source import FolderCaseSource, PacsCaseSource
from adapters.config_sections import LimitsSection
from adapters.database import Database
from adapters.database.journal import SiteJournal
from adapters.pacs import Pacs
from adapters.rt.read_folder import FolderScan
from adapters.rt.sources import SourceSeries
from audit.errors import NotFoundError
from audit.kinds import NOT_EVALUATED
from audit.pseudonym import Pseudonyms
from plugins.host.case import Case
from plugins.host.manifest import Manifest
from plugins.host.ports import RunRequest

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class SiteCases:
    """Cases of one site's runs; ``scans`` are folders read by hand, by the name of their runs."""

    database: Database
    archives: Mapping[str, Pacs]
    staging: Path
    limits: LimitsSection
    pseudonyms: Pseudonyms
    journal: SiteJournal
    scans: Mapping[str, FolderScan] = field(default_factory=dict)
    _sources: dict[str, PacsCaseSource | FolderCaseSource] = field(default_factory=dict)

    def fetch(self, request: RunRequest, manifest: Manifest) -> Case:
        """Return the decoded case; what `PacsCaseSource.fetch` raises."""
        source = self._source(request)
        case = source.fetch(request, manifest)
        header = next(iter(source.sources(request).values())).first
        study = request.study_instance_uid
        before = self.pseudonyms.subject(study)
        now = self.pseudonyms.enrol(
            study,
            str(header.get("PatientID", "") or ""),
            str(header.get("IssuerOfPatientID", "") or ""),
        )
        if before not in (now, NOT_EVALUATED):
            with self.database.transaction() as transaction:
                self.journal.study_event(
                    transaction, "patient-merged", study, run_id=request.run_id
                )
        return case

    def sources(self, request: RunRequest) -> Mapping[str, SourceSeries]:
        """Return the headers of every role; fetched again after a crash."""
        return self._source(request).sources(request)

    def headers(self, request: RunRequest) -> Mapping[str, SourceSeries]:
        """Return what the objects of a refusal inherit from."""
        return self._source(request).headers(request)

    def forget(self, run_id: str) -> None:
        """Let a decoded case go, when its run is closed."""
        for source in self._sources.values():
            source.forget(run_id)

    def _source(self, request: RunRequest) -> PacsCaseSource | FolderCaseSource:
        with self.database.reading() as transaction:
            row = transaction.run(request.run_id)
        name = row.pacs if row is not None else ""
        if name not in self._sources:
            self._sources[name] = self._open(name)
        return self._sources[name]

    def _open(self, name: str) -> PacsCaseSource | FolderCaseSource:
        limit = self.limits.input_mb * MEBIBYTE
        if name in self.scans:
            return FolderCaseSource(self.scans[name], limit_bytes=limit)
        if name not in self.archives:
            raise NotFoundError(f"expected archive {name!r} of the run to be configured")
        return PacsCaseSource(
            self.archives[name],
            self.staging,
            limit_bytes=limit,
            reserve_bytes=self.limits.free_space_mb * MEBIBYTE,
        )
