"""From arrival to a queued run: one durable cursor for each archive.

    changes → noted (with the cursor, in one transaction) → study waits → complete?
    → the rota says which release runs it, and which in shadow → routed for each of them
      (each decision recorded) → runs queued, once

What the suite wrote itself never enters, by recorded UID (SEAMS: Events).  A series that
comes late makes the study wait again; the run it leads to supersedes the one before.  The
rota is asked again in the transaction that queues: a rollback in between is not overlooked.

Read next: `execution.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from adapters.config_sections import TriggerSection
from adapters.database import Database, Transaction
from adapters.database.journal import SiteJournal
from adapters.database.marks import SUSPECT
from adapters.database.runs import REROUTED, RunRow
from adapters.database.studies import StudyRow
from adapters.governance.rota import Rota
from adapters.pacs import Change, ChangeBatch, Pacs
from adapters.prescriptions.sources import PrescriptionSources
from adapters.prescriptions.statements import Choice, with_prescription
from adapters.registry import ReleaseRegistry
from adapters.study_facts import study_facts
from audit.errors import SuiteError
from audit.pseudonym import short
from governance.canary import COMPARISON, SHADOW, Assignment, Plan
from plugins.host.facts import StudyFacts
from plugins.host.identity import SHADOW_REVISION, run_id_for
from plugins.host.manifest import Manifest
from plugins.host.ports import RunRequest
from plugins.host.readiness import MISSING_REQUIRED, Readiness, assess
from plugins.host.routing import Decision, Reason, decide

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
    rota: Rota
    sources: PrescriptionSources
    trigger: TriggerSection
    mode: str
    now: Callable[[], datetime]
    look_after_s: float | None = None
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
        if self.look_after_s is not None:
            now, quiet = self.now(), timedelta(seconds=self.look_after_s)
            for uid in {change.study_instance_uid for change in fresh}:
                transaction.put_review_look(pacs.name, uid, now, now + quiet)
        for uid in dict.fromkeys(change.study_instance_uid for change in fresh):
            study = before[uid]
            if study is None or study.state == "routed":
                what = "arrived" if study is None else "changed"
                self.journal.study_event(transaction, what, uid, pacs=pacs.name)
        self._suspect(transaction, pacs.name, fresh)
        transaction.set_cursor(_cursor(pacs), batch.cursor)
        return len(fresh)

    def _suspect(self, transaction: Transaction, pacs: str, changes: Iterable[Change]) -> None:
        """Mark the runs of which an instance came again, or whose patient is another now.

        What they rest on may be other pixels: `adapters.corrections` reads it once more.
        """
        by_study: dict[str, set[str | None]] = {}
        for change in changes:
            if change.kind in ("new_instance", "patient"):
                by_study.setdefault(change.study_instance_uid, set()).add(change.sop_instance_uid)
        for uid, instances in by_study.items():
            for row in transaction.runs(study=uid):
                touched = None in instances or not instances.isdisjoint(row.sop_instance_uids)
                if row.pacs == pacs and row.superseded_by is None and touched:
                    transaction.put_mark(row.run_id, SUSPECT, self.now())

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
        facts = replace(
            study_facts(pacs, uid, own), last_arrival_at=study.last_arrival_at, sender=study.sender
        )
        self.rota.know_patient(pacs, facts)
        with self.database.reading() as transaction:
            plans = self.rota.plans(transaction, facts)
        assigned = {item.release_digest for plan in plans.values() for item in plan.assignments}
        manifests = {digest: self.releases.manifest(digest) for digest in sorted(assigned)}
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
        choice = self.sources.asked_by((manifests[digest] for digest in settled), pacs, uid)
        routing = _Routing(
            pacs.name, study, facts, plans, manifests, own, settled, choice, finished=not waits
        )
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
        transaction.lock_deployments(shared=True)
        if transaction.study(routing.pacs, uid) != routing.study:
            return queued  # something came meanwhile: look again
        if self.rota.plans(transaction, routing.facts) != routing.plans:
            return queued  # somebody decided meanwhile: look again
        for plan in routing.plans.values():
            for assignment in plan.assignments:
                if assignment.release_digest in routing.settled:
                    queued += self._queue(transaction, routing, assignment)
            if routing.finished and plan.unserved and plan.about:
                self._tell_unserved(transaction, uid, plan)
        if routing.finished:
            transaction.set_study_state(routing.pacs, uid, "routed")
        _log.info("study routed", study=short(uid), runs=len(queued))
        return queued

    def _queue(
        self, transaction: Transaction, routing: _Routing, assignment: Assignment
    ) -> list[str]:
        """Record the decision on one release and queue its run, unless both were done before."""
        digest, uid = assignment.release_digest, routing.facts.study_instance_uid
        manifest = routing.manifests[digest]
        decision = decide(routing.facts, digest, manifest, routing.own)
        request = None
        if decision.applies:
            request = self.request(transaction, routing, decision, manifest, assignment)
            if request is None:
                return []  # this very input has its run already
        reason = routing.settled[digest].reason
        mode = SHADOW if assignment.kind == SHADOW else None
        self.journal.route_decision(
            transaction, uid, decision, reason, mode=mode, assigned=assignment.why
        )
        if request is None:
            return []
        if not transaction.add_run(request, routing.pacs):
            transaction.set_run_status(request.run_id, "queued")  # it was rerouted, and comes back
        elif request.prescription is not None and routing.choice.statement is not None:
            self.journal.prescription_taken(transaction, request, routing.choice.statement)
        return [request.run_id]

    def _tell_unserved(self, transaction: Transaction, uid: str, plan: Plan) -> None:
        """Record why no release of a plugin runs a study."""
        manifest = self.releases.manifest(plan.about)
        reasons = (Reason(plan.unserved),)
        decision = Decision(manifest.plugin, manifest.version, plan.about, False, {}, (), reasons)
        self.journal.route_decision(transaction, uid, decision, "", assigned=plan.unserved)

    def request(
        self,
        transaction: Transaction,
        routing: _Routing,
        decision: Decision,
        manifest: Manifest,
        assignment: Assignment,
    ) -> RunRequest | None:
        """Return the run that a decision asks for; None when it exists already."""
        shadow = assignment.kind == SHADOW
        facts = routing.facts
        stated = routing.choice if manifest.envelope.prescription_required else Choice()
        chosen = with_prescription(manifest.parameters, stated.prescription)
        revision = SHADOW_REVISION if shadow else 1
        run_id = run_id_for(decision.sop_instance_uids, decision.release_digest, chosen, revision)
        known = transaction.run(run_id)
        if known is not None and (known.status, known.reason) != ("discarded", REROUTED):
            return None
        earlier = transaction.runs_for_study(facts.study_instance_uid, decision.plugin)
        before = _superseded(earlier, decision.release_digest, shadow=shadow)
        trigger = "late-series" if before else "auto"
        if routing.study.state == "forced":
            trigger = "force"
        if assignment.why == COMPARISON:
            trigger = "comparison"
        return RunRequest(
            run_id=run_id,
            study_instance_uid=facts.study_instance_uid,
            plugin=decision.plugin,
            plugin_version=decision.plugin_version,
            release_digest=decision.release_digest,
            mode=SHADOW if shadow else self.mode,
            series=decision.series,
            sop_instance_uids=decision.sop_instance_uids,
            opened_at=self.now(),
            parameters=chosen,
            revision=revision,
            priority=self._priority(facts),
            trigger=trigger,
            supersedes=before,
            prescription=stated.prescription,
            prescription_fault=stated.refusal,
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
    plans: Mapping[str, Plan]
    manifests: Mapping[str, Manifest]
    own: set[str]
    settled: Mapping[str, Readiness]
    choice: Choice
    finished: bool


def _superseded(earlier: tuple[RunRow, ...], release_digest: str, *, shadow: bool) -> str | None:
    """Return the latest run of the plugin whose results still stand for the study.

    A run in shadow replaces one of the same release in shadow, and nothing else.
    """
    for row in reversed(earlier):
        alike = (row.mode == SHADOW) == shadow
        if shadow and row.release_digest != release_digest:
            alike = False
        if alike and row.superseded_by is None and row.status not in ("discarded", "failed"):
            return str(row.run_id)
    return None


def _cursor(pacs: Pacs) -> str:
    return f"changes:{pacs.name}"
