"""Passwords of accounts: argon2id verifiers, one-time passwords, no default password.

Source: RFC 9106 (argon2id, second recommended parameter set, the library's default);
NIST SP 800-63B 5.1.1 for the minimum length.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from adapters.database import Database
from audit.errors import AuthenticationError, ConfigurationError, NotFoundError
from governance.accounts import Account

MINIMUM_LENGTH = 12
_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))


def add_account(database: Database, account_id: str, role: str, now: datetime) -> str:
    """Add an account and return its one-time password, which is shown once and not kept."""
    password = secrets.token_urlsafe(12)
    account = Account(account_id, role, _HASHER.hash(password), True, now)
    with database.transaction() as transaction:
        if transaction.account(account_id) is not None:
            raise ConfigurationError(f"expected a new account id, found {account_id!r} in use")
        transaction.put_account(account)
    return password


def check_password(database: Database, account_id: str, password: str, now: datetime) -> Account:
    """Return the account; AuthenticationError alike for a wrong id and a wrong password."""
    with database.transaction() as transaction:
        account = transaction.account(account_id)
    usable = account is not None and (account.disabled_at is None or account.disabled_at > now)
    verifier = account.password_verifier if account is not None and usable else _NOBODY
    try:
        _HASHER.verify(verifier, password)
    except (VerificationError, InvalidHashError) as error:
        raise AuthenticationError("expected a known account and its password") from error
    if account is None or not usable:
        raise AuthenticationError("expected a known account and its password")
    return account


def change_password(
    database: Database, account_id: str, password: str, new_password: str, now: datetime
) -> None:
    """Replace a password; ConfigurationError when the new one is too short."""
    account = check_password(database, account_id, password, now)
    if len(new_password) < MINIMUM_LENGTH:
        raise ConfigurationError(f"expected a password of at least {MINIMUM_LENGTH} characters")
    changed = replace(
        account, password_verifier=_HASHER.hash(new_password), must_change_password=False
    )
    with database.transaction() as transaction:
        transaction.put_account(changed)


def disable_account(database: Database, account_id: str, now: datetime) -> None:
    """Close an account from now on; NotFoundError when it is unknown."""
    with database.transaction() as transaction:
        account = transaction.account(account_id)
        if account is None:
            raise NotFoundError(f"expected a known account, found {account_id!r}")
        transaction.put_account(replace(account, disabled_at=now))
