"""The site database: state and records of a site in one place.

Read `schema.py` (the tables), the subjects `studies.py`, `runs.py`, `documents.py`,
`delivery.py`, `deployments.py`, `accounts.py`, `records.py`, then `database.py` (transactions),
`journal.py` (state and audit record in one transaction) and `vault.py` (the only way
back from a pseudonym).
"""

from adapters.database.database import Database
from adapters.database.transaction import Transaction

__all__ = ["Database", "Transaction"]
