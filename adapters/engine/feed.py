"""From arrival to a queued run: one durable cursor for each archive.

    changes → noted (with the cursor, in one transaction) → study waits → complete?
    → routed for every active release (each decision recorded) → runs queued, once

What the suite wrote itself never enters, by recorded UID (SEAMS: Events).  A series that
comes late makes the study wait again; the run it leads to supersedes the one before.

Read next: `execution.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from adapters.config import TriggerSection
from adapters.database import Database, Transaction
from adapters.database.journal import SiteJournal
from adapters.database.runs import RunRow
from adapters.database.studies import StudyRow
from adapters.pacs import Change, ChangeBatch, Pacs
from adapters.registry import ReleaseRegistry
from adapters.study_facts import study_facts
from audit.errors import SuiteError
from audit.pseudonym import short
from governance.deployment import active_releases
from plugins.host.facts import StudyFacts
from plugins.host.identity import run_id_for
from plugins.host.manifest import Manifest
from plugins.host.ports import RunRequest
from plugins.host.readiness import MISSING_REQUIRED, Readiness, assess
from plugins.host.routing import Decision, decide

BATCH = 1000
UNREADABLE_PAUSE_S = 60.0
URGENT = ("STAT", "HIGH")
"""Requested Procedure Priority (PS3.3 C.4.11) of work that overtakes other work."""
LOOK_S = 1.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StudyFeed:
    """Watches the archives of one site; `settle` names the runs that it put into the database."""

    database: Database
    journal: SiteJournal
    archives: Mapping[str, Pacs]
    releases: ReleaseRegistry
    trigger: TriggerSection
    site: str
    mode: str
    now: Callable[[], datetime]
    _next_look: dict[tuple[str, str], tuple[int, datetime]] = field(default_factory=dict)
    _cursors: dict[str, str] = field(default_factory=dict)
    _looked_at_s: list[float] = field(default_factory=list)

    def turn(self, names: Collection[str]) -> tuple[str, ...]:
        """Poll these archives, and route where something may be ready; return queued run ids.

        Studies that only wait are looked at when their wait is over, and once in a second,
        because another process may have decided something about them.
        """
        if not self.poll(names) and not self._may_be_ready():
            return ()
        self._looked_at_s[:] = [time.monotonic()]
        return self.settle()

    def _may_be_ready(self) -> bool:
        now = self.now()
        if any(due <= now for _, due in self._next_look.values()):
            return True
        return not self._looked_at_s or time.monotonic() - self._looked_at_s[0] >= LOOK_S

    def poll(self, names: Collection[str] | None = None) -> int:
        """Note what arrived at these archives (all by default); return how many changes are new.

        An archive that is away is told in the log and asked again at the next turn.
        """
        noted = 0
        for pacs in self.archives.values():
            if "changes" not in pacs.capabilities or (names is not None and pacs.name not in names):
                continue
            try:
                noted += self._poll(pacs)
            except SuiteError as error:
                _log.warning("archive not polled", pacs=pacs.name, code=error.code)
        return noted

    def _poll(self, pacs: Pacs) -> int:
        """Note what an archive tells after the stored cursor.

        The cursor is remembered, so that an archive with nothing new costs no transaction;
        when there is something the stored one decides, which another process may have moved.
        """
        known = self._cursors.get(pacs.name)
        batch = None if known is None else pacs.changes(known, BATCH)
        if batch is not None and not batch.changes and batch.cursor == known:
            return 0
        with self.database.reading() as transaction:
            cursor = transaction.cursor(_cursor(pacs))
        skip = cursor is None and self.trigger.first_look == "now"
        if batch is None or cursor != known:
            batch = pacs.changes(cursor, BATCH)
        noted = 0
        while True:
            if skip:
                batch = replace(batch, changes=())
            if batch.changes or batch.cursor != cursor:
                noted += self.database.run(partial(self._note, pacs=pacs, batch=batch))
            cursor = self._cursors[pacs.name] = batch.cursor
            if not batch.more:
                return noted
            batch = pacs.changes(cursor, BATCH)

    def _note(self, transaction: Transaction, pacs: Pacs, batch: ChangeBatch) -> int:
        candidates = [c.sop_instance_uid for c in batch.changes if c.sop_instance_uid]
        ours = transaction.own_sop_uids(candidates) if candidates else set()
        theirs = [change for change in batch.changes if change.sop_instance_uid not in ours]
        for change in theirs:
            if change.kind == "deleted":
                self._deleted(transaction, pacs.name, change)
        arrived = [change for change in theirs if change.kind != "deleted"]
        studies = dict.fromkeys(change.study_instance_uid for change in arrived)
        before = {uid: transaction.study(pacs.name, uid) for uid in studies}
        fresh = transaction.add_changes(pacs.name, arrived)
        for uid in dict.fromkeys(change.study_instance_uid for change in fresh):
            study = before[uid]
            if study is None or study.state == "routed":
                what = "arrived" if study is None else "changed"
                self.journal.study_event(transaction, what, uid, pacs=pacs.name)
        transaction.set_cursor(_cursor(pacs), batch.cursor)
        return len(fresh)

    def _deleted(self, transaction: Transaction, pacs: str, change: Change) -> None:
        """A source object left the archive: its results stand, and the log says so."""
        for row in transaction.runs(study=change.study_instance_uid):
            if change.sop_instance_uid is None or change.sop_instance_uid in row.sop_instance_uids:
                self.journal.study_event(
                    transaction,
                    "source-deleted",
                    change.study_instance_uid,
                    pacs=pacs,
                    run_id=row.run_id,
                )

    def settle(self) -> tuple[str, ...]:
        """Route every study that is complete; return the ids of the runs that were queued."""
        queued: list[str] = []
        for pacs in self.archives.values():
            with self.database.reading() as transaction:
                waiting = transaction.studies_waiting(pacs.name)
            for study in waiting:
                if not self._is_due(study):
                    continue
                try:
                    queued += self._settle(pacs, study)
                except SuiteError as error:  # one study must not hold up the others
                    self._look_again(study, UNREADABLE_PAUSE_S)
                    name = short(study.study_instance_uid)
                    _log.warning("study not settled", study=name, code=error.code)
        return tuple(queued)

    def _look_again(self, study: StudyRow, pause_s: float) -> None:
        due = self.now() + timedelta(seconds=pause_s)
        key = (study.pacs, study.study_instance_uid)
        self._next_look[key] = (study.instance_count_seen, due)

    def _is_due(self, study: StudyRow) -> bool:
        """A study is looked at when something changed, or when its wait is over."""
        key = (study.pacs, study.study_instance_uid)
        seen, due = self._next_look.get(key, (-1, self.now()))
        return study.state == "forced" or seen != study.instance_count_seen or self.now() >= due

    def _settle(self, pacs: Pacs, study: StudyRow) -> list[str]:
        """Route what is ready; the study is done with when nothing has to be waited for."""
        uid = study.study_instance_uid
        with self.database.reading() as transaction:
            own = transaction.own_series_uids(uid)
            active = active_releases(
                transaction, self.site, self.now(), mode=self.mode,
                certified=self.releases.certified(transaction),
            )  # fmt: skip
        facts = replace(
            study_facts(pacs, uid, own), last_arrival_at=study.last_arrival_at, sender=study.sender
        )
        manifests = {
            item.release_digest: self.releases.manifest(item.release_digest) for item in active
        }
        verdicts = {
            digest: self._readiness(facts, study, manifest)
            for digest, manifest in manifests.items()
        }
        waits = [verdict.wait_s for verdict in verdicts.values() if verdict.wait_s is not None]
        key = (study.pacs, uid)
        if waits:
            self._look_again(study, max(min(waits), 0.02))
        else:
            self._next_look.pop(key, None)
        settled = {
            digest: verdict for digest, verdict in verdicts.items() if verdict.ready or not waits
        }
        if not settled and waits:
            return []
        routing = _Routing(pacs.name, study, facts, manifests, own, settled, finished=not waits)
        return self.database.run(lambda transaction: self._route(transaction, routing))

    def _readiness(self, facts: StudyFacts, study: StudyRow, manifest: Manifest) -> Readiness:
        """A release whose input is missing is given the quiet time before it is told no."""
        quiet = self.trigger.quiet_time_by_sender_s.get(study.sender, self.trigger.quiet_time_s)
        verdict = assess(
            facts,
            manifest.inputs,
            self.now(),
            quiet,
            forced=study.state == "forced",
            patience_s=self.trigger.patience_s,
        )
        if verdict.reason == MISSING_REQUIRED and study.state != "forced":
            still = quiet - (self.now() - study.last_arrival_at).total_seconds()
            if still > 0:
                return replace(verdict, wait_s=still)
        return verdict

    def _route(self, transaction: Transaction, routing: _Routing) -> list[str]:
        queued: list[str] = []
        uid = routing.facts.study_instance_uid
        if transaction.study(routing.pacs, uid) != routing.study:
            return queued  # something came meanwhile: look again
        for digest, verdict in routing.settled.items():
            manifest = routing.manifests[digest]
            decision = decide(routing.facts, digest, manifest, routing.own)
            request = None
            if decision.applies:
                request = self.request(
                    transaction, routing.facts, decision, manifest, routing.study.state
                )
            if decision.applies and request is None:
                continue  # this very input has its run already
            self.journal.route_decision(transaction, uid, decision, verdict.reason)
            if request is not None and transaction.add_run(request, routing.pacs):
                queued.append(request.run_id)
        if routing.finished:
            transaction.set_study_state(routing.pacs, uid, "routed")
        _log.info("study routed", study=short(uid), runs=len(queued))
        return queued

    def request(
        self,
        transaction: Transaction,
        facts: StudyFacts,
        decision: Decision,
        manifest: Manifest,
        study_state: str,
    ) -> RunRequest | None:
        """Return the run that a decision asks for; None when it exists already."""
        chosen = dict(manifest.parameters)
        run_id = run_id_for(decision.sop_instance_uids, decision.release_digest, chosen)
        if transaction.run(run_id) is not None:
            return None
        earlier = transaction.runs_for_study(facts.study_instance_uid, decision.plugin)
        before = _superseded(earlier)
        trigger = "force" if study_state == "forced" else "late-series" if before else "auto"
        return RunRequest(
            run_id=run_id,
            study_instance_uid=facts.study_instance_uid,
            plugin=decision.plugin,
            plugin_version=decision.plugin_version,
            release_digest=decision.release_digest,
            mode=self.mode,
            series=decision.series,
            sop_instance_uids=decision.sop_instance_uids,
            opened_at=self.now(),
            parameters=chosen,
            priority=self._priority(facts),
            trigger=trigger,
            supersedes=before,
        )

    def _priority(self, facts: StudyFacts) -> str:
        """Return the lane: urgent where the order says so, or where the sender always is."""
        ordered = facts.tags.get("RequestedProcedurePriority", "").strip().upper()
        urgent = ordered in URGENT or facts.sender in self.trigger.urgent_senders
        return "urgent" if urgent else "normal"


@dataclass(frozen=True, slots=True)
class _Routing:
    """What one look at a study found."""

    pacs: str
    study: StudyRow
    facts: StudyFacts
    manifests: Mapping[str, Manifest]
    own: set[str]
    settled: Mapping[str, Readiness]
    finished: bool


def _superseded(earlier: tuple[RunRow, ...]) -> str | None:
    """Return the latest run of the plugin whose results still stand for the study."""
    for row in reversed(earlier):
        if row.superseded_by is None and row.status not in ("discarded", "failed"):
            return str(row.run_id)
    return None


def _cursor(pacs: Pacs) -> str:
    return f"changes:{pacs.name}"
