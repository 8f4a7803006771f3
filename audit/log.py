"""The log: records become leaves, leaves become a tree, the tree is signed.

1. A caller appends a record in the transaction that changes the state it records.
2. The sequencer (`Log.integrate`, one at a time) gives committed records their leaf
   indices and extends the tree, many at once.
3. `Log.require_included` holds an output back until its record is in the tree.
4. `Log.sign_checkpoint` signs the tree at most every 60 s or 1,000 records.

Whatever fails here raises, and nothing leaves (fail closed).

Read next: `verify.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from audit.checkpoint import Checkpoint, LogKeys, NoteSigner, sign, split_note, verify
from audit.cosignature import Cosigner
from audit.errors import ConfigurationError, LogTamperedError, LogUnavailableError
from audit.merkle import extend, leaf_hash, prove_inclusion, read_frontier
from audit.ports import LeafDatabase, LeafStore, StoredCheckpoint
from audit.record import Record, encode

GROUP = 10_000
CHECKPOINT_RECORDS = 1_000
CHECKPOINT_INTERVAL = timedelta(seconds=60)
"""SEAMS, Record: at most every 60 s or 1,000 records."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Log:
    """The audit log of one site.

    Parameters
    ----------
    origin : name of the log on the first line of every checkpoint.
    signer : signs under ``origin``; None where only other processes sign.
    now : the clock that says when a checkpoint is due; aware UTC.
    cosigners : further keys of the log that sign every checkpoint (ML-DSA-44).
    keys : what the last checkpoint is verified with; None: the signer's own key.
    """

    origin: str
    signer: NoteSigner | None = None
    now: Callable[[], datetime] = _utc_now
    cosigners: tuple[Cosigner, ...] = ()
    keys: LogKeys | None = None

    def __post_init__(self) -> None:
        if self.signer is not None and self.signer.verifier.name != self.origin:
            raise ConfigurationError("expected a signing key under the log's origin, found another")

    def append(self, store: LeafStore, record: Record) -> str:
        """Add a record in the caller's transaction and return its event id."""
        store.append_leaf(
            record.event_id, record.kind, record.run_id, record.recorded_at, encode(record)
        )
        return record.event_id

    def integrate(self, store: LeafStore, limit: int = GROUP) -> int:
        """Give committed records a place in the tree; return how many.

        Raises
        ------
        LogTamperedError : stored tree and records disagree; nothing was integrated.
        """
        # 1. One sequencer at a time, to the end of this transaction.
        store.lock_sequencer()
        # 2. The tree that is stored must be the one that was left.
        size = self._size(store)
        # 3. Leaf hashes are over the stored bytes.
        waiting = store.waiting_leaves(limit)
        if not waiting:
            return 0
        frontier = read_frontier(size, store.nodes)
        _, completed = extend(frontier, (leaf_hash(leaf) for _, leaf in waiting))
        # 4. Indices and nodes are kept together or not at all.
        store.place_leaves(size, [sequence for sequence, _ in waiting])
        store.put_nodes(completed)
        return len(waiting)

    def seal(self, database: LeafDatabase) -> int:
        """Place every committed record and sign what is due; return how many were placed."""
        placed = 0
        while True:
            group = database.run(self._seal_group)
            placed += group
            if group < GROUP:
                return placed

    def _seal_group(self, store: LeafStore) -> int:
        count = self.integrate(store)
        if self.signer is not None:
            self.sign_checkpoint(store, self.now())
        return count

    def require_included(self, store: LeafStore, event_ids: Sequence[str]) -> None:
        """Return when every record is in the tree.

        Raises
        ------
        LogUnavailableError : one is not yet; try again after `integrate`.
        """
        places = store.leaf_indices(event_ids)
        for event_id in event_ids:
            if places.get(event_id) is None:
                raise LogUnavailableError(f"expected record {event_id} in the tree, found it not")

    def head(self, store: LeafStore) -> Checkpoint:
        """Return size and root hash of the tree as it is stored."""
        size = store.tree_size()
        return Checkpoint(self.origin, size, read_frontier(size, store.nodes).root())

    def prove(self, store: LeafStore, event_id: str) -> tuple[int, int, tuple[bytes, ...]]:
        """Return (leaf index, tree size, inclusion proof) of a record."""
        self.require_included(store, [event_id])
        index = store.leaf_indices([event_id])[event_id]
        assert index is not None  # require_included raised otherwise
        size = store.tree_size()
        return index, size, prove_inclusion(index, size, store.nodes)

    def sign_checkpoint(
        self, store: LeafStore, now: datetime, *, force: bool = False
    ) -> tuple[StoredCheckpoint, ...]:
        """Sign the tree where that is due, and keep the checkpoints.

        Due is every 1,000th record after the last checkpoint, and the whole tree when
        the last one is 60 s old or ``force`` is set.

        Raises
        ------
        LogTamperedError : the tree does not extend the last checkpoint; nothing was signed.
        """
        if self.signer is None:
            raise ConfigurationError("expected the signing key of the log, found none")
        last = store.last_checkpoint()
        if not force and not self._may_be_due(store, last, now):
            return ()
        store.lock_sequencer()
        size = self._size(store)
        last = store.last_checkpoint()
        if last is not None:
            self._check_extends(store, last, self.keys or self.signer.verifier)
        sizes = _due(last, size, now, force=force)
        signed = []
        for at in sizes:
            root = read_frontier(at, store.nodes).root()
            note = sign(Checkpoint(self.origin, at, root), self.signer)
            text, _ = split_note(note)
            note += "".join(cosigner.cosign(text, now) for cosigner in self.cosigners)
            signed.append(StoredCheckpoint(at, root, note, now))
            store.put_checkpoint(signed[-1])
        return tuple(signed)

    def _may_be_due(self, store: LeafStore, last: StoredCheckpoint | None, now: datetime) -> bool:
        """Tell cheaply whether to look closer: most groups of records sign nothing."""
        if last is None or now - last.signed_at >= CHECKPOINT_INTERVAL:
            return True
        return store.tree_size() - last.tree_size >= CHECKPOINT_RECORDS

    def _size(self, store: LeafStore) -> int:
        size = store.tree_size()
        last = store.last_checkpoint()
        if last is not None and last.tree_size > size:
            raise LogTamperedError(
                f"expected at least {last.tree_size} records, which were signed, found {size}"
            )
        if store.node_count() != size:
            raise LogTamperedError(
                f"expected {size} leaf hashes for {size} records, found {store.node_count()}"
            )
        return size

    def _check_extends(self, store: LeafStore, last: StoredCheckpoint, keys: LogKeys) -> None:
        claimed = verify(last.note, keys)
        root = read_frontier(claimed.size, store.nodes).root()
        if claimed.size != last.tree_size or claimed.root_hash != root:
            raise LogTamperedError(
                f"expected the tree to extend the checkpoint of {claimed.size}, found it does not"
            )


def _due(
    last: StoredCheckpoint | None, size: int, now: datetime, *, force: bool
) -> tuple[int, ...]:
    start = 0 if last is None else last.tree_size
    sizes = list(range(start + CHECKPOINT_RECORDS, size + 1, CHECKPOINT_RECORDS))
    overdue = force or last is None or now - last.signed_at >= CHECKPOINT_INTERVAL
    if overdue and size > (sizes[-1] if sizes else start):
        sizes.append(size)
    return tuple(sizes)
