"""Checks the log as an outsider would: records, public key, checkpoints, nothing else.

1. Every checkpoint is signed by the log's key, and they grow.
2. Every record has the next leaf index and is what its kept leaf hash says.
3. At each checkpoint's size the root computed from the records is the signed one, so
   each checkpoint extends the one before.
4. No signed record is missing at the end, and none stands outside the tree.
5. Where a record was purged its tombstone keeps the leaf hash, and a signed purge record
   further on covers it.

A checkpoint that lies elsewhere (a witness, a print-out) can be given too: then a log
that was cut or rebuilt together with its own checkpoints is found.

Read next: `README.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from audit import tombstone
from audit.checkpoint import LogKeys, verify
from audit.errors import LogTamperedError, RecordError
from audit.merkle import Frontier, grow, leaf_hash, read_frontier
from audit.ports import LeafDatabase, LeafStore, StoredLeaf
from audit.stated import stated as read

_GROUP = 4096
LEFTOVER_AGE = timedelta(minutes=2)
"""A living site places its records within seconds; twice the checkpoint interval is late."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What was checked: records, their root (hex), and how many of them checkpoints cover.

    ``purged_count`` of them are tombstones of records that were purged in their time.
    """

    tree_size: int
    root_hash: str
    signed_size: int
    checkpoint_count: int
    purged_count: int = 0


def verify_records(
    leaves: Iterable[StoredLeaf],
    notes: Iterable[str],
    key: LogKeys,
    anchors: Iterable[str] = (),
    *,
    own_columns: bool = False,
) -> Summary:
    """Check records against signed checkpoints; records are streamed, in any number.

    Parameters
    ----------
    leaves : in the order of the tree.
    notes : signed checkpoints that lie with the log, in any order.
    anchors : those that were kept elsewhere; what agrees with the log's own notes alone
        may have been written anew together with them.
    own_columns : whether ids and kind of a leaf were read from its own bytes.

    Raises
    ------
    LogTamperedError : names the first record that is not what was signed.
    """
    signed = _Signed(notes, anchors, key)
    frontier, pending = Frontier(), list[bytes]()
    signed.check(0, frontier)
    purges = _Purges(key)
    for index, leaf in enumerate(leaves):
        pending.append(_check_leaf(leaf, index, own_columns=own_columns))
        if leaf.kind == tombstone.PURGE or tombstone.is_tombstone(leaf.leaf):
            purges.note(leaf, index)
        if signed.next_size == index + 1 or len(pending) == _GROUP:
            frontier, pending = grow(frontier, pending), []
            signed.check(index + 1, frontier)
    frontier = grow(frontier, pending)
    purges.check()
    signed.check_end(frontier.size)
    root = frontier.root().hex()
    return Summary(frontier.size, root, signed.size, signed.count, purges.count)


class _Signed:
    """The signed roots by size, and how far they were found to be those of the records."""

    def __init__(self, notes: Iterable[str], anchors: Iterable[str], key: LogKeys) -> None:
        own, kept = dict[str, bool](), tuple(anchors)
        own |= dict.fromkeys(notes, False) | dict.fromkeys(kept, True)
        found = [(verify(note, key), anchored) for note, anchored in own.items()]
        self._remaining = sorted(found, key=lambda item: item[0].size, reverse=True)
        self.count = len({checkpoint.size for checkpoint, _ in found})
        self.size = self._anchored_size = 0

    @property
    def next_size(self) -> int:
        """The smallest size that is still to be checked, -1 after the last."""
        return self._remaining[-1][0].size if self._remaining else -1

    def check(self, size: int, frontier: Frontier) -> None:
        """Hold the records before ``size`` against every root that was signed of them."""
        if self.next_size != size:
            return
        root = frontier.root()
        here = []
        while self.next_size == size:
            here.append(self._remaining.pop())
        wrong = [anchored for checkpoint, anchored in here if checkpoint.root_hash != root]
        if wrong:
            # Who has the key writes checkpoints anew, but not those that lie elsewhere.
            first = self.size if not all(wrong) else self._anchored_size
            forked = "; two signed trees of this size differ" if len(wrong) < len(here) else ""
            raise LogTamperedError(
                f"expected the records {first} to {size - 1} that were signed, "
                f"found at least one changed, added, removed or moved{forked}"
            )
        self.size = size
        if any(anchored for _, anchored in here):
            self._anchored_size = size

    def check_end(self, size: int) -> None:
        """Return when nothing that was signed is missing behind the last record."""
        if self._remaining:
            raise LogTamperedError(
                f"expected {self._remaining[0][0].size} records, which were signed, found the log "
                f"cut at record {size}"
            )


def verify_site(
    database: LeafDatabase,
    key: LogKeys,
    anchors: Sequence[str] = (),
    *,
    now: datetime | None = None,
) -> Summary:
    """Check the whole log of a site as it is at this moment; raises as `verify_store` does."""
    with database.reading() as store:
        return verify_store(store, key, anchors, now=now)


def verify_store(
    store: LeafStore,
    key: LogKeys,
    anchors: Sequence[str] = (),
    *,
    now: datetime | None = None,
) -> Summary:
    """Check everything that a store holds.

    Parameters
    ----------
    anchors : signed checkpoints that were kept elsewhere.
    now : aware UTC; a record older than `LEFTOVER_AGE` must have its place in the tree.

    Raises
    ------
    LogTamperedError : records, tree and checkpoints disagree, or an older record stands
        outside the tree (`Log.seal` places those that a crash left over).
    """
    stored = store.checkpoints()
    size = store.tree_size()
    for checkpoint in stored:
        claimed = verify(checkpoint.note, key)
        if (claimed.size, claimed.root_hash) != (checkpoint.tree_size, checkpoint.root_hash):
            raise LogTamperedError(
                f"expected checkpoint {checkpoint.tree_size} as signed, found its row changed"
            )
    notes = [checkpoint.note for checkpoint in stored]
    summary = verify_records(store.leaves(0, size), notes, key, anchors)
    if store.node_count() != size:
        raise LogTamperedError(
            f"expected {store.node_count()} records as in the tree, found the log cut at {size}"
        )
    if read_frontier(size, store.nodes).root().hex() != summary.root_hash:
        raise LogTamperedError("expected the stored tree of these records, found another")
    waiting = store.unplaced((now or datetime.now(UTC)) - LEFTOVER_AGE)
    if waiting:
        raise LogTamperedError(
            f"expected every record in the tree, found {len(waiting)} outside, first {waiting[0]}",
            advice="Start the service once; records that a crash left over are then placed.",
        )
    return summary


class _Purges:
    """The tombstones of a log, and what its purge records cover."""

    def __init__(self, key: LogKeys) -> None:
        self._key = key
        self._dead: list[tombstone.Range] = []
        self._covered: list[tombstone.Range] = []
        self.count = 0

    def note(self, leaf: StoredLeaf, index: int) -> None:
        """Take up a leaf that was found whole."""
        if tombstone.is_tombstone(leaf.leaf):
            self.count += 1
            last = self._dead[-1] if self._dead else (-1, -2)
            first = last[0] if last[1] == index - 1 else index
            if first != index:
                self._dead.pop()
            self._dead.append((first, index))
        elif leaf.kind == tombstone.PURGE:
            covered = _order(leaf.leaf, index, self._key)
            if any(not 0 <= first <= last < index for first, last in covered):
                raise LogTamperedError(f"expected purge {index} of earlier records, found others")
            self._covered += covered

    def check(self) -> None:
        """Return when every tombstone is covered; LogTamperedError names the first that is not."""
        tombstone.check_covered(self._dead, self._covered)


def _order(leaf: bytes, index: int, key: LogKeys) -> tuple[tombstone.Range, ...]:
    try:
        record = read(leaf)
    except RecordError as error:
        raise LogTamperedError(f"expected a record at index {index}, found other bytes") from error
    return tombstone.check_order(record.body, record.recorded_at, *key.at(index + 1))


def _check_tombstone(leaf: StoredLeaf, index: int) -> bytes:
    stated = tombstone.decode(leaf.leaf)
    if leaf.kept_hash is not None and stated.leaf_hash != leaf.kept_hash:
        raise LogTamperedError(f"expected the tombstone of record {index}, found another")
    if (stated.event_id, stated.kind) != (leaf.event_id, leaf.kind):
        raise LogTamperedError(f"expected record {index} under its own ids, found others")
    return stated.leaf_hash


def _check_leaf(leaf: StoredLeaf, index: int, *, own_columns: bool) -> bytes:
    if leaf.leaf_index != index:
        raise LogTamperedError(f"expected record {index}, found index {leaf.leaf_index}")
    if tombstone.is_tombstone(leaf.leaf):
        return _check_tombstone(leaf, index)
    value = leaf_hash(leaf.leaf)
    if leaf.kept_hash is not None and value != leaf.kept_hash:
        raise LogTamperedError(f"expected record {index} as it was hashed, found it changed")
    if own_columns:
        return value
    try:
        stated = json.loads(leaf.leaf)
        columns = (stated["event_id"], stated["kind"], stated.get("run_id"))
        moment = datetime.fromisoformat(stated["recorded_at"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LogTamperedError(f"expected a record at index {index}, found other bytes") from error
    if columns != (leaf.event_id, leaf.kind, leaf.run_id):
        raise LogTamperedError(f"expected record {index} under its own ids, found others")
    if moment != leaf.recorded_at:
        raise LogTamperedError(f"expected record {index} at its own time, found another")
    return value
