"""Purge: records whose time is over lose their content, and keep their place in the tree.

1. An administrator proposes: the plan names every record that is due by the policy, not held,
   and known to every audit repository of the site.
2. An approver, another person, approves.  What is due and not held *then*, of the plan, is taken.
3. In one transaction the purge record gets its place in the tree and tombstones replace the
   records.  A crash before the commit changes nothing.
4. The bytes are taken out of the database files too (`Database.scrub`).

Read next: `governance/retention.py`, `audit/tombstone.py`.
"""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from adapters.audit_repository.repository import read_standing
from adapters.database import Transaction
from adapters.governance.persons import Person
from audit.errors import NotFoundError, RecordError, RefusalError
from audit.merkle import leaf_hash
from audit.ports import StoredLeaf
from audit.stated import stated
from audit.tombstone import FLOOR, Tombstone, encode, ranges, sign_order
from governance.holds import standing
from governance.ports import GovernedDocument
from governance.retention import PROPOSERS, Policy, due, for_state, require_two

if TYPE_CHECKING:
    from adapters.compose import Site

KIND, SCHEMA = "purge_order", "osteon.purge-order/1"
LARGEST = 50_000
"""Records of one order; what is left waits for the next."""
LARGEST_RANGES = 20_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What may be purged now.

    Parameters
    ----------
    leaves : ranges of leaf indices, first and last included.
    before : when the youngest of them was recorded; None when there are none.
    """

    leaves: tuple[tuple[int, int], ...]
    count: int
    before: datetime | None
    policy: Policy


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge took; ``is_scrubbed`` is False while readers kept old bytes in the files."""

    order_id: str
    event_id: str
    count: int
    is_scrubbed: bool


def policy_of(site: Site) -> Policy:
    """Return the policy that the configuration sets; ConfigurationError under the floor."""
    section = site.configuration.retention
    return for_state(
        section.state,
        days=section.days,
        treatment_days=section.treatment_days,
        minor_days=section.minor_days,
        by_kind=section.days_by_kind,
    )


def plan(site: Site) -> Plan:
    """Return what may be purged now."""
    with site.database.reading() as transaction:
        return _plan(site, transaction)


def propose(site: Site, person: Person) -> GovernedDocument:
    """Keep a plan as an order that another person has to approve.

    Raises
    ------
    RefusalError : another role, or nothing is due.
    """
    if person.role not in PROPOSERS:
        raise RefusalError(
            f"expected {PROPOSERS[0]} to propose a purge, found {person.role}",
            reasons=("ROLE_NOT_PERMITTED",),
        )

    def write(transaction: Transaction) -> GovernedDocument:
        found = _plan(site, transaction)
        if not found.count:
            raise _nothing_due()
        content = {
            "schema": SCHEMA,
            "state": "proposed",
            "leaves": [list(item) for item in found.leaves],
            "count": found.count,
            "policy_sha256": found.policy.digest,
            "proposed_by": person.account_id,
            "role": person.role,
        }
        name = f"purge-{site.now():%Y%m%d}-{secrets.token_hex(3)}"
        return _put(site, transaction, name, content, person)

    document = site.database.run(write)
    site.seal()
    return document


def approve(site: Site, order_id: str, person: Person) -> Purged:
    """Carry out an order with the approval of a second person.

    Raises
    ------
    NotFoundError : there is no such order, or it was carried out.
    RefusalError : one person alone, another role, or nothing of it is due any more.
    """

    def write(transaction: Transaction) -> tuple[str, int]:
        order = transaction.governed(KIND, order_id)
        if order is None or order.content["state"] != "proposed":
            raise NotFoundError(f"expected a proposed purge {order_id[:40]}, found none")
        proposer = (str(order.content["proposed_by"]), str(order.content["role"]))
        require_two(proposer, (person.account_id, person.role))
        planned = [(int(first), int(last)) for first, last in order.content["leaves"]]
        found = takewhile(lambda leaf: _index(leaf) <= planned[-1][1], _due(site, transaction))
        leaves = [leaf for leaf in found if _within(_index(leaf), planned)]
        if not leaves:
            raise _nothing_due()
        event_id = _purge(site, transaction, leaves, (proposer[0], person.account_id))
        done = {**order.content, "state": "done", "approved_by": person.account_id}
        _put(site, transaction, order_id, done | {"purged": len(leaves)}, person)
        return event_id, len(leaves)

    event_id, count = site.database.run(write)
    site.seal(force=True)
    return Purged(order_id, event_id, count, site.database.scrub())


def _plan(site: Site, transaction: Transaction) -> Plan:
    indices: list[int] = []
    before: datetime | None = None
    gaps = 0
    for leaf in islice(_due(site, transaction), LARGEST):
        index = _index(leaf)
        gaps += not indices or index != indices[-1] + 1
        if gaps > LARGEST_RANGES:
            break
        indices.append(index)
        before = max(before or leaf.recorded_at, leaf.recorded_at)
    return Plan(ranges(indices), len(indices), before, policy_of(site))


def _due(site: Site, transaction: Transaction) -> Iterator[StoredLeaf]:
    """Yield what neither policy nor hold keeps, in the order of the tree.

    Only what a checkpoint covers, and what every audit repository has.
    """
    last, now, policy = transaction.last_checkpoint(), site.now(), policy_of(site)
    holds = standing(transaction)
    sizes = [last.tree_size if last else 0]
    for repository in site.repositories:
        reached = read_standing(transaction, repository.name)
        sizes.append(reached.next_index if reached else 0)
    oldest_rule = timedelta(days=min((policy.days, *policy.by_kind.values())))
    for leaf in transaction.records_before(now - oldest_rule, min(sizes)):
        if due(stated(leaf.leaf), policy, holds, now):
            yield leaf


def _purge(
    site: Site, transaction: Transaction, leaves: Sequence[StoredLeaf], persons: tuple[str, str]
) -> str:
    youngest = max(leaf.recorded_at for leaf in leaves)
    if youngest > site.now() - FLOOR:  # no policy gets here: this is the last door
        raise RecordError(f"expected records of at least {FLOOR.days} days, found a younger one")
    body: dict[str, Any] = {
        "leaves": [list(item) for item in ranges(map(_index, leaves))],
        "count": len(leaves),
        "before": youngest.isoformat(),
        "policy_sha256": policy_of(site).digest,
        "decided_by": persons[0],
        "approved_by": persons[1],
    }
    event_id = site.journal.purge(transaction, sign_order(body, site.keys.log), persons[1])
    while site.log.integrate(transaction):
        pass  # until the purge record has its place, behind everything that it takes
    transaction.put_tombstones(
        (_index(leaf), encode(Tombstone(leaf.event_id, leaf.kind, leaf_hash(leaf.leaf), event_id)))
        for leaf in leaves
    )
    transaction.forget_lines([_index(leaf) for leaf in leaves])
    return event_id


def _put(
    site: Site, transaction: Transaction, name: str, content: dict[str, Any], person: Person
) -> GovernedDocument:
    document = transaction.put_governed(KIND, name, content, person.account_id, site.now())
    site.journal.governed(transaction, document)
    return document


def _within(index: int, planned: Sequence[tuple[int, int]]) -> bool:
    place = bisect_right(planned, index, key=itemgetter(0))
    return place > 0 and index <= planned[place - 1][1]


def _index(leaf: StoredLeaf) -> int:
    if leaf.leaf_index is None:
        raise RecordError("expected a record with its place in the tree, found one without")
    return leaf.leaf_index


def _nothing_due() -> RefusalError:
    return RefusalError(
        "expected records whose time is over and that no hold keeps, found none",
        reasons=("NOTHING_DUE",),
    )
