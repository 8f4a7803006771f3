"""Delivery of a run: each document at each target, brought as far as it goes now.

    1  the door: a mode whose results stay at home is refused before anything is planned
    2  plan: one row for each document that a target wants
    3  nothing leaves before its record is durable and in the tree
    4  for each target: its breaker is asked, then
    5     what was tried before is looked for first: a crash or a slow archive doubles nothing
    6     the rest is kept as ``sent`` unless the run was taken out meanwhile, sent, and kept
          as what the target said: a stop and a sending never pass each other unseen
    7     what is stored is read back
    8  the states are returned; a target that is away is no error, only a later time

No transaction is open while a target is spoken to.  Nothing here sleeps: the engine calls
again when `Delivered.next_attempt_at` has come, and doing so twice does it once.

Read next: `attempt.py` (one attempt at one target), `states.py`, `breaker.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import structlog

from adapters.database import Database
from adapters.database.delivery import DeliveryRow
from adapters.database.transaction import Transaction
from adapters.delivery import attempt, breaker
from adapters.delivery.attempt import Attempted, Pair, Terms
from adapters.delivery.backoff import PATIENCE, attempts_within
from adapters.delivery.states import is_due, moved
from adapters.delivery.target import Target
from audit.errors import ConfigurationError
from plugins.host.ports import Delivered, Document, RunRequest

LEAVES = ("clinical", "research")
"""Modes whose results leave; the door states them itself and does not trust its caller."""

RESTING = "TARGET_RESTING"
HELD = "HELD_FOR_REVIEW"
_OPEN = ("pending", "sent", "stored")
_log = structlog.get_logger(__name__)


def _never(_: str) -> bool:
    return False


def _always(_transaction: Transaction, _run_id: str) -> None:
    return None


class SiteDelivery:
    """Carries documents to the targets of a site; fulfils `plugins.host.ports.Delivery`.

    Parameters
    ----------
    require_recorded : called with the run id before anything of it leaves; raises while
        its record is not durable and in the tree.
    now : the clock; aware UTC.
    hold : says for a mode whether its results wait for a person's release.
    may_leave : called in the transaction that marks documents as being sent; raises where
        the run was taken out.
    patience : how long a target may be away before its documents go to the failure queue.
    """

    def __init__(
        self,
        database: Database,
        targets: Sequence[Target],
        *,
        require_recorded: Callable[[str], None],
        now: Callable[[], datetime],
        hold: Callable[[str], bool] = _never,
        may_leave: Callable[[Transaction, str], None] = _always,
        patience: timedelta = PATIENCE,
    ) -> None:
        names = [target.name for target in targets]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"expected targets with different names, found {names}")
        self._database = database
        self._targets = tuple(targets)
        self._require_recorded = require_recorded
        self._now = now
        self._hold = hold
        self._may_leave = may_leave
        self._attempts_limit = attempts_within(patience)

    def deliver(
        self, request: RunRequest, documents: tuple[Document, ...]
    ) -> tuple[Delivered, ...]:
        """Bring each document further and return the state of each at each target.

        Raises
        ------
        LogUnavailableError and what else `require_recorded` raises : nothing left.
        BarredError : the run was taken out; what was not being sent stays.
        StorageError : the site database cannot be used; nothing is lost by coming again.
        """
        # 1
        if request.mode not in LEAVES:
            reason = f"MODE_{request.mode.upper()}"
            return tuple(
                Delivered(target.name, item.kind, item.sop_instance_uid, "held", reason)
                for target, item in self._wanted(documents)
            )
        # 2
        rows = self._database.run(lambda transaction: self._plan(transaction, request, documents))
        # 3
        if any(is_due(row, self._now()) for row in rows.values()):
            self._require_recorded(request.run_id)
        # 4 to 7
        for target in self._targets:
            pairs = [
                (rows[key], document)
                for document in documents
                if (key := (target.name, key_of(document))) in rows
            ]
            self._bring(target, pairs)
        # 8
        return self._states(request.run_id, documents)

    def failures(self) -> tuple[DeliveryRow, ...]:
        """Return the failure queue: every document that a person has to look at."""
        with self._database.reading() as transaction:
            return transaction.deliveries_in("failed")

    def restart(self, run_id: str, target: str | None = None) -> int:
        """Take a run's documents out of the failure queue; return how many.

        The answer is kept, so that nothing is inferred again.
        """
        return self._release(run_id, "failed", target)

    def release(self, run_id: str, target: str | None = None) -> int:
        """Let held documents of a run go; return how many."""
        return self._release(run_id, "held", target)

    def _release(self, run_id: str, state: str, target: str | None) -> int:
        return self._database.run(lambda transaction: reopen(transaction, run_id, state, target))

    def _wanted(self, documents: Iterable[Document]) -> list[tuple[Target, Document]]:
        items = tuple(documents)
        return [
            (target, item)
            for target in self._targets
            for item in items
            if item.kind in target.kinds
        ]

    def _plan(
        self, transaction: Transaction, request: RunRequest, documents: Sequence[Document]
    ) -> dict[tuple[str, str], DeliveryRow]:
        """Return the rows of the run, made where there were none."""
        known = {
            (row.target, row.document_key): row for row in transaction.deliveries(request.run_id)
        }
        held = self._hold(request.mode)
        planned = {}
        for target, item in self._wanted(documents):
            key = (target.name, key_of(item))
            row = known.pop(key, None)
            if row is None or row.content_digest != item.content_digest:
                row = DeliveryRow(
                    request.run_id,
                    *key,
                    item.kind,
                    item.sop_instance_uid,
                    item.content_digest,
                    str(item.path),
                    "held" if held else "pending",
                    reason=HELD if held else "",
                )
                transaction.put_delivery(row)
            planned[key] = row
        for row in known.values():
            if row.state in _OPEN and (row.state != "stored" or row.next_attempt_at):
                # The site no longer has this target, or it no longer wants this kind.
                transaction.put_delivery(moved(row, "failed", reason="TARGET_REMOVED"))
        return planned

    def _bring(self, target: Target, pairs: Sequence[Pair]) -> None:
        """Make one attempt at a target with what is due there."""
        now = self._now()
        due = [pair for pair in pairs if is_due(pair[0], now)]
        if not due or not self._admit(target.name, due, now):
            return
        terms = Terms(self._now, self._attempts_limit)
        # 5
        tried = [pair for pair in due if pair[0].attempts]
        new = [pair for pair in due if not pair[0].attempts]
        if tried:
            looked = self._kept(target, attempt.verify(target, tried, terms))
            if not looked.reached:
                self._postpone(new, looked)
                return
            new += [pair for pair in looked.pairs if _to_send(pair[0], now)]
        # 6
        if new:
            begun = attempt.begin(new, terms)
            self._keep_begun(begun)
            sent = self._kept(target, attempt.send(target, begun, terms))
            stored = [pair for pair in sent.pairs if pair[0].state == "stored"]
            # 7
            if stored:
                self._kept(target, attempt.verify(target, stored, terms))

    def _admit(self, name: str, due: Sequence[Pair], now: datetime) -> bool:
        """Ask the breaker; while the target rests, put off what is due to its end."""

        def ask(transaction: Transaction) -> bool:
            row = transaction.breaker(name)
            admitted = breaker.admit(row, now)
            if admitted is not None:
                if admitted != row:
                    transaction.put_breaker(admitted)
                return True
            for item, _ in due:
                transaction.put_delivery(
                    moved(item, item.state, reason=RESTING, due=row.open_until)
                )
            return False

        return self._database.run(ask)

    def _postpone(self, pairs: Sequence[Pair], failed: Attempted) -> None:
        """Let new documents wait as long as those whose attempt has just failed."""
        due = next((row.next_attempt_at for row, _ in failed.pairs if row.next_attempt_at), None)
        reason = failed.pairs[0][0].reason
        self._keep([(moved(row, "pending", reason=reason, due=due), item) for row, item in pairs])

    def _kept(self, target: Target, attempted: Attempted) -> Attempted:
        """Keep the rows of an attempt together with what it says of the breaker."""

        def keep(transaction: Transaction) -> Attempted:
            old = transaction.breaker(target.name)
            if attempted.reached:
                new, kept = breaker.succeeded(old), attempted
            else:
                new = breaker.failed(old, self._now(), attempted.wait_until)
                kept = attempt.not_before(attempted, new.open_until)
            for row, _ in kept.pairs:
                transaction.put_delivery(row)
            if new != old:
                transaction.put_breaker(new)
            return kept

        kept = self._database.run(keep)
        for row, _ in kept.pairs:
            if row.state != "pending":
                _log.info(
                    "document delivered",
                    run_id=row.run_id,
                    target=row.target,
                    kind=row.kind,
                    state=row.state,
                    reason=row.reason,
                )
        return kept

    def _keep_begun(self, pairs: Sequence[Pair]) -> None:
        def keep(transaction: Transaction) -> None:
            for run_id in {row.run_id for row, _ in pairs}:
                self._may_leave(transaction, run_id)
            for row, _ in pairs:
                transaction.put_delivery(row)

        self._database.run(keep)

    def _keep(self, pairs: Sequence[Pair]) -> None:
        def keep(transaction: Transaction) -> None:
            for row, _ in pairs:
                transaction.put_delivery(row)

        self._database.run(keep)

    def _states(self, run_id: str, documents: Sequence[Document]) -> tuple[Delivered, ...]:
        with self._database.reading() as transaction:
            rows = {(row.target, row.document_key): row for row in transaction.deliveries(run_id)}
        states = []
        for target, item in self._wanted(documents):
            row = rows[target.name, key_of(item)]
            states.append(
                Delivered(
                    target.name,
                    item.kind,
                    item.sop_instance_uid,
                    row.state,
                    row.reason,
                    row.next_attempt_at,
                )
            )
        return tuple(states)


def restart_failed(transaction: Transaction, run_id: str) -> int:
    """Take a run's documents out of the failure queue in the caller's transaction; how many."""
    return reopen(transaction, run_id, "failed", None)


def reopen(transaction: Transaction, run_id: str, state: str, target: str | None) -> int:
    """Let the documents of a run that are in a state be tried again; return how many."""
    rows = [
        row
        for row in transaction.deliveries(run_id)
        if row.state == state and target in (None, row.target)
    ]
    for row in rows:
        # One attempt stays counted: what was tried is looked for before it is sent.
        transaction.put_delivery(moved(row, "pending", attempts=min(row.attempts, 1)))
    for name in {row.target for row in rows}:
        # A person says that the target is back: the next attempt is made at once.
        transaction.put_breaker(breaker.succeeded(transaction.breaker(name)))
    return len(rows)


def key_of(document: Document) -> str:
    """Return the name of a document within its run."""
    return document.sop_instance_uid or f"{document.kind}:{document.path.name}"


def _to_send(row: DeliveryRow, now: datetime) -> bool:
    """Say whether a row that was looked for still has to be sent now."""
    return row.state in ("pending", "sent") and is_due(row, now)
