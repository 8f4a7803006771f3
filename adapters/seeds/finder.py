"""Look for the seed point that a refused study waits for, and run the study again with it.

    refused for want of a seed → archive or server tell of something new → points in the
    frame of reference of the images → one: run again, in place of the refusal
                                     → several: nobody guesses, a person is asked

The suite's own objects never count, a point that was tried is not tried again, and who or
what gave the point is recorded with the run; so is a point that was meant and cannot be
used.  Everything follows from what lies in the archive and on the server, so a crash
anywhere only means another look.

Read next: `adapters/refusal_watch.py` (when), `adapters/engine/serving.py` (who calls `look`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from adapters.config_sections import SeedsSection
from adapters.database import Database, Transaction
from adapters.database.journal import SiteJournal
from adapters.database.runs import RunRow
from adapters.engine.notices import Notices
from adapters.fhir.client import FhirClient
from adapters.pacs import Pacs
from adapters.refusal_watch import RefusalWatch, foreign_objects
from adapters.seeds.in_dicom import MODALITIES, seeds_in
from adapters.seeds.in_fhir import search_seeds
from adapters.seeds.points import OTHER_FRAME, Seed, Unusable, distinct
from adapters.successors import seeded
from audit.pseudonym import Pseudonyms
from plugins.host.ports import RunRequest

CODES = ("SEED_",)
"""Beginnings of the reasons that a seed point would lift."""
AMBIGUOUS, UNUSABLE = "SEED_AMBIGUOUS", "SEED_UNUSABLE"
_ADVICE = {
    AMBIGUOUS: "Leave one seed point, or mark it on the page of the run.",
    UNUSABLE: "Correct the seed where it was left; docs/seed-points.md has its shape.",
}


@dataclass(frozen=True, slots=True)
class SeedFinder:
    """Watches the refusals of one site that a seed point would lift.

    Parameters
    ----------
    archives : those whose studies trigger runs.
    server : the FHIR server that is asked; None where the site names none.
    pseudonyms : names frames of reference as the record of the input does.
    """

    watch: RefusalWatch
    database: Database
    journal: SiteJournal
    archives: Mapping[str, Pacs]
    server: FhirClient | None
    settings: SeedsSection
    notices: Notices
    pseudonyms: Pseudonyms
    now: Callable[[], datetime]

    def look(self) -> tuple[str, ...]:
        """Look wherever something is new; return the ids of the runs that were queued."""
        return self.watch.look(self._look_for)

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
        study = row.study_instance_uid
        objects = foreign_objects(self.database, self.archives[row.pacs], study, MODALITIES)
        return [seed for data in objects for seed in seeds_in(data, self.settings.names, study)]

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
