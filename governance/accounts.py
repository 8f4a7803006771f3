"""Persons, roles and services: who may do what at a site (SEAMS: Persons).

An account is an id, a role and a password verifier; what the verifier is made of is the
adapters' business (argon2).  Four eyes are two accounts.  A service is not an account: it acts
under an identity that no account can have, and nobody can sign in as one.

    clinician, physicist   report, assess, stop, co-approve a certified release
    engineer               builds and registers releases, operates runs
    approver               decides what becomes active; decides about incidents
    compliance             reads everything, pseudonymised; changes nothing
    administrator          accounts and configuration; decides nothing about releases
    service                what runs by itself
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from audit.errors import ConfigurationError

ROLES = (
    "clinician", "physicist", "engineer", "approver", "compliance", "administrator", "service",
)  # fmt: skip

PERSONS = ROLES[:-1]
"""Roles that an account may have that somebody signs in with."""


@dataclass(frozen=True, slots=True)
class Account:
    """One person or service.

    Parameters
    ----------
    account_id : short and without blanks; appears in records, so no real name is needed.
    password_verifier : an argon2 hash, never the password.
    must_change_password : the password was given out once and has to be replaced.
    """

    account_id: str
    role: str
    password_verifier: str
    must_change_password: bool
    created_at: datetime
    disabled_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ConfigurationError(f"expected a role in {', '.join(ROLES)}, found {self.role!r}")
        if not self.account_id or not self.account_id.replace("-", "").replace(".", "").isalnum():
            raise ConfigurationError("expected an account id of letters, digits, dots and dashes")


def service_identity(plugin: str, version: str, node: str) -> str:
    """Return under which identity the worker of a release acts on a machine.

    Examples
    --------
    >>> service_identity("contouring", "0.1.0", "node-a")
    'service:contouring-0.1.0@node-a'
    """
    return f"service:{plugin}-{version}@{node}"


class AccountStore(Protocol):
    """Accounts of the site, inside one open transaction."""

    def account(self, account_id: str) -> Account | None:
        """Return an account, or None."""
        ...

    def accounts(self) -> tuple[Account, ...]:
        """Return all accounts, by id."""
        ...

    def put_account(self, account: Account) -> None:
        """Add or replace an account."""
        ...
