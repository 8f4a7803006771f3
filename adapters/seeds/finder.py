"""Look for the seed point that a refused study waits for, and run the study again with it.

    refused for want of a seed → archive or server tell of something new → points in the
    frame of reference of the images → one: run again, in place of the refusal
                                     → several: nobody guesses, a person is asked

The suite's own objects never count, a point that was tried is not tried again, and who or
what gave the point is recorded with the run; so is a point that was meant and cannot be
used.  Everything follows from what lies in the archive and on the server, so a crash
anywhere only means another look.

A study of which something came is looked at at once, others ever more rarely: each poll
interval in the first hour of waiting, 24 times as rarely after a day.

Read next: `adapters/engine/serving.py`, whose table calls `look`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from adapters.config_sections import SeedsSection
from adapters.database import Database, Transaction
from adapters.database.journal import SiteJournal
from adapters.database.runs import RunRow
from adapters.engine.notices import Notices
from adapters.fhir.client import FhirClient
from adapters.pacs import Pacs
from adapters.registry import ReleaseRegistry
from adapters.seeds.in_dicom import MODALITIES, seeds_in
from adapters.seeds.in_fhir import search_seeds
from adapters.seeds.points import OTHER_FRAME, Seed, Unusable, distinct
from adapters.successors import seeded
from audit.errors import NotFoundError, SuiteError
from audit.pseudonym import Pseudonyms
from plugins.host.ports import RunRequest

AMBIGUOUS, UNUSABLE = "SEED_AMBIGUOUS", "SEED_UNUSABLE"
OBJECTS_LIMIT = 64
"""Most objects of one study that are looked into; a study with more is no place for a seed."""
_ADVICE = {
    AMBIGUOUS: "Leave one seed point, or mark it on the page of the run.",
    UNUSABLE: "Correct the seed where it was left; docs/seed-points.md has its shape.",
}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SeedFinder:
    """Watches the refusals of one site that a seed point would lift.

    Parameters
    ----------
    archives : those whose studies trigger runs.
    server : the FHIR server that is asked; None where the site names none.
    pseudonyms : names frames of reference as the record of the input does.
    """

    database: Database
    journal: SiteJournal
    archives: Mapping[str, Pacs]
    server: FhirClient | None
    settings: SeedsSection
    notices: Notices
    releases: ReleaseRegistry
    pseudonyms: Pseudonyms
    now: Callable[[], datetime]
    _looked: dict[str, tuple[object, datetime]] = field(default_factory=dict)

    def look(self) -> tuple[str, ...]:
        """Look wherever something is new; return the ids of the runs that were queued."""
        queued: list[str] = []
        since = self.now() - timedelta(days=self.settings.patience_days)
        with self.database.reading() as transaction:
            waiting = transaction.waiting_for_seed(since)
        for run_id in self._looked.keys() - {item[0] for item in waiting}:
            del self._looked[run_id]
        for run_id, opened_at, seen in waiting:
            if not self._is_due(run_id, opened_at, seen):
                continue
            try:
                row = self._answerable(run_id)
                queued += [] if row is None else self._look_for(row)
            except SuiteError as error:  # one archive or server must not hold up the others
                _log.warning("seed not looked for", run_id=run_id, code=error.code)
            self._looked[run_id] = (seen, self.now())
        return tuple(queued)

    def _answerable(self, run_id: str) -> RunRow | None:
        """Return a refusal that could run again now; None where its release or archive could not,
        or where a run in its place is at work."""
        with self.database.reading() as transaction:
            row = transaction.run(run_id)
            if row is None or row.pacs not in self.archives or transaction.has_open_successor(row):
                return None
            return row if self.releases.may_run(transaction, row.request) else None

    def _is_due(self, run_id: str, opened_at: datetime, seen: object) -> bool:
        before, looked_at = self._looked.get(run_id, (None, None))
        if looked_at is None or before != seen:
            return True
        waited_h = (self.now() - opened_at).total_seconds() / 3600
        age_s = (self.now() - looked_at).total_seconds()
        return age_s >= self.settings.poll_interval_s * max(1.0, waited_h)

    def _look_for(self, row: RunRow) -> list[str]:
        found: list[Seed | Unusable] = []
        if self.settings.dicom:
            found += self._in_archive(row)
        if self.server is not None:
            found += search_seeds(self.server, row.study_instance_uid)
        frames = set(row.facts.get("input", {}).get("frame_of_ref_uid_p", ()))
        seeds, unusable = [], []
        for item in found:
            if isinstance(item, Unusable):
                unusable.append(item)
            elif self._frame(row, item) in frames:
                seeds.append(item)
            else:  # meant for this study, so somebody is told
                unusable.append(Unusable(item.object_id, OTHER_FRAME))
        if not seeds and not unusable and not self._marks(row.run_id):
            return []
        queued, told = self.database.run(
            lambda transaction: self._settle(transaction, row, distinct(seeds), unusable)
        )
        for code in told:
            self.notices.tell("seed point needed", row.request, code, _ADVICE[code])
        return queued

    def _marks(self, run_id: str) -> tuple[str, ...]:
        with self.database.reading() as transaction:
            return transaction.marks(run_id)

    def _frame(self, row: RunRow, seed: Seed) -> str:
        return self.pseudonyms.uid(row.study_instance_uid, seed.frame_of_reference_uid)

    def _in_archive(self, row: RunRow) -> list[Seed | Unusable]:
        """Return the seeds in the reports and structure sets of the study that are not ours."""
        pacs, study = self.archives[row.pacs], row.study_instance_uid
        references = [
            reference
            for series in pacs.search_series(study)
            if series.modality in MODALITIES
            for reference in pacs.search_instances(study, series.series_instance_uid)
        ]
        with self.database.reading() as transaction:
            ours = transaction.own_sop_uids(item.sop_instance_uid for item in references)
        others = [item for item in references if item.sop_instance_uid not in ours]
        seeds: list[Seed | Unusable] = []
        for reference in others[:OBJECTS_LIMIT]:
            try:
                data = pacs.retrieve_instance(reference)
            except NotFoundError:  # gone since the search
                continue
            seeds += seeds_in(data, self.settings.names, study)
        return seeds

    def _settle(
        self,
        transaction: Transaction,
        row: RunRow,
        seeds: tuple[Seed, ...],
        unusable: list[Unusable],
    ) -> tuple[list[str], list[str]]:
        """Queue the run of the one seed that was not tried; else say what is wrong, once.

        Returns
        -------
        the runs that were queued, and the codes that somebody is told of.
        """
        current = transaction.run(row.run_id, lock=True)
        if current is None or current.status != "refused" or current.superseded_by is not None:
            return [], []
        requests = [(seed, self._request(row, seed)) for seed in seeds]
        fresh = [(s, r) for s, r in requests if transaction.run(r.run_id) is None]
        if len(fresh) == 1:
            (seed, request), *_ = fresh
            if transaction.add_run(request, row.pacs):
                self.journal.seed_taken(transaction, request, seed)
                for code in (AMBIGUOUS, UNUSABLE):
                    transaction.drop_mark(row.run_id, code)
                return [request.run_id], []
        told = []
        for code, count, reason in (
            (AMBIGUOUS, len(fresh) if len(fresh) > 1 else 0, AMBIGUOUS),
            (UNUSABLE, len(unusable), unusable[0].reason if unusable else ""),
        ):
            if not count:
                transaction.drop_mark(row.run_id, code)
            elif transaction.put_mark(row.run_id, code, self.now()):
                self.journal.seed_refused(transaction, row.request, reason, count)
                told.append(code)
        return [], told

    def _request(self, row: RunRow, seed: Seed) -> RunRequest:
        return seeded(
            row.request,
            seed.point_mm,
            f"service:seed-{seed.source}",
            self.now(),
            frame_of_reference_uid=seed.frame_of_reference_uid,
        )
