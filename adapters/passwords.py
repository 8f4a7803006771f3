"""Passwords of accounts: argon2id verifiers, one-time passwords, no default password.

Every change of an account is recorded in the transaction that makes it; of a password the
record says that it changed, and nothing of the password.

Source: RFC 9106 (argon2id, second recommended parameter set, the library's default);
NIST SP 800-63B 5.1.1 for the minimum length.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from adapters.database import Database, Transaction
from audit.errors import AuthenticationError, ConfigurationError, NotFoundError
from governance.accounts import PERSONS, Account

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database.journal import SiteJournal

SERVICE = "service:osteon"
MINIMUM_LENGTH = 12
CONCURRENCY = 2  # one verification takes 64 MiB (RFC 9106 Section 4); inference needs the rest
_HASHER = PasswordHasher()
_HASHING = threading.Semaphore(CONCURRENCY)
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))


class Books(Protocol):
    """Where accounts and their records are kept; a `Site` fulfils it."""

    @property
    def database(self) -> Database:
        """The site database."""
        ...

    @property
    def journal(self) -> SiteJournal:
        """Writes the records."""
        ...

    @property
    def now(self) -> Callable[[], datetime]:
        """The clock; aware UTC."""
        ...


def add_account(books: Books, account_id: str, role: str, person: str = SERVICE) -> str:
    """Add an account and return its one-time password, which is shown once and not kept.

    Parameters
    ----------
    person : who adds it, for the record; the first one is added by the service itself.

    Raises
    ------
    ConfigurationError : the id or the role is not one of a person, or the id is in use.
    """
    if role not in PERSONS:
        raise ConfigurationError(f"expected a role in {', '.join(PERSONS)}, found {role[:40]!r}")
    password = secrets.token_urlsafe(12)
    account = Account(account_id, role, _verifier(password), True, books.now())
    with books.database.transaction() as transaction:
        if transaction.account(account_id) is not None:
            raise ConfigurationError(f"expected a new account id, found {account_id!r} in use")
        transaction.put_account(account)
        books.journal.account(transaction, "add", account, person)
    return password


def sign_in(site: Site, account_id: str, password: str, door: str) -> Account:
    """Return the account of a password; the attempt is recorded, good or not.

    An id that is no account's is recorded as a keyed digest: it may be a password that was
    typed into the wrong field.

    Parameters
    ----------
    door : where somebody signed in, as a code: ``pages`` or ``command-line``.

    Raises
    ------
    AuthenticationError : alike for a wrong id and a wrong password.
    """
    try:
        account = check_password(site.database, account_id, password, site.now())
    except AuthenticationError:
        _record(site, "sign-in-refused", account_id, door)
        raise
    _record(site, "sign-in", account_id, door)
    return account


def _record(site: Site, what: str, account_id: str, door: str) -> None:
    with site.database.transaction() as transaction:
        person = f"account:{account_id}"
        if _known(transaction, account_id) is None:
            text = b"osteon.unknown-account/1\0" + account_id.encode(errors="surrogatepass")
            person = f"unknown:{hmac.new(site.keys.session, text, hashlib.sha256).hexdigest()[:12]}"
        site.journal.access(transaction, what, door, person)


def check_password(database: Database, account_id: str, password: str, now: datetime) -> Account:
    """Return the account; AuthenticationError alike for a wrong id and a wrong password."""
    with database.reading() as transaction:
        account = _known(transaction, account_id)
    usable = (
        account is not None
        and account.role in PERSONS
        and (account.disabled_at is None or account.disabled_at > now)
    )
    verifier = account.password_verifier if account is not None and usable else _NOBODY
    try:
        with _HASHING:
            _HASHER.verify(verifier, password.encode(errors="surrogatepass"))
    except (VerificationError, InvalidHashError) as error:
        raise AuthenticationError("expected a known account and its password") from error
    if account is None or not usable:
        raise AuthenticationError("expected a known account and its password")
    return account


def change_password(books: Books, account_id: str, password: str, new_password: str) -> Account:
    """Replace a password, as the account's own act, and return the account.

    Raises
    ------
    AuthenticationError : the password is wrong, or the account was changed meanwhile.
    ConfigurationError : the new password is too short.
    """
    account = check_password(books.database, account_id, password, books.now())
    if len(new_password) < MINIMUM_LENGTH:
        raise ConfigurationError(f"expected a password of at least {MINIMUM_LENGTH} characters")
    changed = replace(
        account, password_verifier=_verifier(new_password), must_change_password=False
    )
    with books.database.transaction() as transaction:
        if transaction.account(account_id) != account:  # disabled while we were hashing
            raise AuthenticationError("expected the account unchanged since its password was read")
        transaction.put_account(changed)
        books.journal.account(transaction, "password", changed, f"account:{account_id}")
    return changed


def disable_account(books: Books, account_id: str, person: str = SERVICE) -> None:
    """Close an account from now on; NotFoundError when it is unknown."""
    with books.database.transaction() as transaction:
        account = transaction.account(account_id)
        if account is None:
            raise NotFoundError(f"expected a known account, found {account_id!r}")
        closed = replace(account, disabled_at=books.now())
        transaction.put_account(closed)
        books.journal.account(transaction, "disable", closed, person)


def _known(transaction: Transaction, account_id: str) -> Account | None:
    """Return an account by what somebody typed; databases refuse NUL and lone surrogates."""
    return transaction.account(account_id) if account_id.isprintable() else None


def _verifier(password: str) -> str:
    with _HASHING:
        return _HASHER.hash(password.encode(errors="surrogatepass"))
