"""Brings every record to every repository: in order, once, and again until it is there.

1. One process at a time sends to a repository (a lease in the site database).
2. The next records of the tree are read, made into messages and sent in batches.
3. What is certain moves the durable place forward; what is not is sent again.
4. After a failure it waits by the clock of the site (`delivery/backoff.py`), at most 15 minutes;
   the first failure of an outage is on record, and health and metrics show it.

A record that a repository refuses holds up those behind it: leaving one out would be a loss
that nobody sees.  A tombstone has no message.  Sending is no reading by anybody, so it makes no
record of an access, which would have to be sent in turn; that a repository was set up does.

Read next: `../engine/serving.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from adapters.audit_repository.repository import (
    Repository,
    Standing,
    advanced,
    read_standing,
    write_standing,
)
from adapters.audit_views.message import Message, message_of
from adapters.database import Transaction
from adapters.delivery.backoff import next_attempt
from audit.errors import DoorError
from audit.tombstone import is_tombstone

if TYPE_CHECKING:
    from adapters.compose import Site

LEASE = timedelta(minutes=10)
BATCHES = 50
"""Batches of one turn; what is left goes at the next."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a repository is.

    Parameters
    ----------
    behind : records that it is not known to have.
    """

    name: str
    next_index: int
    behind: int
    failures: int
    failing_since: datetime | None
    reason: str


def progress(site: Site) -> tuple[Progress, ...]:
    """Return how far each configured repository is."""
    with site.database.reading() as transaction:
        size = transaction.tree_size()
        found = []
        for repository in site.repositories:
            kept = read_standing(transaction, repository.name)
            standing = kept or Standing(_first(repository, size))
            behind = max(0, size - standing.next_index)
            found.append(
                Progress(
                    repository.name,
                    standing.next_index,
                    behind,
                    standing.failures,
                    standing.failing_since,
                    standing.reason,
                )
            )
    return tuple(found)


def feed(site: Site, repository: Repository) -> int:
    """Send what is due to one repository; return how many records it has for certain now."""
    sent = 0
    for _ in range(BATCHES):
        standing = site.database.run(lambda transaction: _take(site, transaction, repository))
        if standing is None:
            return sent
        upto, messages = _batch(site, repository, standing)
        if upto == standing.next_index:
            _release(site, repository)
            return sent
        arrived, failure = _send(repository, messages)
        reached = upto if failure is None else standing.next_index + _places(messages, arrived)
        sent += arrived
        site.database.run(partial(_note, site, repository, reached, failure))
        if failure is not None:
            return sent
    _release(site, repository)
    return sent


def _send(
    repository: Repository, messages: list[tuple[int, Message]]
) -> tuple[int, DoorError | None]:
    """Return how many arrived for certain, and what ended it."""
    arrived = 0
    try:
        for certain in repository.transport.send([message for _, message in messages]):
            arrived = certain
    except DoorError as error:
        return arrived, error
    return arrived, None


def _places(messages: list[tuple[int, Message]], arrived: int) -> int:
    """Return how many leaf indices the messages that arrived cover."""
    return 0 if not arrived else messages[arrived - 1][0] + 1


def _batch(
    site: Site, repository: Repository, standing: Standing
) -> tuple[int, list[tuple[int, Message]]]:
    """Return up to which index the batch goes, and (place within it, message)."""
    start = standing.next_index
    with site.database.reading() as transaction:
        size = transaction.tree_size()
        stop = min(start + repository.section.batch, size)
        messages = [
            (number, message_of(leaf.leaf, start + number, size))
            for number, leaf in enumerate(transaction.leaves(start, stop))
            if not is_tombstone(leaf.leaf)
        ]
    return max(stop, start), messages


def _take(site: Site, transaction: Transaction, repository: Repository) -> Standing | None:
    """Return the standing under our lease; None when it is not due or another process sends."""
    transaction.lock_sequencer()
    now = site.now()
    standing = read_standing(transaction, repository.name)
    if standing is None:
        standing = Standing(_first(repository, transaction.tree_size()))
    if standing.due_at is not None and standing.due_at > now:
        return None
    if standing.leased_until is not None and standing.leased_until > now:
        return None
    write_standing(transaction, repository.name, replace(standing, leased_until=now + LEASE))
    return standing


def _note(
    site: Site,
    repository: Repository,
    reached: int,
    failure: DoorError | None,
    transaction: Transaction,
) -> None:
    """Keep how far it is; the first failure of an outage becomes a record."""
    now = site.now()
    known = read_standing(transaction, repository.name) or Standing()
    standing = replace(known, next_index=reached, leased_until=None)
    if failure is None:
        write_standing(transaction, repository.name, advanced(standing, reached))
        return
    failures = 1 if reached > known.next_index else known.failures + 1
    if known.failing_since is None:
        site.journal.fault(transaction, failure.code, f"audit-repository.{repository.name}")
    write_standing(
        transaction,
        repository.name,
        replace(
            standing,
            failures=failures,
            due_at=next_attempt(failures, now, repository.name),
            failing_since=known.failing_since or now,
            reason=failure.code,
        ),
    )


def _release(site: Site, repository: Repository) -> None:
    def write(transaction: Transaction) -> None:
        standing = read_standing(transaction, repository.name)
        if standing is not None:
            write_standing(transaction, repository.name, replace(standing, leased_until=None))

    site.database.run(write)


def _first(repository: Repository, size: int) -> int:
    return size if repository.section.first == "now" else 0
