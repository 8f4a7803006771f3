"""Notice that the images behind an answer are others now, and run the study again.

    told: an instance of an answered run came again, the patient is another    (the feed)
    not told: an archive that names no instances is read again after a while   (here)
       → wait until nothing more comes → read the input once more, compare with the record
       → the same: the suspicion goes
       → other pixels, other geometry, another patient: one superseding run
       → other instances: the feed routes the study anew

A suspicion is a mark on the run, set in the transaction that notes the change, so a crash
anywhere only means another look.  Reading never changes what is on record of the earlier
run.

Decision, 2026-11-26: an input is read again and compared, events alone are not trusted: the
same study sent twice must change nothing, and a DICOMweb server tells of no replaced instance.

Read next: `successors.py`, `engine/feed.py`, whose marks these are.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from adapters.case_source import PacsCaseSource
from adapters.config_sections import LimitsSection, TriggerSection
from adapters.database import Database, Transaction
from adapters.database.journal import SiteJournal
from adapters.database.marks import CORRECTED, SUSPECT
from adapters.database.runs import ANSWERED, RunRow
from adapters.database.studies import StudyRow
from adapters.pacs import Pacs
from adapters.registry import ReleaseRegistry
from adapters.successors import revised
from audit.errors import InputError, SuiteError
from audit.kinds import NOT_EVALUATED
from audit.pseudonym import Pseudonyms
from plugins.host.identity import case_digest

STAGED = "reread-"
"""Opening of the names of folders in staging that hold what is read again."""
PAUSE = timedelta(minutes=1)
"""After an archive could not be asked."""
MEBIBYTE = 2**20
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What reading again told of a run's input.

    Parameters
    ----------
    same : it is what the record says.
    moved : the study is another patient's now.
    others : its series hold other instances now, so that routing decides.
    """

    same: bool
    moved: bool = False
    others: bool = False


@dataclass(frozen=True, slots=True)
class Corrections:
    """Watches the inputs of one site's answers.

    Parameters
    ----------
    archives : those whose studies trigger runs.
    """

    database: Database
    journal: SiteJournal
    archives: Mapping[str, Pacs]
    releases: ReleaseRegistry
    pseudonyms: Pseudonyms
    staging: Path
    limits: LimitsSection
    trigger: TriggerSection
    now: Callable[[], datetime]
    _not_before: dict[str, datetime] = field(default_factory=dict)

    def look(self) -> tuple[str, ...]:
        """Read again what is suspect or due; return the ids of the runs that were queued."""
        queued: list[str] = []
        for row, reread in self._due():
            try:
                queued += self._check(row, reread)
            except SuiteError as error:  # one archive must not hold up the others
                self._not_before[row.run_id] = self.now() + PAUSE
                _log.warning("input not read again", run_id=row.run_id, code=error.code)
        return tuple(queued)

    def _due(self) -> list[tuple[RunRow, int]]:
        """Return the standing answers to read again, each with how many turns that makes."""
        now = self.now()
        with self.database.reading() as transaction:
            due = [(row, 0) for row in transaction.runs_marked(SUSPECT)]
            for run_id, turns in self._to_reread(transaction, now):
                row = transaction.run(run_id)
                if row is not None and not transaction.has_open_successor(row):
                    due.append((row, turns))
        return [
            (row, turns)
            for row, turns in due
            if row.pacs in self.archives and self._not_before.get(row.run_id, now) <= now
        ]

    def _to_reread(self, transaction: Transaction, now: datetime) -> list[tuple[str, int]]:
        """Return the answers whose next turn has come, of archives that tell of no instance."""
        hours = sorted(self.trigger.reread_after_h)
        blind = {
            name
            for name, pacs in self.archives.items()
            if "changes" in pacs.capabilities and "instance_changes" not in pacs.capabilities
        }
        if not hours or not blind:
            return []
        since = now - timedelta(hours=hours[-1], days=1)
        ages = {
            run_id: (now - closed_at).total_seconds() / 3600
            for run_id, pacs, closed_at in transaction.answers_since(since)
            if pacs in blind
        }
        turns = {run_id: sum(age >= hour for hour in hours) for run_id, age in ages.items()}
        return [
            (run_id, turn)
            for run_id, turn in turns.items()
            if turn and turn > _turns(transaction, run_id)
        ]

    def _check(self, row: RunRow, turns: int) -> list[str]:
        self._not_before.pop(row.run_id, None)
        with self.database.reading() as transaction:
            study = transaction.study(row.pacs, row.study_instance_uid)
            own = transaction.own_series_uids(row.study_instance_uid)
        if study is None or not self._is_quiet(study):
            return []
        found = self._found(row, own)
        return self.database.run(lambda t: self._settle(t, row, study, found, turns))

    def _is_quiet(self, study: StudyRow) -> bool:
        """A correction comes instance by instance: half of one is no input."""
        quiet = self.trigger.quiet_time_by_sender_s.get(study.sender, self.trigger.quiet_time_s)
        waited_s = (self.now() - study.last_arrival_at).total_seconds()
        return study.state == "routed" and waited_s >= quiet

    def _found(self, row: RunRow, own: set[str]) -> Found:
        manifest = self.releases.manifest(row.release_digest)
        modalities = {item.modality for item in manifest.inputs if item.role in row.series}
        changed = self._instances_changed(row, own, modalities)
        if changed is not None:
            return changed
        request = replace(row.request, run_id=STAGED + row.run_id)
        source = PacsCaseSource(
            self.archives[row.pacs],
            self.staging,
            limit_bytes=self.limits.input_mb * MEBIBYTE,
            reserve_bytes=self.limits.free_space_mb * MEBIBYTE,
        )
        try:
            digest = case_digest(source.fetch(request, manifest))
            header = next(iter(source.sources(request).values())).first
        except InputError as error:
            return Found(same=row.input_digest is None and error.code in row.reason)
        finally:
            shutil.rmtree(self.staging / request.run_id, ignore_errors=True)
        number, issuer = (str(header.get(key) or "") for key in ("PatientID", "IssuerOfPatientID"))
        before = self.pseudonyms.subject(row.study_instance_uid)
        moved = before not in (NOT_EVALUATED, self.pseudonyms.patient(number, issuer))
        return Found(same=not moved and digest == row.input_digest, moved=moved)

    def _instances_changed(self, row: RunRow, own: set[str], modalities: set[str]) -> Found | None:
        """Return None while the input's instances are the recorded ones.

        Instances that only went change nothing: what was made of them stands.
        """
        pacs, study = self.archives[row.pacs], row.study_instance_uid
        known = set(row.sop_instance_uids)
        present: dict[str, set[str]] = {}
        for item in pacs.search_series(study):
            if item.modality in modalities and item.series_instance_uid not in own:
                found = pacs.search_instances(study, item.series_instance_uid)
                present[item.series_instance_uid] = {each.sop_instance_uid for each in found}
        everything = set().union(*present.values())
        chosen = set().union(*(present.get(uid, set()) for uid in row.series.values()))
        if known <= everything and chosen <= known:
            return None
        others = bool(everything - known)
        return Found(same=not others, others=others)

    def _settle(
        self, transaction: Transaction, row: RunRow, study: StudyRow, found: Found, turns: int
    ) -> list[str]:
        """Put on record what reading again told, unless something came meanwhile."""
        current = transaction.run(row.run_id, lock=True)
        if transaction.study(row.pacs, row.study_instance_uid) != study:
            return []  # read once more when that is quiet
        suspect = transaction.drop_mark(row.run_id, SUSPECT)
        if turns:
            transaction.set_cursor(_name(row.run_id), str(turns))
        if current is None or current.superseded_by is not None or current.status not in ANSWERED:
            return []
        if found.same:
            if suspect:
                self._tell(transaction, row, "resent-unchanged")
            return []
        self._tell(transaction, row, "patient-changed" if found.moved else "input-corrected")
        if found.others or not self.releases.may_run(transaction, row.request):
            transaction.set_study_state(row.pacs, row.study_instance_uid, "waiting")
            return []
        trigger = "patient-changed" if found.moved else "corrected"
        request = revised(row.request, trigger, "service:osteon", self.now())
        transaction.put_mark(row.run_id, CORRECTED, self.now())
        return [request.run_id] if transaction.add_run(request, row.pacs) else []

    def _tell(self, transaction: Transaction, row: RunRow, change: str) -> None:
        self.journal.study_event(
            transaction, change, row.study_instance_uid, pacs=row.pacs, run_id=row.run_id
        )


def _name(run_id: str) -> str:
    return f"reread:{run_id}"


def _turns(transaction: Transaction, run_id: str) -> int:
    return int(transaction.cursor(_name(run_id)) or 0)
