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

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from audit.errors import AuthenticationError, ConfigurationError

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


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is, by the word of an identity provider.

    Parameters
    ----------
    binding : digest of the provider and its own name of the person, which never changes hands.
    account_id, role : what the site calls the person, and what the person may do here.
    """

    binding: str
    account_id: str
    role: str


def federated_account(known: Account | None, identity: Identity, now: datetime) -> Account:
    """Return the account of somebody whom a provider has identified.

    Parameters
    ----------
    known : the account of that id, None where the site has none yet.

    Raises
    ------
    AuthenticationError : the id belongs to a local account or to another person, the account
        is closed, or the role is one that no provider may give.
    """
    if identity.role not in PERSONS or identity.role == "administrator":
        raise AuthenticationError("expected a role that a provider may give, found another")
    if known is None:
        return Account(identity.account_id, identity.role, identity.binding, False, now)
    if known.password_verifier != identity.binding:
        raise AuthenticationError(
            "expected an account of this person, found one of somebody else under the same id"
        )
    if known.disabled_at is not None and known.disabled_at <= now:
        raise AuthenticationError("expected an open account, found it closed")
    return replace(known, role=identity.role)


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
