"""What persons decide in change control: each document with its record in one transaction.

Read next: `origins.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adapters.change.evidence import Brought
from adapters.database import Transaction
from adapters.governance.persons import Person
from audit.errors import NotFoundError, RefusalError
from governance.applicability import with_overrides
from governance.change import stops
from governance.change.classification import Classification
from governance.change.ledger import (
    BASELINE,
    PLAN,
    REQUEST,
    ROLLBACK,
    RUN,
    Baseline,
    ChangeRequest,
    Reference,
    decode,
    decode_baseline,
    encode,
    encode_baseline,
)
from governance.change.plan_reading import HARD_STOPS, plain_json
from governance.change.plan_signing import SignedPlan, open_plan
from governance.change.protocol import ProtocolRun, encode_run
from governance.change.statement import reasons, statement
from governance.change.udi import udi_faults
from governance.legacy import APPLICABILITY, SITE, must_be_accepted
from governance.ports import GovernedDocument
from governance.release import Release

if TYPE_CHECKING:
    from adapters.compose import Site

MAKERS = ("engineer", "physicist", "approver")
DECIDERS = ("approver",)
STOPPERS = ("clinician", "physicist", "engineer", "approver")
REFERENCES = ("change_approval", "certificate")


def keep(
    site: Site, kind: str, name: str, content: Mapping[str, Any], person: str
) -> GovernedDocument:
    """Put a document and its record in one transaction; the same content again adds nothing."""
    return site.database.run(lambda t: _put(site, t, (kind, name), content, person))


def record_protocol(site: Site, run: ProtocolRun, person: str) -> GovernedDocument:
    """Keep one run of the gates, passed or not: every run is on record."""
    return keep(site, RUN, run.release_digest, encode_run(run, person, site.now()), person)


def record_change(
    site: Site,
    found: Classification,
    brought: Brought,
    releases: tuple[Release, Release],
    person: Person,
) -> ChangeRequest:
    """Keep a classification as the change request of the new release.

    References of the notified body that an earlier request of the release had are kept.  A
    rollback to a certified release is kept beside it, since the request by which that release
    was certified stays what it is.

    Raises
    ------
    RefusalError : the person's role may not.
    """
    require_role(person, MAKERS)
    old, new = releases

    def write(transaction: Transaction) -> ChangeRequest:
        kind = ROLLBACK if "rollback" in found.kinds else REQUEST
        known = transaction.governed(kind, new.digest)
        facts = {
            **statement(found),
            "statements": dict(brought.declaration.statements),
            "modifications": list(brought.declaration.modifications),
            "evidence": {
                name: {"sha256": file.digest, "signed_by": file.signed_by}
                for name, file in brought.files.items()
            },
            "udi_faults": reasons(udi_faults(old.manifest, new.manifest, found.udi)),
            "classified_by": person.account_id,
        }
        request = replace(found.request, facts=facts)
        on = site.now().date()
        facts["ends_legacy"] = must_be_accepted(transaction, request, on)
        if known is not None:
            request = replace(request, references=decode(known.content).references)
        _put(site, transaction, (kind, new.digest), encode(request), person.account_id)
        return request

    return site.database.run(write)


def add_reference(
    site: Site, release_digest: str, reference: Reference, person: Person
) -> ChangeRequest:
    """Keep what the notified body gave for a change.

    Raises
    ------
    NotFoundError : the release has no change request.
    RefusalError : the role may not, or the reference is not one.
    """
    require_role(person, DECIDERS)
    if reference.kind not in REFERENCES or reference.valid_until <= reference.valid_from:
        raise RefusalError(
            f"expected a kind of {', '.join(REFERENCES)} and an end after its beginning",
            reasons=("REFERENCE_INVALID",),
            advice="State kind, id and validity as the notified body does.",
        )
    return _revise(
        site,
        release_digest,
        person,
        lambda request: replace(request, references=(*request.references, reference)),
    )


def withdraw(site: Site, release_digest: str, reason: str, person: Person) -> ChangeRequest:
    """Take a change back; what it looked at stays counted, its place among updates is free."""
    require_role(person, MAKERS)
    _require_reason(reason)
    return _revise(
        site,
        release_digest,
        person,
        lambda r: replace(r, withdrawn=True, facts={**r.facts, "withdrawn_because": reason}),
    )


def name_baseline(site: Site, baseline: Baseline, person: Person) -> GovernedDocument:
    """Name the certified release that changes are counted against from now on.

    Raises
    ------
    NotFoundError : the release does not lie here.
    RefusalError : the role may not, the date lies ahead, or it is the old certificate again:
        only a new one resets the budget.
    """
    require_role(person, DECIDERS)
    row = site.registry.row(baseline.release_digest)
    if row.plugin != baseline.plugin or baseline.certified_at > site.now():
        raise RefusalError(
            "expected a release of the plugin, certified before now",
            reasons=("BASELINE_INVALID",),
            advice="Name the release of the certificate, and the day it was issued.",
        )

    def write(transaction: Transaction) -> GovernedDocument:
        for item in transaction.governed_history(BASELINE, baseline.plugin):
            known = decode_baseline(item)
            again = known.certificate_id == baseline.certificate_id
            if again and known.release_digest != baseline.release_digest:
                raise RefusalError(
                    f"certificate {baseline.certificate_id} is that of another release",
                    reasons=("CERTIFICATE_OF_OTHER_RELEASE",),
                    advice="Only a new certificate makes another baseline.",
                )
        content = encode_baseline(baseline)
        return _put(site, transaction, (BASELINE, baseline.plugin), content, person.account_id)

    return site.database.run(write)


def adopt_plan(site: Site, raw: bytes, person: Person) -> SignedPlan:
    """Put a signed plan in force for its plugin.

    Raises
    ------
    ConfigurationError, SignatureError : it is not complete, or not signed by a trusted key.
    RefusalError : the role may not.
    """
    require_role(person, DECIDERS)
    signed = open_plan(raw, site.registry.trust())
    keep(site, PLAN, signed.plan.plugin, signed.document, person.account_id)
    return signed


def set_stop(
    site: Site, plugin: str, name: str, *, is_open: bool, reason: str, person: Person
) -> GovernedDocument:
    """State that a hard stop is open, or that it is clear.

    Raises
    ------
    RefusalError : the role may not, there is no reason, or the site knows this stop itself.
    """
    require_role(person, STOPPERS if is_open else DECIDERS)
    _require_reason(reason)
    if name not in stops.STATED:
        raise RefusalError(
            f"expected one of {', '.join(stops.STATED)}, found {name[:40]!r}",
            reasons=("STOP_UNKNOWN",),
            advice=f"The site knows {', '.join(set(HARD_STOPS) - set(stops.STATED))} itself.",
        )

    def write(transaction: Transaction) -> GovernedDocument:
        known = transaction.governed(stops.KIND, plugin)
        before = known.content if known else {}
        content = stops.state(before, name, is_open, reason.strip(), site.now())
        return _put(site, transaction, (stops.KIND, plugin), content, person.account_id)

    return site.database.run(write)


def adopt_applicability(
    site: Site, document: Mapping[str, Any], person: Person
) -> GovernedDocument:
    """Lay the site's own dates over the data of duties; the change is on record."""
    require_role(person, ("approver", "administrator"))
    with_overrides(document)
    return keep(site, APPLICABILITY, SITE, plain_json(document), person.account_id)


def _revise(
    site: Site,
    release_digest: str,
    person: Person,
    change: Callable[[ChangeRequest], ChangeRequest],
) -> ChangeRequest:
    def write(transaction: Transaction) -> ChangeRequest:
        known = transaction.governed(REQUEST, release_digest)
        if known is None:
            raise NotFoundError(
                f"expected a change request of {release_digest}, found none",
                advice="Classify the change: `osteon change classify OLD NEW --record`.",
            )
        request = change(decode(known.content))
        place = (REQUEST, release_digest)
        _put(site, transaction, place, encode(request), person.account_id)
        return request

    return site.database.run(write)


def _put(
    site: Site,
    transaction: Transaction,
    place: tuple[str, str],
    content: Mapping[str, Any],
    person: str,
) -> GovernedDocument:
    kind, name = place
    known = transaction.governed(kind, name)
    document = transaction.put_governed(kind, name, content, person, site.now())
    if known is None or known.revision != document.revision:
        site.journal.governed(transaction, document)
    return document


def require_role(person: Person, roles: tuple[str, ...]) -> None:
    """Return when the person's role is one of these; RefusalError if not."""
    if person.role not in roles:
        raise RefusalError(
            f"role {person.role} is not one of {', '.join(roles)}",
            reasons=("ROLE_NOT_PERMITTED",),
            advice="Let a person in that role do it.",
        )


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise RefusalError("expected a reason", reasons=("EVIDENCE_MISSING",), advice="Say why.")


def day(text: str, now: datetime) -> datetime:
    """Return a day or moment that a person wrote, as aware UTC time; RefusalError if it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise RefusalError(
            f"expected a date YYYY-MM-DD, found {text[:40]!r}",
            reasons=("DATE_INVALID",),
            advice="Write the date as in ISO 8601.",
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)
