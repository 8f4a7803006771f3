"""The audit log's tables: records, tree nodes, checkpoints.

Fulfils `audit.ports.LeafStore`.  Triggers of the database forbid to change or delete a
record, a node or a checkpoint; the tree finds it where someone removed the triggers.

Read next: `database.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import and_, bindparam, func, select, text, tuple_, update

from adapters.database import sqlite_leaves
from adapters.database.schema import CHECKPOINT, LEAF, TREE_NODE
from adapters.database.session import Session
from audit.ports import NodeKey, StoredCheckpoint, StoredLeaf
from audit.tombstone import is_tombstone

_PAGE = 1000
_LOCK_ID = 0x6F7374656F6E01  # "osteon" and 1: the sequencer's advisory lock

_LEAF_COLUMNS = (
    LEAF.c.sequence,
    LEAF.c.leaf_index,
    LEAF.c.event_id,
    LEAF.c.kind,
    LEAF.c.run_id,
    LEAF.c.recorded_at,
    LEAF.c.leaf,
)


class Records(Session):
    """The leaf store of a transaction."""

    def append_leaf(
        self, event_id: str, kind: str, run_id: str | None, recorded_at: datetime, leaf: bytes
    ) -> None:
        """Add a record without a place in the tree."""
        if self.sqlite is not None:
            sqlite_leaves.append(self.sqlite, event_id, kind, run_id, recorded_at, leaf)
            return
        self.connection.execute(
            LEAF.insert().inline(),
            {
                "event_id": event_id,
                "kind": kind,
                "run_id": run_id,
                "recorded_at": recorded_at,
                "leaf": leaf,
            },
        )

    def lock_sequencer(self) -> None:
        """Wait until this transaction alone gives leaf indices; held to its end.

        SQLite: every writing transaction is BEGIN IMMEDIATE, so that there is one already.
        """
        if self.connection.dialect.name == "postgresql":
            self.connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})

    def tree_size(self) -> int:
        """Return the number of records that have a place in the tree."""
        if self.sqlite is not None:
            return sqlite_leaves.tree_size(self.sqlite)
        last = self.connection.scalar(select(func.max(LEAF.c.leaf_index)))
        return 0 if last is None else int(last) + 1

    def node_count(self) -> int:
        """Return the number of leaf hashes kept at level 0."""
        if self.sqlite is not None:
            return sqlite_leaves.node_count(self.sqlite)
        query = select(func.max(TREE_NODE.c.node_index)).where(TREE_NODE.c.level == 0)
        last = self.connection.scalar(query)
        return 0 if last is None else int(last) + 1

    def waiting_leaves(self, limit: int) -> Sequence[tuple[int, bytes]]:
        """Return (sequence, leaf) of committed records without a place, in order."""
        if self.sqlite is not None:
            return sqlite_leaves.waiting(self.sqlite, limit)
        query = (
            select(LEAF.c.sequence, LEAF.c.leaf)
            .where(LEAF.c.leaf_index.is_(None))
            .order_by(LEAF.c.sequence)
            .limit(limit)
        )
        return [(int(number), bytes(leaf)) for number, leaf in self.connection.execute(query)]

    def place_leaves(self, first_index: int, sequences: Sequence[int]) -> None:
        """Give consecutive leaf indices from ``first_index``."""
        if self.sqlite is not None:
            sqlite_leaves.place(self.sqlite, first_index, sequences)
            return
        self.connection.execute(
            text(
                "UPDATE leaf SET leaf_index = :first + placed.n - 1 "
                "FROM unnest(CAST(:numbers AS bigint[])) WITH ORDINALITY AS placed(sequence, n)"
                " WHERE leaf.sequence = placed.sequence"
            ),
            {"first": first_index, "numbers": list(sequences)},
        )

    def put_nodes(self, nodes: Iterable[tuple[NodeKey, bytes]]) -> None:
        """Keep hashes of complete subtrees; each once."""
        if self.sqlite is not None:
            sqlite_leaves.put_nodes(self.sqlite, nodes)
            return
        rows = [(level, index, value) for (level, index), value in nodes]
        if not rows:
            return
        levels, indices, hashes = zip(*rows, strict=True)
        self.connection.execute(
            text(
                "INSERT INTO tree_node (level, node_index, hash) SELECT * FROM unnest("
                "CAST(:l AS integer[]), CAST(:i AS bigint[]), CAST(:h AS bytea[]))"
            ),
            {"l": list(levels), "i": list(indices), "h": list(hashes)},
        )

    def nodes(self, keys: Iterable[NodeKey]) -> Mapping[NodeKey, bytes]:
        """Return those of the hashes that are kept."""
        if self.sqlite is not None:
            return sqlite_leaves.nodes(self.sqlite, keys)
        asked = list(keys)
        place = tuple_(TREE_NODE.c.level, TREE_NODE.c.node_index)
        found: dict[NodeKey, bytes] = {}
        for start in range(0, len(asked), _PAGE // 4):
            query = select(TREE_NODE).where(place.in_(asked[start : start + _PAGE // 4]))
            for level, index, value in self.connection.execute(query):
                found[level, index] = bytes(value)
        return found

    def leaf_indices(self, event_ids: Sequence[str]) -> Mapping[str, int | None]:
        """Return the place of each record that is stored."""
        query = select(LEAF.c.event_id, LEAF.c.leaf_index).where(LEAF.c.event_id.in_(event_ids))
        return {str(event_id): index for event_id, index in self.connection.execute(query)}

    def leaves(self, start: int, stop: int) -> Iterator[StoredLeaf]:
        """Yield records by leaf index in [start, stop), without holding all of them."""
        if self.sqlite is not None:
            yield from sqlite_leaves.leaves(self.sqlite, start, stop)
            return
        kept = and_(TREE_NODE.c.level == 0, TREE_NODE.c.node_index == LEAF.c.leaf_index)
        joined = LEAF.outerjoin(TREE_NODE, kept)
        while start < stop:
            end = min(start + _PAGE, stop)
            query = (
                select(*_LEAF_COLUMNS, TREE_NODE.c.hash)
                .select_from(joined)
                .where(LEAF.c.leaf_index >= start, LEAF.c.leaf_index < end)
                .order_by(LEAF.c.leaf_index)
            )
            for row in self.connection.execute(query):
                yield StoredLeaf(*row[:6], leaf=bytes(row.leaf), kept_hash=_bytes(row.hash))
            start = end

    def leaf_hashes(self, stop: int) -> Iterator[bytes]:
        """Yield the leaf hashes of the first ``stop`` records, in order."""
        for start in range(0, stop, _PAGE):
            end = min(start + _PAGE, stop)
            keys = [(0, index) for index in range(start, end)]
            found = self.nodes(keys)
            yield from (found[key] for key in keys)

    def leaves_at(self, leaf_indices: Sequence[int]) -> Mapping[int, bytes]:
        """Return the stored bytes of some records by their leaf index."""
        query = select(LEAF.c.leaf_index, LEAF.c.leaf).where(LEAF.c.leaf_index.in_(leaf_indices))
        return {int(index): bytes(leaf) for index, leaf in self.connection.execute(query)}

    def records_of(self, run_id: str) -> tuple[StoredLeaf, ...]:
        """Return the records of one run in order of arrival; those that were purged are gone."""
        query = select(*_LEAF_COLUMNS).where(LEAF.c.run_id == run_id)
        rows = self.connection.execute(query.order_by(LEAF.c.sequence))
        found = (StoredLeaf(*row[:6], leaf=bytes(row.leaf)) for row in rows)
        return tuple(leaf for leaf in found if not is_tombstone(leaf.leaf))

    def records_before(self, moment: datetime, size: int) -> Iterator[StoredLeaf]:
        """Yield what was recorded before a moment and lies in a tree of ``size``, by index."""
        query = (
            select(*_LEAF_COLUMNS)
            .where(LEAF.c.recorded_at < moment, LEAF.c.leaf_index < size)
            .order_by(LEAF.c.leaf_index)
            .execution_options(yield_per=_PAGE)
        )
        for row in self.connection.execute(query):
            leaf = StoredLeaf(*row[:6], leaf=bytes(row.leaf))
            if not is_tombstone(leaf.leaf):
                yield leaf

    def put_tombstones(self, tombstones: Iterable[tuple[int, bytes]]) -> None:
        """Put (leaf index, tombstone) in the place of records; their leaf hashes stay."""
        rows = [{"at": index, "left": left} for index, left in tombstones]
        change = update(LEAF).where(LEAF.c.leaf_index == bindparam("at"))
        if rows:
            self.connection.execute(change.values(leaf=bindparam("left")), rows)

    def unplaced(self, before: datetime) -> tuple[str, ...]:
        """Return the event ids of records from ``before`` without a place in the tree."""
        query = select(LEAF.c.event_id).where(
            LEAF.c.leaf_index.is_(None), LEAF.c.recorded_at < before
        )
        return tuple(self.connection.scalars(query.order_by(LEAF.c.sequence)))

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a signed checkpoint."""
        self.connection.execute(
            CHECKPOINT.insert().values(
                tree_size=checkpoint.tree_size,
                root_hash=checkpoint.root_hash,
                note=checkpoint.note,
                signed_at=checkpoint.signed_at,
            )
        )

    def last_checkpoint(self) -> StoredCheckpoint | None:
        """Return the checkpoint of the largest tree, None before the first."""
        if self.sqlite is not None:
            return sqlite_leaves.last_checkpoint(self.sqlite)
        query = select(CHECKPOINT).order_by(CHECKPOINT.c.tree_size.desc()).limit(1)
        row = self.connection.execute(query).first()
        return None if row is None else _checkpoint(*row)

    def checkpoints(self) -> tuple[StoredCheckpoint, ...]:
        """Return all checkpoints by tree size."""
        rows = self.connection.execute(select(CHECKPOINT).order_by(CHECKPOINT.c.tree_size))
        return tuple(_checkpoint(*row) for row in rows)


def _checkpoint(size: int, root: bytes, note: str, signed_at: datetime) -> StoredCheckpoint:
    return StoredCheckpoint(size, bytes(root), note, signed_at)


def _bytes(value: bytes | None) -> bytes | None:
    return None if value is None else bytes(value)
