"""Records of a site that belong to no step of a run; written in the caller's transaction.

They are committed with the state that they record and placed in the tree by the next
`audit.log.Log.seal`.

Read next: `journal.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from adapters.attestation.clock import ClockReading
from adapters.database import answer_bodies, bodies, site_bodies
from adapters.database.courses import ComparisonRow
from adapters.database.deployments import ReleaseRow
from adapters.database.transaction import Transaction
from adapters.prescriptions.statements import Choice, Statement
from adapters.seeds.points import Seed
from audit.kinds import NOT_EVALUATED
from audit.log import Log
from audit.pseudonym import Pseudonyms
from audit.record import Actor, Outcome, Record, Source, Subject, make_record
from governance.accounts import PERSONS, Account
from governance.holds import Hold
from governance.incidents import Incident
from governance.oversight.assessment import Assessment
from governance.ports import Deployment, GovernedDocument
from plugins.host.ports import RunRequest
from plugins.host.routing import Decision


class SiteRecords:
    """Study events, routing, releases, accounts, what persons do, faults.

    Parameters
    ----------
    source : site, node, mode and default actor of every record.
    now : the clock; aware UTC.
    """

    def __init__(
        self, log: Log, pseudonyms: Pseudonyms, source: Source, now: Callable[[], datetime]
    ) -> None:
        self._log = log
        self._pseudonyms = pseudonyms
        self._source = source
        self._now = now

    def enrol(self, study_instance_uid: str, patient_id: str, issuer: str = "") -> None:
        """Note in the vault whose study it is; from then on records carry the pseudonym.

        The salts of a patient's studies are erased with the patient; a study that was
        never enrolled has a salt of its own, and ``not-evaluated`` as its subject.
        """
        if patient_id:
            self._pseudonyms.enrol(study_instance_uid, patient_id, issuer)

    def study_event(
        self,
        transaction: Transaction,
        change: str,
        study_instance_uid: str,
        *,
        pacs: str = "",
        run_id: str | None = None,
    ) -> str:
        """Record that something arrived, changed or left; return the event id."""
        body = {
            "change": bodies.coded(change),
            "study_uid_p": self._uid_of(study_instance_uid)(study_instance_uid),
            "pacs": bodies.coded(pacs) if pacs else NOT_EVALUATED,
        }
        subject = Subject(self._pseudonyms.subject(study_instance_uid))
        return self._append(transaction, "study_event", body, run_id=run_id, subject=subject)

    def route_decision(
        self,
        transaction: Transaction,
        study_instance_uid: str,
        decision: Decision,
        readiness: str,
        *,
        mode: str | None = None,
        assigned: str = "",
    ) -> str:
        """Record whether a release applies to a study, and why or why not.

        Parameters
        ----------
        assigned : why the rota chose the release, or why it chose none.
        """
        pseudonym = self._uid_of(study_instance_uid)
        study = pseudonym(study_instance_uid)
        body = site_bodies.route_decision(decision, study, pseudonym, readiness)
        body["assigned"] = bodies.coded(assigned) if assigned else NOT_EVALUATED
        return self._append(
            transaction,
            "route_decision",
            body,
            mode=mode,
            release_digest=decision.release_digest,
            subject=Subject(self._pseudonyms.subject(study_instance_uid)),
        )

    def lifecycle(self, transaction: Transaction, deployment: Deployment, action: str) -> str:
        """Record a release's change of state, which the transaction has put already."""
        states = [
            item.state
            for item in transaction.deployment_history(deployment.plugin)
            if item.release_digest == deployment.release_digest and item.site == deployment.site
        ]
        before = states[-2] if len(states) > 1 else ""
        return self._append(
            transaction,
            "lifecycle",
            site_bodies.lifecycle(deployment, action, before),
            actor=self._actor(transaction, deployment.decided_by),
            release_digest=deployment.release_digest,
        )

    def governed(self, transaction: Transaction, document: GovernedDocument) -> str:
        """Record a revision of a governed document, which the transaction has put already."""
        body = {
            "document": bodies.coded(document.kind),
            "name": bodies.coded(document.name),
            "revision": document.revision,
            "sha256": document.digest,
        }
        actor = self._actor(transaction, document.recorded_by)
        return self._append(transaction, "governed", body, actor=actor)

    def guard(self, transaction: Transaction, guard: str, verdict: str, release_digest: str) -> str:
        """Record that a guard of the site found a release wanting."""
        body = {"guard": bodies.coded(guard), "verdict": bodies.coded(verdict)}
        return self._append(transaction, "guard", body, release_digest=release_digest)

    def stop(self, transaction: Transaction, scope: str, action: str, person: str) -> str:
        """Record that a plugin, or everything, was stopped, or the stop lifted."""
        body = {
            "scope": bodies.coded(scope),
            "action": bodies.coded(action),
            "decided_by": bodies.coded(person),
        }
        return self._append(transaction, "stop", body, actor=self._actor(transaction, person))

    def by_hand(
        self, transaction: Transaction, request: RunRequest, action: str, person: str
    ) -> str:
        """Record what a person did with a run: retry, force or discard."""
        body = {"action": bodies.coded(action), "requested_by": bodies.coded(person)}
        return self._append(
            transaction,
            "by_hand",
            body,
            mode=request.mode,
            actor=self._actor(transaction, person),
            run_id=request.run_id,
            release_digest=request.release_digest,
            subject=Subject(self._pseudonyms.subject(request.study_instance_uid)),
        )

    def compared(self, transaction: Transaction, request: RunRequest, row: ComparisonRow) -> str:
        """Record how the run of a release compares with that of the one it is measured by."""
        return self._of_run(transaction, "comparison", request, site_bodies.comparison(row))

    def assessment(
        self, transaction: Transaction, request: RunRequest, item: Assessment, subject: Subject
    ) -> str:
        """Record what a person did with a result; who it was stands as a pseudonym."""
        known = item.reviewer and item.reviewer_role in PERSONS
        actor = Actor(item.reviewer, item.reviewer_role) if known else None
        body = site_bodies.assessment(item) | {"plugin": bodies.plugin(request)}
        return self._of_run(transaction, "assessment", request, body, actor=actor, subject=subject)

    def seed_taken(self, transaction: Transaction, request: RunRequest, seed: Seed) -> str:
        """Record whose seed point a run takes, and from which object."""
        body = answer_bodies.seed(seed, self._uid_of(request.study_instance_uid))
        body |= {"supersedes": request.supersedes or ""}
        return self._of_run(transaction, "seed", request, body)

    def seed_refused(
        self, transaction: Transaction, request: RunRequest, reason: str, count: int
    ) -> str:
        """Record that seed points were found and none could be taken."""
        body = {
            "action": bodies.reason_code(reason), "count": count,
            "source": NOT_EVALUATED, "given_by": NOT_EVALUATED,
        }  # fmt: skip
        return self._of_run(transaction, "seed", request, body, outcome=Outcome(4, reason))

    def prescription_taken(
        self, transaction: Transaction, request: RunRequest, statement: Statement
    ) -> str:
        """Record whose prescription a run takes, and from which object."""
        assert request.prescription is not None
        pseudonym = self._uid_of(request.study_instance_uid)
        body = answer_bodies.prescription(request.prescription, statement, pseudonym)
        body["supersedes"] = request.supersedes or ""
        return self._of_run(transaction, "prescription", request, body)

    def prescription_refused(
        self, transaction: Transaction, request: RunRequest, choice: Choice
    ) -> str:
        """Record that prescriptions were found and none could be taken."""
        body = answer_bodies.prescription_fault(choice, self._uid_of(request.study_instance_uid))
        return self._of_run(
            transaction, "prescription", request, body, outcome=Outcome(4, choice.fault)
        )

    def _of_run(
        self,
        transaction: Transaction,
        kind: str,
        request: RunRequest,
        body: Mapping[str, Any],
        **fields: Any,
    ) -> str:
        """Append a record about a run that is no step of it."""
        subject = Subject(self._pseudonyms.subject(request.study_instance_uid))
        given = {"mode": request.mode, "subject": subject} | fields
        return self._append(
            transaction,
            kind,
            body,
            run_id=request.run_id,
            release_digest=request.release_digest,
            **given,
        )

    def replayed(
        self, transaction: Transaction, request: RunRequest, result: Mapping[str, Any]
    ) -> str:
        """Record that a run was replayed and how it compared."""
        body = {
            key: bodies.coded(value) if isinstance(value, str) else value
            for key, value in result.items()
            if key not in ("run_id", "input_digest")
        }
        body["input_sha256"] = result.get("input_digest", NOT_EVALUATED)
        return self._append(
            transaction,
            "replay",
            body,
            mode="replay",
            run_id=request.run_id,
            release_digest=request.release_digest,
            subject=Subject(self._pseudonyms.subject(request.study_instance_uid)),
        )

    def fault(
        self, transaction: Transaction, code: str, where: str, *, run_id: str | None = None
    ) -> str:
        """Record a fault by its stable code and the part that it happened in."""
        stable = bodies.reason_code(code)
        body = {"code": stable, "where": bodies.coded(where)}
        return self._append(transaction, "fault", body, run_id=run_id, outcome=Outcome(8, stable))

    def configuration_change(
        self, transaction: Transaction, setting: str, before: str, after: str, person: str
    ) -> str:
        """Record that a setting of the site was changed, with digests of both values."""
        body = {
            "setting": bodies.coded(setting),
            "before_sha256": bodies.digest_of_text(before),
            "after_sha256": bodies.digest_of_text(after),
        }
        actor = self._actor(transaction, person)
        return self._append(transaction, "configuration_change", body, actor=actor)

    def account(self, transaction: Transaction, action: str, account: Account, person: str) -> str:
        """Record that an account was added, disabled, or got another password."""
        body = {
            "action": bodies.coded(action),
            "account": bodies.coded(account.account_id),
            "role": account.role,
        }
        actor = self._actor(transaction, person)
        return self._append(transaction, "account", body, actor=actor)

    def release(
        self, transaction: Transaction, action: str, row: ReleaseRow, person: str, signed_by: str
    ) -> str:
        """Record that a release came to this site, and whose signature it carries."""
        body = {
            "action": bodies.coded(action),
            "plugin": bodies.coded(row.plugin),
            "version": bodies.coded(row.version),
            "manifest_sha256": row.digest,
            "signed_by": bodies.coded(signed_by) if signed_by else "unsigned",
        }
        actor = self._actor(transaction, person)
        return self._append(transaction, "release", body, actor=actor, release_digest=row.digest)

    def incident(
        self, transaction: Transaction, action: str, incident: Incident, person: str
    ) -> str:
        """Record what was done about an incident, which the transaction has put already."""
        body = {
            "incident": bodies.coded(incident.incident_id),
            "action": bodies.coded(action),
            "state": incident.state,
            "severity": incident.facts.severity,
            "plugin": bodies.coded(incident.plugin),
            "run_ids": [bodies.coded(run_id) for run_id in incident.run_ids],
        }
        return self._about_release(transaction, "incident", body, incident.release_digest, person)

    def legal_hold(self, transaction: Transaction, action: str, hold: Hold, person: str) -> str:
        """Record that a legal hold was placed or lifted."""
        body = {
            "incident": bodies.coded(hold.incident_id),
            "action": bodies.coded(action),
            "plugin": bodies.coded(hold.plugin),
            "run_ids": [bodies.coded(run_id) for run_id in hold.run_ids],
        }
        return self._about_release(transaction, "legal_hold", body, hold.release_digest, person)

    def evidence(
        self, transaction: Transaction, incident: Incident, kept: Mapping[str, Any], person: str
    ) -> str:
        """Record that evidence was kept, by the digest of its manifest."""
        body = {
            "incident": bodies.coded(incident.incident_id),
            "manifest_sha256": kept["manifest_sha256"],
            "complete": kept["complete"],
            "missing": [bodies.coded(code) for code in kept["missing"]],
        }
        return self._about_release(transaction, "evidence", body, incident.release_digest, person)

    def clock(self, transaction: Transaction, reading: ClockReading, limit_ms: float) -> str:
        """Record how far our clock is off; the records that follow carry it."""
        within = abs(reading.offset_ms) <= limit_ms + reading.uncertainty_ms
        stratum = NOT_EVALUATED if reading.stratum is None else reading.stratum
        source = bodies.coded(reading.source)
        stated = {"source": source, "offset_ms": reading.offset_ms, "stratum": stratum}
        self._source = replace(self._source, clock=stated)
        body = {
            "event": "offset-within-limit" if within else "offset-beyond-limit",
            "source": source,
            "offset_ms": reading.offset_ms,
            "uncertainty_ms": reading.uncertainty_ms,
            "limit_ms": limit_ms,
        }
        outcome = Outcome() if within else Outcome(8, "CLOCK_OFF")
        return self._append(transaction, "clock", body, outcome=outcome)

    def access(
        self,
        transaction: Transaction,
        what: str,
        purpose: str,
        person: str,
        *,
        run_id: str | None = None,
        pseudonym: str = "",
    ) -> str:
        """Record that somebody read the log or turned a pseudonym back, and about whom."""
        body = {"what": bodies.coded(what), "purpose": bodies.purpose(purpose)}
        if run_id is not None:  # in the body: it is a record about a run, and not of it
            body["run"] = bodies.coded(run_id)
        actor = self._actor(transaction, person)
        about = Subject(pseudonym) if pseudonym else None
        return self._append(transaction, "access", body, actor=actor, subject=about)

    def _about_release(
        self,
        transaction: Transaction,
        kind: str,
        body: Mapping[str, Any],
        release_digest: str,
        person: str,
    ) -> str:
        actor = self._actor(transaction, person)
        return self._append(transaction, kind, body, actor=actor, release_digest=release_digest)

    def _append(
        self, transaction: Transaction, kind: str, body: Mapping[str, Any], **fields: Any
    ) -> str:
        return self._log.append(transaction, self._record(kind, body, **fields))

    def _record(self, kind: str, body: Mapping[str, Any], **fields: Any) -> Record:
        return make_record(kind, self._source, self._now(), body, **fields)

    def _actor(self, transaction: Transaction, person: str) -> Actor:
        """Return who did it: an account in its role, else the service on behalf of the id."""
        account = transaction.account(person.removeprefix("account:"))
        return Actor(bodies.coded(person), account.role if account else "service")

    def _uid_of(self, study_instance_uid: str) -> bodies.PseudonymOf:
        return lambda uid: self._pseudonyms.uid(study_instance_uid, uid)
