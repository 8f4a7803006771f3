"""The journal: what happened to a run, as state and audit record in one transaction.

Fulfils `plugins.host.ports.Journal`.  Every call may be repeated after a crash: which
record was written is a row of the run (``run_step``), so a second identical call adds
nothing.  Each call ends by placing its record in the tree; `inferred` and
`require_recorded` return only when it is there, so that no output leaves before its
record.

A run that a person queues again after it was closed begins its next *round*: it is
opened, read and closed on record once more.

Read next: `bodies.py` (what the records say), `site_records.py` (records of no run).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import datetime

from adapters.database import answer_bodies, bodies
from adapters.database.consent_records import ConsentRecords
from adapters.database.database import Database
from adapters.database.group_commit import GroupCommit
from adapters.database.in_force import in_force, prev_assessment
from adapters.database.runs import CLOSED_STATUSES, RunRow
from adapters.database.transaction import Transaction
from adapters.monitor import statistics_document
from audit import canonical
from audit.errors import BarredError, LogUnavailableError
from audit.kinds import NOT_EVALUATED
from audit.log import Log
from audit.pseudonym import Pseudonyms, age_band
from audit.record import Actor, Outcome, Source, Subject
from governance.accounts import service_identity
from governance.personnel import ran_on
from plugins.host.case import Case
from plugins.host.ports import Answer, Delivered, Document, Json, RunRequest
from plugins.host.steps import LEAVES

_INFERENCE, _REFUSAL = "inference:", "refusal:"
_BY_WORKER = ("input_read", "refusal", "inference", "explanation")
"""Records of what the release itself did; who asked for the run stands in ``run_opened``."""
_OUTCOMES = {"done": 0, "abstained": 0, "refused": 4, "discarded": 4, "failed": 8}
"""Status -> EventOutcomeIndicator (PS3.15 A.5): 0 success, 4 minor, 8 serious failure."""


class SiteJournal(ConsentRecords):
    """State and record of every run of a site."""

    def __init__(
        self,
        database: Database,
        log: Log,
        pseudonyms: Pseudonyms,
        source: Source,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(log, pseudonyms, source, now)
        self._database = database
        self._commits = GroupCommit(database, log)

    def opened(self, request: RunRequest) -> None:
        """Record that the run begins; a second call changes nothing."""

        def write(transaction: Transaction) -> None:
            row, number = self._round(transaction, request)
            if row.status in CLOSED_STATUSES:
                return
            body = bodies.opened(request, self._pseudonym(request), row.attempts)
            self._step(transaction, request, f"opened:{number}", "run_opened", body)
            transaction.set_run_status(request.run_id, "running")

        self._write(write)

    def input_read(self, request: RunRequest, case: Case, input_digest: str) -> None:
        """Record what was read.

        Raises
        ------
        InputChangedError : the run id had another digest; nothing was changed.
        """
        read = bodies.input_facts(case, self._pseudonym(request), input_digest)
        read["subject"] = {
            "age_band": age_band(case.subject.age_years),
            "sex": case.subject.sex or NOT_EVALUATED,
            "site_code": bodies.body_part(case.body_part),
        }

        def write(transaction: Transaction) -> None:
            row, number = self._round(transaction, request)
            transaction.set_input_digest(request.run_id, input_digest)
            if row.status in CLOSED_STATUSES:
                return
            transaction.set_run_facts(request.run_id, read)
            body = {key: read[key] for key in ("input", "acquisition", "notes")}
            self._step(transaction, request, f"input_read:{number}", "input_read", body)

        self._write(write)

    def refused(
        self,
        request: RunRequest,
        reasons: tuple[str, ...],
        documents: tuple[Document, ...] = (),
        unwritten: str = "",
    ) -> None:
        """Record a refusal with what tells it; durable and in the tree on return.

        A second call with the same documents changes nothing.  Documents of an earlier
        answer stay known where the refusal has none of its own.
        """
        body = answer_bodies.refusal(reasons, documents, unwritten, self._pseudonym(request))
        code = bodies.reason_code(reasons[0]) if reasons else "REFUSED"

        def write(transaction: Transaction) -> None:
            row, number = self._round(transaction, request)
            if row.status in CLOSED_STATUSES:
                return
            step = f"{_REFUSAL}{number}:{_documents_key(documents)}"
            outcome = Outcome(_OUTCOMES["refused"], code)
            if self._step(transaction, request, step, "refusal", body, outcome) and documents:
                transaction.put_documents(request.run_id, documents)
                transaction.add_own_uids(request.run_id, _uids(documents))

        self._write(write)
        if documents:
            self.require_recorded(request.run_id)

    def inferred(
        self, request: RunRequest, answer: Answer, documents: tuple[Document, ...], facts: Json
    ) -> None:
        """Record the inference with digests of outputs; durable and in the tree on return."""
        pseudonym = self._pseudonym(request)
        _, statistics_digest = statistics_document(answer)

        def write(transaction: Transaction) -> None:
            row, _ = self._round(transaction, request)
            release = transaction.release(request.release_digest)
            body = bodies.inference(
                request,
                answer,
                documents,
                pseudonym,
                facts={**facts, **ran_on(transaction, request.release_digest)},
                read=row.facts,
                release=json.loads(release.manifest) if release else {},
                statistics_digest=statistics_digest,
                ended_at=self._now(),
            )
            body["consent"] |= self.consented(transaction, request.study_instance_uid)
            for group, stated in in_force(transaction, request).items():
                body[group] |= stated
            body["prev_assessment"] = prev_assessment(transaction, request)
            step = _INFERENCE + _documents_key(documents)
            outcome = _abstained(answer)
            if not self._step(transaction, request, step, "inference", body, outcome):
                return
            if answer.explanation is not None:
                explained = bodies.explanation(answer.explanation)
                self._step(transaction, request, f"explained:{step}", "explanation", explained)
            transaction.put_documents(request.run_id, documents)
            transaction.add_own_uids(request.run_id, _uids(documents))
            transaction.set_run_seconds(request.run_id, answer.seconds)

        self._write(write)
        self.require_recorded(request.run_id)

    def require_recorded(self, run_id: str) -> None:
        """Return when every answer of the run, a refusal too, is in the tree.

        Raises
        ------
        LogUnavailableError : there is none, or it cannot be placed; nothing may leave.
        """
        with self._database.reading() as transaction:
            steps = transaction.run_steps(run_id)
        answers = (_INFERENCE, _REFUSAL)
        recorded = [event for step, event in steps.items() if step.startswith(answers)]
        if not recorded:
            raise LogUnavailableError(f"expected an answer of run {run_id} on record, found none")
        try:
            with self._database.reading() as transaction:
                self._log.require_included(transaction, recorded)
        except LogUnavailableError:
            self._log.seal(self._database)
            with self._database.reading() as transaction:
                self._log.require_included(transaction, recorded)

    def delivered(self, request: RunRequest, states: tuple[Delivered, ...]) -> None:
        """Record the state of each document at each target; the same states only once."""
        body = bodies.deliveries(states, self._pseudonym(request))
        key = hashlib.sha256(canonical.encode(body)).hexdigest()[:16]
        failed = any(item.state == "failed" for item in states)
        outcome = Outcome(8, "DELIVERY_FAILED") if failed else Outcome()

        def write(transaction: Transaction) -> None:
            _, number = self._round(transaction, request)
            step = f"delivered:{number}:{key}"
            self._step(transaction, request, step, "delivery", body, outcome)

        self._write(write)

    def closed(self, request: RunRequest, status: str, reason: str = "") -> None:
        """Record how the run ended; a second call changes nothing.

        A closed run stays as it is, but one that failed can still be discarded.
        """

        def write(transaction: Transaction) -> None:
            row, number = self._round(transaction, request)
            given_up = row.status == "failed" and status == "discarded"
            if row.status not in CLOSED_STATUSES or given_up:
                code = bodies.reason_code(reason) if reason else ""
                self._close(transaction, request, number, status, code, reason)

        self._write(write)

    def discarded(self, request: RunRequest, person: str) -> None:
        """Record that a person takes a run out, and close it, in one transaction."""

        def write(transaction: Transaction) -> None:
            row, number = self._round(transaction, request)
            if row.status not in CLOSED_STATUSES or row.status == "failed":
                self.by_hand(transaction, request, "discard", person)
                self._close(transaction, request, number, "discarded", "BY_HAND", "BY_HAND")

        self._write(write)

    def taken_out(self, transaction: Transaction, request: RunRequest, code: str) -> None:
        """Record in the caller's transaction that an open run ends by a decision on its release."""
        _, number = self._round(transaction, request)
        self._close(transaction, request, number, "discarded", code, code)

    def require_open(self, request: RunRequest) -> None:
        """Return while nobody took the run out and the patient did not refuse.

        Raises
        ------
        BarredError : it was, or the patient did; nothing more of it is made or leaves.
        """
        with self._database.reading() as transaction:
            require_not_taken_out(transaction, request.run_id)
            self.require_consent(transaction, request.study_instance_uid)

    def _close(
        self,
        transaction: Transaction,
        request: RunRequest,
        number: int,
        status: str,
        code: str,
        reason: str,
    ) -> None:
        outcome = Outcome(_OUTCOMES[status], code)
        self._step(
            transaction, request, f"closed:{number}", "run_closed", {"status": status}, outcome
        )
        transaction.set_run_status(request.run_id, status, reason, self._now())
        if status in ("done", "abstained", "refused") and request.supersedes:
            transaction.mark_superseded(request.supersedes, request.run_id)
        subject = self._pseudonyms.subject(request.study_instance_uid)
        if status in ("done", "abstained") and request.mode in LEAVES and subject != NOT_EVALUATED:
            at = self._now()
            transaction.note_course(request.plugin, subject, request.release_digest, at)

    def _write(self, write: Callable[[Transaction], None]) -> None:
        """Commit state and record together, with those who wait too, and place the record."""
        self._commits.run(write)

    def _round(self, transaction: Transaction, request: RunRequest) -> tuple[RunRow, int]:
        """Return the run, locked, and how often it was closed before; added when unknown."""
        transaction.add_run(request, "")
        row = transaction.run(request.run_id, lock=True)
        assert row is not None  # add_run put it there
        steps = transaction.run_steps(request.run_id)
        return row, sum(step.startswith("closed:") for step in steps)

    def _step(
        self,
        transaction: Transaction,
        request: RunRequest,
        step: str,
        kind: str,
        body: Json,
        outcome: Outcome | None = None,
    ) -> bool:
        """Append the record of a step, unless it was appended before."""
        row = transaction.run(request.run_id)
        assert row is not None  # `_round` put it there
        if step in transaction.run_steps(request.run_id):
            return False
        record = self._record(
            kind,
            body,
            mode=request.mode,
            actor=self._actor_of(transaction, request, kind),
            run_id=request.run_id,
            release_digest=request.release_digest,
            subject=self._subject(request, row),
            outcome=outcome,
        )
        self._log.append(transaction, record)
        return transaction.add_run_step(request.run_id, step, record.event_id)

    def _actor_of(self, transaction: Transaction, request: RunRequest, kind: str) -> Actor:
        """Return who did a step: the worker of the release, or who asked for the run."""
        if kind not in _BY_WORKER:
            return self._actor(transaction, request.requested_by)
        node = self._source.node
        name = service_identity(
            bodies.coded(request.plugin), bodies.coded(request.plugin_version), node
        )
        return Actor(name, "service")

    def _subject(self, request: RunRequest, row: RunRow) -> Subject:
        pseudonym = self._pseudonyms.subject(request.study_instance_uid)
        return Subject(pseudonym, **row.facts.get("subject", {}))

    def _pseudonym(self, request: RunRequest) -> bodies.PseudonymOf:
        return self._uid_of(request.study_instance_uid)


def require_not_taken_out(transaction: Transaction, run_id: str, *, lock: bool = False) -> None:
    """Return unless the run was discarded; with ``lock`` it stays so to the transaction's end.

    Raises
    ------
    BarredError : it was.
    """
    row = transaction.run(run_id, lock=lock)
    if row is not None and row.status == "discarded":
        raise BarredError(f"run {run_id} was taken out", reasons=(row.reason,))


def _documents_key(documents: Iterable[Document]) -> str:
    names = sorted((d.kind, d.sop_instance_uid, d.content_digest) for d in documents)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]


def _uids(documents: Iterable[Document]) -> list[tuple[str, str, str]]:
    return [
        (d.sop_instance_uid, d.series_instance_uid, d.study_instance_uid)
        for d in documents
        if d.sop_instance_uid
    ]


def _abstained(answer: Answer) -> Outcome:
    uncertainty = answer.prediction.uncertainty
    if not uncertainty.abstain:
        return Outcome()
    return Outcome(0, bodies.reason_code(uncertainty.reasons[0]) if uncertainty.reasons else "")
