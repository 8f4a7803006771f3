"""Issue notices about an incident, send them, and ask again until they are acknowledged.

What is to be sent is kept before the first attempt, each attempt after it: a process that
dies in between sends twice rather than not at all, and every notice carries its id.

Read next: `views.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from adapters.engine.notices import send
from adapters.governance.acts import act as act_on_release
from adapters.governance.persons import Person
from adapters.incidents.acts import act_of, change, known_incident, new_id
from audit.errors import ConfigurationError, NotFoundError
from governance.incidents import TELLS_PROVIDER, Act, Incident, duty_done, plain_lines
from governance.safety_notices import (
    KIND,
    Notice,
    Recipient,
    acknowledge,
    attempted,
    decode,
    due,
    encode,
    issue,
    notices,
)

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

_RUNNING = ("shadow", "canary", "active", "standby")


def recipients(site: Site, roles: Iterable[str]) -> tuple[Recipient, ...]:
    """Return the configured contacts in one of the roles."""
    wanted = set(roles)
    return tuple(
        Recipient(contact.name, contact.address)
        for contact in site.configuration.incidents.contacts
        if contact.role in wanted
    )


def issue_notice(
    site: Site,
    person: Person,
    incident_id: str,
    kind: str,
    text: Mapping[str, str],
    to: tuple[Recipient, ...],
) -> Notice:
    """Issue a notice about an incident and make the first attempt at every recipient."""
    act = act_of(site, person)
    draft = Notice(
        notice_id=new_id("fsn" if kind == "field_safety_notice" else "ntc", site),
        incident_id=incident_id,
        kind=kind,
        text={language: plain_lines(words) for language, words in text.items() if words.strip()},
        recipients=to,
        issued_at=act.at,
        issued_by=act.person,
        attempts={},
        acknowledged={},
    )
    notice = issue(draft, act)
    with site.database.transaction() as transaction:
        known_incident(transaction, incident_id)
        _keep(site, transaction, notice, act)
    return send_due(site, notice)


def suspend_and_notify(
    site: Site, person: Person, incident_id: str, text: Mapping[str, str]
) -> Notice:
    """Stop the release of an incident, tell the provider, and note when that was done.

    Source: AI Act Art. 26(5).  The stop comes first; each part may be repeated.

    Raises
    ------
    ConfigurationError : the configuration names no provider; the release is stopped all the
        same.
    """
    with site.database.reading() as transaction:
        incident = known_incident(transaction, incident_id)
        states = {d.release_digest: d.state for d in transaction.deployments(incident.plugin)}
    if states.get(incident.release_digest) in _RUNNING:
        reason = {"reason": f"incident {incident_id}"}
        act_on_release(site, "suspend", incident.release_digest, person, reason)
    to = recipients(site, ("provider", "distributor"))
    if not to:
        raise ConfigurationError(
            "expected a contact in the role provider, found none; the release is suspended",
            advice="Add [[incidents.contacts]] with role = 'provider' and send the notice.",
        )
    return issue_notice(site, person, incident_id, "deployer_notice", text, to)


def send_due(site: Site, notice: Notice) -> Notice:
    """Ask every recipient that has to be asked now, and keep how it went."""
    for recipient in due(notice, site.now()):
        outcome = send(site.configuration.notices, recipient.address, _letter(site, notice))
        made = partial(attempted, recipient=recipient.name, at=site.now(), outcome=outcome)
        notice = _change(site, notice.notice_id, made)
    return notice


def send_all_due(site: Site) -> int:
    """Ask again whoever has not acknowledged; return how many notices are still open."""
    with site.database.reading() as transaction:
        open_ones = [notice for notice in notices(transaction) if notice.unacknowledged]
    for notice in open_ones:
        send_due(site, notice)
    return len(open_ones)


def acknowledge_notice(site: Site, person: Person, notice_id: str, recipient: str) -> Notice:
    """Put on record that a recipient has read a notice.

    When the provider acknowledges, the duty to tell it is done at the first attempt that was
    sent (or now, where it was carried there by hand).
    """
    act = act_of(site, person)
    notice = _change(site, notice_id, lambda found: acknowledge(found, recipient, act), act)
    if notice.kind == "deployer_notice":
        change(site, person, notice.incident_id, "provider_told", _provider_told(notice, recipient))
    return notice


def _provider_told(
    notice: Notice, recipient: str
) -> Callable[[Incident, Act, Transaction], Incident]:
    sent = [a.at for a in notice.attempts.get(recipient, ()) if a.outcome == "sent"]
    at = sent[0] if sent else notice.acknowledged[recipient].at

    def what(incident: Incident, act: Act, transaction: Transaction) -> Incident:
        del transaction
        if TELLS_PROVIDER in incident.facts.met:
            return incident
        return duty_done(incident, TELLS_PROVIDER, at, act)

    return what


def _letter(site: Site, notice: Notice) -> dict[str, object]:
    return {
        "event": notice.kind,
        "site": site.configuration.site.name,
        "notice_id": notice.notice_id,
        "incident_id": notice.incident_id,
        "text": {language: list(lines) for language, lines in notice.text.items()},
        "issued_at": notice.issued_at.isoformat(),
        "please": "acknowledge by naming notice_id to the site",
    }


def _change(
    site: Site, notice_id: str, what: Callable[[Notice], Notice], act: Act | None = None
) -> Notice:
    """Keep a notice as ``what`` leaves it; the newest revision is read in the transaction."""
    who = act or Act("service:osteon", "service", site.now())
    with site.database.transaction() as transaction:
        document = transaction.governed(KIND, notice_id)
        if document is None:
            raise NotFoundError(f"expected a notice {notice_id[:40]!r}, found none")
        after = what(decode(document.content))
        _keep(site, transaction, after, who)
    site.log.seal(site.database)
    return after


def _keep(site: Site, transaction: Transaction, notice: Notice, act: Act) -> None:
    known = transaction.governed(KIND, notice.notice_id)
    document = transaction.put_governed(KIND, notice.notice_id, encode(notice), act.person, act.at)
    if known is None or known.revision != document.revision:
        site.journal.governed(transaction, document)
