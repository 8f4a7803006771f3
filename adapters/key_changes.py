"""What persons do about keys: trust, rotate, revoke, make an exception, protect; all on record.

Acts of two persons are proposed as a governed document and happen when the second confirms
it.  Each act is committed as a record of kind ``key``, then done: a crash between the two leaves
the key as it was, which `osteon key list` shows, and the act can be repeated.

Read next: `governance/key_acts.py` (the table), `key_book.py`, `log_key.py`; KEYS.md.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.configuration_watch import note_trust
from adapters.database import Transaction
from adapters.governance.persons import Person
from adapters.key_book import on_record
from adapters.key_files import (
    encrypted_text,
    plain_text,
    read_key_file,
    replace_secret,
    secret_of,
)
from adapters.key_passwords import key_password
from adapters.keys import SIGNING, TRUST, id_of, key_path, new_secret, signing_key, trust_locked
from adapters.log_key import finish_log_key, hand_log_over, rewritten_log_key, write_next_log_key
from audit.errors import ConfigurationError, NotFoundError, RefusalError
from governance import key_acts
from governance.key_acts import Proposal
from governance.signing import PURPOSES, TrustedKey, load_trust, store_trust

if TYPE_CHECKING:
    from adapters.compose import Site

_MORE = "Give it as a time with its zone, e.g. 2026-11-25T09:30+01:00."


def propose_trust(site: Site, key: TrustedKey, reason: str, person: Person) -> Proposal:
    """Propose that another's key counts here from now on."""
    details = {
        "public_key": base64.b64encode(key.public_key).decode(),
        "valid_from": key.valid_from.isoformat(),
        "valid_until": key.valid_until.isoformat() if key.valid_until else "",
    }
    key_acts.add(load_trust(site.home.keys / TRUST), key)
    return _propose(site, "trust", (key.key_id, key.purpose), reason, person, details)


def propose_rotation(
    site: Site, purpose: str, reason: str, person: Person, token: str = ""
) -> Proposal:
    """Propose that a new key takes the place of this site's key for a purpose.

    Parameters
    ----------
    token : PKCS#11 URI of the new key; a key that is not there is made in the token.
    """
    if purpose not in SIGNING:
        raise RefusalError(
            f"expected one of {', '.join(SIGNING)}, found {purpose[:20]!r}",
            reasons=("PURPOSE_UNKNOWN",),
            advice="Name a key of this site.",
        )
    of = (own_key_id(site, purpose), purpose)
    return _propose(site, "rotate", of, reason, person, {"token": token})


def propose_exception(
    site: Site, key_id: str, since: datetime, reason: str, person: Person
) -> Proposal:
    """Propose that what was on record before a revoked key was compromised counts on."""
    if since.tzinfo is None:
        raise ConfigurationError("expected a time with its zone, found one without", advice=_MORE)
    key = find_key(site, key_id)
    key_acts.except_before((key,), key.key_id, since, frozenset())  # would it be possible?
    details = {"compromised_from": since.isoformat()}
    return _propose(site, "except", (key.key_id, key.purpose), reason, person, details)


def confirm(site: Site, act_id: str, person: Person) -> Proposal:
    """Do what somebody else has proposed about a key.

    Raises
    ------
    RefusalError : the same person, another role, done already, too old, or the keys have
        changed so that it is not possible any more; nothing was changed.
    """
    with trust_locked(site.home), _refusals(site, "confirm", person):
        with site.database.transaction() as transaction:
            document = transaction.governed(key_acts.KIND, act_id)
            if document is None:
                raise NotFoundError(f"expected a proposal {act_id[:40]!r}, found none")
            proposal = key_acts.decode(document.content)
            done = key_acts.confirm(proposal, person.account_id, person.role, site.now())
            keep(site, transaction, done, person)
            apply = _DO[done.action](site, transaction, done)
        apply()
    _noted(site, person)
    return done


def revoke(site: Site, key_id: str, reason: str, person: Person) -> TrustedKey:
    """Stop trusting a key, at once; nothing that it signed counts from now on."""
    with trust_locked(site.home), _refusals(site, "revoke", person):
        key_acts.require_role("revoke", person.role)
        key_acts.require_reason(reason)
        key = find_key(site, key_id)
        if key.purpose == "log" and key.own:
            raise RefusalError(
                "expected another key than the log's own, found that one",
                reasons=("KEY_OF_LOG",),
                advice="Rotate it: the handover bounds what the old key can sign.",
            )
        trust = load_trust(site.home.keys / TRUST)
        after = key_acts.revoke(trust, key.key_id, site.now(), reason)
        with site.database.transaction() as transaction:
            done = {"action": "revoke", "key_id": key.key_id, "purpose": key.purpose,
                    "reason": reason}  # fmt: skip
            site.journal.key(transaction, done, person.account_id)
        store_trust(site.home.keys / TRUST, after)
    _noted(site, person)
    return find_key(site, key.key_id)


def protect(
    site: Site, purpose: str, new_password: Callable[[], bytes] | None, person: Person
) -> str:
    """Encrypt a key file of this site under a new password, or keep it as it is without one.

    Returns
    -------
    the form that the file has now.
    """
    with trust_locked(site.home), _refusals(site, "protect", person):
        key_acts.require_role("protect", person.role)
        own_key_id(site, purpose)  # made where it is not there yet
        password = new_password() if new_password is not None else None
        path = key_path(site.home, purpose)
        if purpose == "log":
            text = rewritten_log_key(site.home, password)
        else:
            secret = secret_of(read_key_file(path), key_password)
            text = plain_text(secret) if password is None else encrypted_text(secret, password)
        form = "plain" if password is None else "encrypted"
        with site.database.transaction() as transaction:
            done = {"action": "protect", "key_id": own_key_id(site, purpose), "purpose": purpose,
                    "form": form}  # fmt: skip
            site.journal.key(transaction, done, person.account_id)
        replace_secret(path, text)
    return form


def find_key(site: Site, key_id: str) -> TrustedKey:
    """Return a key that is known here by its id; NotFoundError if there is none."""
    for key in load_trust(site.home.keys / TRUST):
        if key.key_id == key_id:
            return key
    raise NotFoundError(
        f"expected a key that is known here, found {key_id[:40]!r}",
        advice="See which there are: `osteon key list`.",
    )


def own_key_id(site: Site, purpose: str) -> str:
    """Return the id of this site's own key for a purpose, which is made at the first call."""
    if purpose == "log":
        return id_of("log", site.keys.log.verifier.public)
    if purpose not in SIGNING:
        raise NotFoundError(f"expected one of {', '.join(SIGNING)}, found {purpose[:20]!r}")
    return signing_key(site.home, purpose, site.now())[1]


def given_key(
    key_id: str, purpose: str, public: str, valid_from: datetime, valid_until: datetime | None
) -> TrustedKey:
    """Return a public key that somebody was given.

    Raises
    ------
    ConfigurationError : it is no Ed25519 key in base64, or purpose or times are wrong.
    """
    try:
        raw = base64.b64decode(public.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    times = [moment for moment in (valid_from, valid_until) if moment is not None]
    if len(raw) != 32 or purpose not in PURPOSES or any(item.tzinfo is None for item in times):
        raise ConfigurationError(
            f"expected 32 bytes in base64, times with a zone, and one of {', '.join(PURPOSES)}"
        )
    if not key_id or not key_id.replace("-", "").replace(".", "").isalnum():
        raise ConfigurationError("expected a key id of letters, digits, dots and dashes")
    return TrustedKey(key_id, purpose, raw, valid_from, valid_until=valid_until)


def keep(site: Site, transaction: Transaction, act: Proposal, person: Person) -> None:
    """Keep an act about a key, proposed or done, with its records."""
    document = transaction.put_governed(
        key_acts.KIND, act.act_id, key_acts.encode(act), person.account_id, site.now()
    )
    site.journal.governed(transaction, document)
    action = act.action if act.state == "done" else f"propose-{act.action}"
    row = {
        "action": action,
        "key_id": act.key_id,
        "purpose": act.purpose,
        "reason": act.reason,
        "act": act.act_id,
        "proposed_by": key_acts.name_of(act.person),
    }
    site.journal.key(transaction, row, person.account_id)


def _propose(
    site: Site,
    action: str,
    of: tuple[str, str],
    reason: str,
    person: Person,
    details: Mapping[str, str],
) -> Proposal:
    with _refusals(site, action, person):
        now = site.now()
        act_id = f"{action}-{now:%Y%m%d}-{secrets.token_hex(4)}"
        proposal = Proposal(
            act_id, action, *of, reason.strip(), person.account_id, person.role, now, details
        )
        made = key_acts.propose(proposal)
        with site.database.transaction() as transaction:
            keep(site, transaction, made, person)
    return made


def _do_trust(site: Site, transaction: Transaction, done: Proposal) -> Callable[[], None]:
    del transaction
    until, path = done.details["valid_until"], site.home.keys / TRUST
    key = given_key(
        done.key_id,
        done.purpose,
        done.details["public_key"],
        datetime.fromisoformat(done.details["valid_from"]),
        datetime.fromisoformat(until) if until else None,
    )
    after = key_acts.add(load_trust(path), key)
    return lambda: store_trust(path, after)


def _do_exception(site: Site, transaction: Transaction, done: Proposal) -> Callable[[], None]:
    path, since = site.home.keys / TRUST, datetime.fromisoformat(done.details["compromised_from"])
    kept = on_record(transaction, find_key(site, done.key_id), since)
    after = key_acts.except_before(load_trust(path), done.key_id, since, kept)
    return lambda: store_trust(path, after)


def _do_rotate(site: Site, transaction: Transaction, done: Proposal) -> Callable[[], None]:
    """Let a new key take the place of the old one; what the old one signed here counts on."""
    path, now = site.home.keys / TRUST, site.now()
    old = find_key(site, done.key_id)
    kept = on_record(transaction, old)
    trust = key_acts.retire(load_trust(path), old.key_id, now, done.reason, kept)
    token, place = done.details.get("token", ""), key_path(site.home, done.purpose)
    if done.purpose == "log":
        public = write_next_log_key(site.home, token)
        hand_log_over(site, transaction, done.confirmed_by)
    else:
        text, public = new_secret(read_key_file(place).form, token)
    new = TrustedKey(id_of(done.purpose, public), done.purpose, public, now, own=True)
    after = key_acts.add(trust, new)

    def apply() -> None:
        if done.purpose == "log":
            finish_log_key(site.home, site.database)
        else:
            replace_secret(place, text)
        store_trust(path, after)

    return apply


@contextmanager
def _refusals(site: Site, action: str, person: Person) -> Iterator[None]:
    """Let a refusal through, and put on record who tried what about a key."""
    try:
        yield
    except RefusalError as refusal:
        row = {"action": f"refused-{action}", "key_id": "none", "purpose": "none"}
        with site.database.transaction() as transaction:
            site.journal.key(transaction, row, person.account_id, refusal.reasons)
        raise


def _noted(site: Site, person: Person) -> None:
    """Keep what counts now, so that the next start finds no change that nobody recorded."""
    note_trust(site, person.account_id)


_DO: Mapping[str, Callable[[Site, Transaction, Proposal], Callable[[], None]]] = {
    "trust": _do_trust,
    "rotate": _do_rotate,
    "except": _do_exception,
}
