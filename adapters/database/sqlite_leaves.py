"""The hot statements of the audit log on SQLite, without an SQL toolkit in between.

Every record passes through these and every verification reads all of it; SQLAlchemy's work
for each statement costs several times what SQLite needs.  They run on the driver's
connection, inside the same transaction as everything else.  Errors are those of the driver;
`Database` translates them as it does SQLAlchemy's.

Read next: `records.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from sqlite3 import Connection

from audit.ports import NodeKey, StoredCheckpoint, StoredLeaf

_INSERT = "INSERT INTO leaf (event_id, kind, run_id, recorded_at, leaf) VALUES (?, ?, ?, ?, ?)"
_SIZE = "SELECT max(leaf_index) FROM leaf"
_NODE_COUNT = "SELECT max(node_index) FROM tree_node WHERE level = 0"
_WAITING = "SELECT sequence, leaf FROM leaf WHERE leaf_index IS NULL ORDER BY sequence LIMIT ?"
_PLACE = "UPDATE leaf SET leaf_index = ? WHERE sequence = ?"
_PUT = "INSERT INTO tree_node (level, node_index, hash) VALUES (?, ?, ?)"
_NODE = "SELECT hash FROM tree_node WHERE level = ? AND node_index = ?"
_LAST = (
    "SELECT tree_size, root_hash, note, signed_at FROM checkpoint ORDER BY tree_size DESC LIMIT 1"
)
_LEAVES = (
    "SELECT sequence, leaf_index, event_id, kind, run_id, recorded_at, leaf, hash FROM leaf "
    "LEFT JOIN tree_node ON level = 0 AND node_index = leaf_index "
    "WHERE leaf_index >= ? AND leaf_index < ? ORDER BY leaf_index"
)


def append(
    driver: Connection,
    event_id: str,
    kind: str,
    run_id: str | None,
    recorded_at: datetime,
    leaf: bytes,
) -> None:
    """Add a record without a place in the tree; the time as `schema.UtcTime` writes it."""
    moment = recorded_at.astimezone(UTC).isoformat(timespec="microseconds")
    driver.execute(_INSERT, (event_id, kind, run_id, f"{moment[:-6]}Z", leaf))


def tree_size(driver: Connection) -> int:
    """Return the number of records that have a place in the tree."""
    return _count(driver, _SIZE)


def node_count(driver: Connection) -> int:
    """Return the number of leaf hashes kept at level 0."""
    return _count(driver, _NODE_COUNT)


def waiting(driver: Connection, limit: int) -> list[tuple[int, bytes]]:
    """Return (sequence, leaf) of records without a place, in order."""
    return driver.execute(_WAITING, (limit,)).fetchall()


def place(driver: Connection, first_index: int, sequences: Sequence[int]) -> None:
    """Give consecutive leaf indices from ``first_index``."""
    driver.executemany(_PLACE, [(first_index + n, number) for n, number in enumerate(sequences)])


def put_nodes(driver: Connection, nodes: Iterable[tuple[NodeKey, bytes]]) -> None:
    """Keep hashes of complete subtrees; each once."""
    driver.executemany(_PUT, [(level, index, value) for (level, index), value in nodes])


def nodes(driver: Connection, keys: Iterable[NodeKey]) -> Mapping[NodeKey, bytes]:
    """Return those of the hashes that are kept."""
    found: dict[NodeKey, bytes] = {}
    for key in keys:
        row = driver.execute(_NODE, key).fetchone()
        if row is not None:
            found[key] = row[0]
    return found


def last_checkpoint(driver: Connection) -> StoredCheckpoint | None:
    """Return the checkpoint of the largest tree, None before the first."""
    row = driver.execute(_LAST).fetchone()
    if row is None:
        return None
    size, root, note, moment = row
    return StoredCheckpoint(size, root, note, datetime.fromisoformat(moment))


def leaves(driver: Connection, start: int, stop: int) -> Iterator[StoredLeaf]:
    """Yield records by leaf index in [start, stop), without holding all of them."""
    parse = datetime.fromisoformat
    for row in driver.execute(_LEAVES, (start, stop)):
        sequence, index, event_id, kind, run_id, moment, leaf, kept = row
        yield StoredLeaf(sequence, index, event_id, kind, run_id, parse(moment), leaf, kept)


def _count(driver: Connection, query: str) -> int:
    last = driver.execute(query).fetchone()[0]
    return 0 if last is None else int(last) + 1
