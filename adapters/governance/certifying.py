"""Certificates at a site: attached, recorded, suspended and reinstated.

Read next: `governance/certification.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from adapters.database import Transaction
from adapters.governance.acts import ask_gates, subject_of, write_down
from adapters.governance.persons import GUARDIAN, Person, decision_of
from adapters.governance.stopping import stop
from adapters.known_answer import examine_geometry
from audit.errors import NotFoundError, RefusalError
from governance.canary import COURSE_STATES
from governance.certificate import ADVICE, ATTACHMENT, decode, objections
from governance.certification import STATE, suspended
from governance.deployment import known
from governance.known_answer import FAILED, KnownAnswer
from governance.lifecycle import Past, check_transition, transition
from governance.ports import Deployment
from governance.stops import EVERYTHING, stop_of

if TYPE_CHECKING:
    from adapters.compose import Site

CERTIFICATE = "certificate"
"""Governed document by release digest: the certificate that is attached to it."""
_log = structlog.get_logger(__name__)
_JUDGES = ("approver", "physicist")


def certify(site: Site, digest: str, person: Person, raw: bytes | None = None) -> Deployment:
    """Attach a certificate to a release; one that was only registered is validated by it.

    Parameters
    ----------
    raw : the certificate; None takes the one that came with the release.

    Raises
    ------
    NotFoundError : the release is not registered here.
    RefusalError : the certificate does not hold for this release, or the table or a gate
        does not permit it; nothing was attached.
    """
    content = raw if raw is not None else site.registry.attachment(digest, ATTACHMENT)
    row, decision = transition("certify", "registered", Past()), decision_of(site, person)
    check_transition(row, decision.role, {"certificate": "given"}, decision.mode)
    with site.database.reading() as transaction:
        known(transaction, site.configuration.site.name, digest)
        found = objections(
            content, digest, site.registry.trust(), site.now(), suspended(transaction)
        )
    if found or content is None:
        raise RefusalError(
            "the certificate is refused: " + "; ".join(item.text for item in found),
            reasons=tuple(item.code for item in found),
            advice=" ".join(dict.fromkeys(item.advice for item in found)),
        )
    site.registry.attach(digest, ATTACHMENT, content)  # again after a crash: the same bytes
    return site.database.run(
        lambda transaction: _record(site, transaction, digest, person, content)
    )


def watch_certificates(site: Site) -> tuple[str, ...]:
    """Judge the certificates of all releases in use again; return the digests that lost theirs.

    Such a release runs no more by itself (`deployment.is_authorised`); here it is recorded,
    once a day for each reason, so that somebody sees it.
    """
    lost = []
    with site.database.reading() as transaction:
        found = [
            (item, site.registry.certificate_standing(transaction, item.release_digest))
            for item in transaction.deployments()
            if item.state in COURSE_STATES and "certificate" in item.evidence
        ]
    for item, standing in found:
        codes = [objection.code for objection in standing.objections]
        if codes:
            lost.append(item.release_digest)
            for code in codes:
                _tell_once(site, item, code)
    return tuple(lost)


def watch_geometry(site: Site, test: Callable[[], KnownAnswer] = examine_geometry) -> KnownAnswer:
    """Make the geometry test again; in clinical mode an installation that fails it stops."""
    found = test()
    with site.database.reading() as transaction:
        stopped = stop_of(transaction, "") is not None
    if not found.passed:
        _log.error("geometry test failed", found=found.words)
        if site.configuration.site.mode == "clinical" and not stopped:
            stop(site, EVERYTHING, GUARDIAN, FAILED)
    return found


def _tell_once(site: Site, item: Deployment, code: str) -> None:
    name, today = f"told:{code}:{item.release_digest}", site.now().date().isoformat()

    def write(transaction: Transaction) -> None:
        if transaction.cursor(name) != today:
            transaction.set_cursor(name, today)
            site.journal.guard(transaction, "certificate", code, item.release_digest)
            _log.error("certificate does not hold", plugin=item.plugin, code=code)

    site.database.run(write)


def _record(
    site: Site, transaction: Transaction, digest: str, person: Person, raw: bytes
) -> Deployment:
    decision = decision_of(site, person)
    document = transaction.put_governed(
        CERTIFICATE, digest, json.loads(raw), decision.person, decision.decided_at
    )
    site.journal.governed(transaction, document)
    present = known(transaction, decision.site, digest)
    if present.state != "registered":
        return present  # renewed: approvals of the old one no longer count
    subject = subject_of(transaction, "certify", digest, decision)
    certificate, _ = decode(raw)
    evidence = {"certificate": document.digest, "certificate_id": certificate.certificate_id}
    ask_gates(site, transaction, subject, decision, evidence)
    return write_down(site, transaction, subject, decision, evidence).deployment


def set_certificate_state(
    site: Site, certificate_id: str, state: str, person: Person, reason: str
) -> None:
    """Suspend a certificate or reinstate it; a release on a suspended one runs no more.

    Raises
    ------
    NotFoundError : no release here has this certificate.
    RefusalError : the role may not, or the reason is missing.
    """
    decision = decision_of(site, person)
    if state not in ("suspended", "valid") or decision.role not in _JUDGES or not reason.strip():
        raise RefusalError(
            f"expected suspended or valid, a reason, and a role of {', '.join(_JUDGES)}",
            reasons=("ROLE_NOT_PERMITTED" if reason.strip() else "EVIDENCE_MISSING",),
            advice=ADVICE["CERTIFICATE_SUSPENDED"],
        )

    def write(transaction: Transaction) -> None:
        ids = {
            item.content["certificate"]["certificate_id"]
            for item in transaction.governed_all(CERTIFICATE)
        }
        if certificate_id not in ids:
            raise NotFoundError(f"expected a known certificate, found {certificate_id[:64]!r}")
        content = {"state": state, "reason": reason.strip()}
        document = transaction.put_governed(
            STATE, certificate_id, content, decision.person, decision.decided_at
        )
        site.journal.governed(transaction, document)

    site.database.run(write)
