"""The account of somebody whom an identity provider has identified, kept and on record.

Read next: `oidc.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.errors import AuthenticationError
from governance.accounts import Account, Identity, federated_account

if TYPE_CHECKING:
    from adapters.compose import Site

DOOR = "oidc"


def sign_in_identity(site: Site, identity: Identity) -> Account:
    """Return the account of an identity, new or as it stands; the sign-in is recorded.

    Raises
    ------
    AuthenticationError : `governance.accounts.federated_account` says when; recorded too.
    """
    with site.database.transaction() as transaction:
        known = transaction.account(identity.account_id)
        person = f"account:{identity.account_id}" if known is not None else "unknown"
        try:
            account = federated_account(known, identity, site.now())
        except AuthenticationError as error:
            site.journal.access(transaction, "sign-in-refused", DOOR, person)
            failure = error
        else:
            if account != known:
                transaction.put_account(account)
                action = "add" if known is None else "role"
                site.journal.account(transaction, action, account, f"service:{DOOR}")
            site.journal.access(transaction, "sign-in", DOOR, f"account:{account.account_id}")
            return account
    raise failure


def refused(site: Site, person: str = "unknown") -> None:
    """Record that somebody came back from the provider and was not let in."""
    with site.database.transaction() as transaction:
        site.journal.access(transaction, "sign-in-refused", DOOR, person)


def is_federated(account: Account) -> bool:
    """Return whether an account signs in at the provider and has no password here."""
    return account.password_verifier.startswith("oidc:")
