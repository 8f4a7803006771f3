"""All places of one site where a prescription may lie, asked together for one study.

Read next: `finder.py` (later), `adapters/engine/feed.py` and `adapters/hand.py` (at first).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from adapters.config_sections import PrescriptionsSection
from adapters.database import Database
from adapters.fhir.client import FhirClient
from adapters.pacs import Pacs
from adapters.prescriptions.in_dicom import MODALITIES, statement_in
from adapters.prescriptions.in_fhir import search_prescriptions
from adapters.prescriptions.protocols import Protocol
from adapters.prescriptions.statements import Choice, Statement, Unusable, choose
from adapters.refusal_watch import foreign_objects
from audit.errors import SuiteError
from audit.pseudonym import short
from plugins.host.facts import StudyFacts
from plugins.host.manifest import Manifest

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PrescriptionSources:
    """Where a site looks for prescriptions.

    Parameters
    ----------
    server : the FHIR server that is asked; None where the site names none.
    protocols : of the site, all of them.
    for_research : results are for research, so plans of intent RESEARCH count.
    """

    database: Database
    server: FhirClient | None
    protocols: Sequence[Protocol]
    settings: PrescriptionsSection
    for_research: bool

    def asked_by(
        self, manifests: Iterable[Manifest], pacs: Pacs, study_instance_uid: str
    ) -> Choice:
        """Return what is stated for a study that is routed now, where one of the releases asks.

        Where a source is away it is nothing: the run then says so, and is looked after.
        """
        if not any(item.envelope.prescription_required for item in manifests):
            return Choice()
        try:
            return self.of_study(pacs, study_instance_uid)
        except SuiteError as error:  # a server that is away must not hold up the study
            name = short(study_instance_uid)
            _log.warning("prescription not looked for", study=name, code=error.code)
            return Choice()

    def of_study(self, pacs: Pacs, study_instance_uid: str) -> Choice:
        """Return what a study's objects, the server and the protocols come to.

        Raises
        ------
        DoorError : archive or server are away; nobody knows what they would have said.
        """
        found: list[Statement | Unusable] = []
        if self.settings.dicom:
            objects = foreign_objects(self.database, pacs, study_instance_uid, MODALITIES)
            found += _stated(objects, study_instance_uid, self.for_research)
        if self.server is not None:
            found += search_prescriptions(self.server, study_instance_uid)
        return self._chosen(found, [s.tags for s in pacs.search_series(study_instance_uid)])

    def of_files(self, facts: StudyFacts, files: Mapping[str, Sequence[Path]]) -> Choice:
        """Return what the files of a study and the protocols come to, for research.

        No server is asked.

        Parameters
        ----------
        files : Series Instance UID -> files.
        """
        objects = (
            path.read_bytes()
            for series in facts.series
            if series.modality in MODALITIES and self.settings.dicom
            for path in files.get(series.series_instance_uid, ())
        )
        found = _stated(objects, facts.study_instance_uid, for_research=True)
        return self._chosen(found, [{**facts.tags, **series.tags} for series in facts.series])

    def _chosen(
        self, found: Sequence[Statement | Unusable], tags: Sequence[Mapping[str, str]]
    ) -> Choice:
        return choose(found, self.protocols, [p for p in self.protocols if p.applies(tags)])


def _stated(objects: Iterable[bytes], study: str, for_research: bool) -> list[Statement | Unusable]:
    stated = (statement_in(item, study, for_research=for_research) for item in objects)
    return [item for item in stated if item is not None]
