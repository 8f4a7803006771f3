"""Look for the prescription that a refused study waits for, and run the study again with it.

    refused for want of a prescription → archive or server tell of something new → what all
    sources state → they agree: run again, in place of the refusal
                  → they contradict each other, or one cannot be used: a person is asked

Only releases whose manifest asks for a prescription are looked after.  The suite's own
objects never count, a prescription that was tried is not tried again, and who stated it, in
which object, is recorded with the run; so is what was meant and could not be used.

Read next: `adapters/refusal_watch.py` (when), `sources.py` (where), `statements.py` (which).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from adapters.database import Database, Transaction
from adapters.database.journal import SiteJournal
from adapters.database.runs import RunRow
from adapters.engine.notices import Notices
from adapters.pacs import Pacs
from adapters.prescriptions.sources import PrescriptionSources
from adapters.prescriptions.statements import CONTRADICTION, UNUSABLE, Choice
from adapters.refusal_watch import RefusalWatch
from adapters.registry import ReleaseRegistry
from adapters.successors import prescribed

CODES = ("PRESCRIPTION_", "TARGET_")
"""Beginnings of the reasons that a prescription, or another one, would lift."""
FAULTS = (CONTRADICTION, UNUSABLE)
REQUESTED_BY = "service:prescription"


@dataclass(frozen=True, slots=True)
class PrescriptionFinder:
    """Watches the refusals of one site that a prescription would lift.

    Parameters
    ----------
    archives : those whose studies trigger runs.
    """

    watch: RefusalWatch
    sources: PrescriptionSources
    database: Database
    journal: SiteJournal
    archives: Mapping[str, Pacs]
    notices: Notices
    releases: ReleaseRegistry
    now: Callable[[], datetime]

    def look(self) -> tuple[str, ...]:
        """Look wherever something is new; return the ids of the runs that were queued."""
        return self.watch.look(self._look_for)

    def _look_for(self, row: RunRow) -> list[str]:
        if not self.releases.manifest(row.release_digest).envelope.prescription_required:
            return []
        choice = self.sources.of_study(self.archives[row.pacs], row.study_instance_uid)
        queued, told = self.database.run(lambda transaction: self._settle(transaction, row, choice))
        if told:
            self.notices.tell("prescription needed", row.request, choice.fault, _advice(choice))
        return queued

    def _settle(
        self, transaction: Transaction, row: RunRow, choice: Choice
    ) -> tuple[list[str], bool]:
        """Queue the run of a prescription that was not tried; else say what is wrong, once.

        Returns
        -------
        the runs that were queued, and whether somebody is to be told of a fault.
        """
        current = transaction.run(row.run_id, lock=True)
        if current is None or current.status != "refused" or current.superseded_by is not None:
            return [], False
        for fault in FAULTS:
            if fault != choice.fault:
                transaction.drop_mark(row.run_id, fault)
        if choice.fault:
            is_new = transaction.put_mark(row.run_id, choice.fault, self.now())
            if is_new:
                self.journal.prescription_refused(transaction, row.request, choice)
            return [], is_new
        if choice.prescription is None or choice.statement is None:
            return [], False
        request = prescribed(row.request, choice.prescription, REQUESTED_BY, self.now())
        if transaction.run(request.run_id) is not None:
            return [], False  # it was tried
        transaction.add_run(request, row.pacs)
        self.journal.prescription_taken(transaction, request, choice.statement)
        return [request.run_id], False


def _advice(choice: Choice) -> str:
    """Name the sources that a fault is about; no object and no patient."""
    sources = " and ".join(source for source, _ in choice.named)
    if choice.fault == CONTRADICTION:
        return f"Settle it where they were written: {sources} state different prescriptions."
    return f"Correct it where it was left ({sources}); docs/prescriptions.md has the shapes."
