"""The key of the log, and how another takes its place without a break in the chain.

The new key is written beside the old one, the handover is committed with its record, then the
file takes its place; a start after a crash between the last two finishes it.

Read next: `audit/key_chain.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.database import Database, Transaction
from adapters.home import Home
from adapters.key_files import encrypted_text, read_key_file, secret_of
from adapters.key_passwords import key_password
from adapters.keys import (
    SiteKeys,
    key_path,
    log_origin,
    log_signer,
    new_secret,
    signer_in,
    trust_locked,
)
from audit.checkpoint import NoteSigner, Signer, new_signer, parse_secret
from audit.key_chain import KeyChain, chain_of, hand_over, read_handover
from audit.keys import read_secret, write_secret
from audit.log import Log
from governance.ports import GovernedStore

if TYPE_CHECKING:
    from adapters.compose import Site

HANDOVER = "log_handover"
"""Governed document by tree size: the note by which one key of the log took over."""
_NEXT = ".next"


def handovers(documents: GovernedStore) -> tuple[str, ...]:
    """Return the notes by which keys of the log took over, oldest first."""
    return tuple(str(item.content["note"]) for item in documents.governed_all(HANDOVER))


def log_keys(keys: SiteKeys, documents: GovernedStore) -> KeyChain:
    """Return the public keys that the site's log had, oldest first."""
    return chain_of(keys.log.verifier, handovers(documents))


def next_log_key(home: Home) -> NoteSigner:
    """Return the signer of the key that was written beside the one in force."""
    return signer_in(key_path(home, f"log{_NEXT}"), log_origin(home))


def hand_log_over(site: Site, transaction: Transaction, person: str) -> str:
    """Sign the tree by both keys, keep the note and sign on with the new key.

    1. Every record is placed, and the old key signs the tree.
    2. Both keys sign the handover at that size.
    3. Its record is placed, and the new key signs the tree.

    The caller commits, then calls `finish_log_key`; it holds the lock of trust.json.
    """
    before, after = log_signer(site.home).current(), next_log_key(site.home)
    now, known = site.now(), handovers(transaction)
    cosigners, origin = site.log.cosigners, before.verifier.name
    old = Log(origin, before, site.now, cosigners, chain_of(before.verifier, known))
    _place(old, transaction)
    old.sign_checkpoint(transaction, now, force=True)
    note = hand_over(old.head(transaction), before, after)
    size = read_handover(note).checkpoint.size
    document = transaction.put_governed(HANDOVER, f"{size:012d}", {"note": note}, person, now)
    site.journal.governed(transaction, document)
    new = Log(origin, after, site.now, cosigners, chain_of(after.verifier, (*known, note)))
    _place(new, transaction)
    new.sign_checkpoint(transaction, now, force=True)
    return note


def settle_log_key(home: Home, database: Database) -> None:
    """Put a new key of the log in its place when its handover is committed; else drop it."""
    path = key_path(home, f"log{_NEXT}")
    if not path.exists():
        return
    with trust_locked(home):  # whoever hands over holds it until the file is in its place
        finish_log_key(home, database)


def finish_log_key(home: Home, database: Database) -> None:
    """Do what `settle_log_key` does, for a caller that holds the lock."""
    path = key_path(home, f"log{_NEXT}")
    if not path.exists():
        return
    public = next_log_key(home).verifier
    with database.reading() as transaction:
        notes = handovers(transaction)
    if any(read_handover(note).after == public for note in notes):
        path.replace(key_path(home, "log"))
    else:
        path.unlink()


def write_next_log_key(home: Home, token: str) -> bytes:
    """Write a new key of the log beside the one in force, in its form; return its public key."""
    path, origin = key_path(home, f"log{_NEXT}"), log_origin(home)
    path.unlink(missing_ok=True)
    present = read_secret(key_path(home, "log"))
    if present.startswith("{") or token:
        form = read_key_file(key_path(home, "log")).form if present.startswith("{") else "plain"
        text, public = new_secret(form, token)
    else:
        signer = new_signer(origin)
        text, public = signer.secret_text(), signer.verifier.public
    write_secret(path, text)
    return public


def rewritten_log_key(home: Home, password: bytes | None) -> str:
    """Return the text of the log's key file under a new password, or as it is without one."""
    path, origin = key_path(home, "log"), log_origin(home)
    text = read_secret(path)
    if text.startswith("{"):
        secret = secret_of(read_key_file(path), key_password)
    else:
        secret = parse_secret(text).secret_bytes()
    return (
        Signer(origin, secret).secret_text()
        if password is None
        else encrypted_text(secret, password)
    )


def _place(log: Log, transaction: Transaction) -> None:
    while log.integrate(transaction):
        pass
