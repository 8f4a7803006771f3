"""Accounts of the site: who may sign in, in which role.

Fulfils `governance.accounts.AccountStore`.

Read next: `records.py`.
"""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import select

from adapters.database.schema import ACCOUNT, put
from adapters.database.session import Session
from governance.accounts import Account


class Accounts(Session):
    """Accounts of a transaction."""

    def account(self, account_id: str) -> Account | None:
        """Return an account, or None."""
        query = select(ACCOUNT).where(ACCOUNT.c.account_id == account_id)
        row = self.connection.execute(query).first()
        return None if row is None else Account(**row._mapping)

    def accounts(self) -> tuple[Account, ...]:
        """Return all accounts, by id."""
        rows = self.connection.execute(select(ACCOUNT).order_by(ACCOUNT.c.account_id))
        return tuple(Account(**row._mapping) for row in rows)

    def put_account(self, account: Account) -> None:
        """Add or replace an account."""
        put(self.connection, ACCOUNT, asdict(account))
