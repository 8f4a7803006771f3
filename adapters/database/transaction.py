"""One open transaction of the site database: every subject in one object.

Read next: `database.py`, then `journal.py` (state and record together).
"""

from __future__ import annotations

from adapters.database.accounts import Accounts
from adapters.database.delivery import Deliveries
from adapters.database.deployments import Deployments
from adapters.database.documents import Documents
from adapters.database.governed import Governed
from adapters.database.marks import Marks
from adapters.database.records import Records
from adapters.database.runs import Runs
from adapters.database.studies import Studies


class Transaction(
    Studies, Runs, Marks, Documents, Deliveries, Deployments, Governed, Accounts, Records
):
    """All reads and writes inside one transaction; fulfils the stores of the ports."""
