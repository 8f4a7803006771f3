"""One open transaction of the site database: every subject in one object.

Read next: `database.py`, then `journal.py` (state and record together).
"""

from __future__ import annotations

from adapters.database.accounts import Accounts
from adapters.database.attestations import Attestations
from adapters.database.chains import Chains
from adapters.database.courses import Courses
from adapters.database.delivery import Deliveries
from adapters.database.deployments import Deployments
from adapters.database.documents import Documents
from adapters.database.erasing import Erasing
from adapters.database.governed import Governed
from adapters.database.marks import Marks
from adapters.database.monitoring import Monitoring
from adapters.database.oversight import Oversight
from adapters.database.plan_comparisons import PlanComparisons
from adapters.database.resources import Resources
from adapters.database.search import Search
from adapters.database.studies import Studies
from adapters.database.visits import Visits


class Transaction(
    Studies,
    Courses,
    Marks,
    Documents,
    Deliveries,
    Deployments,
    Governed,
    Accounts,
    Oversight,
    PlanComparisons,
    Visits,
    Search,
    Erasing,
    Attestations,
    Monitoring,
    Resources,
    Chains,
):
    """All reads and writes inside one transaction; fulfils the stores of the ports."""
