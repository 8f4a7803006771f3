"""A record as a row: the columns of CSV and Parquet exports, each row with its leaf hash.

The last column is the record itself, as stored: its hash (RFC 9162, 2.1.1) is ``leaf_sha256``.
A tombstone has its hash and no record.

Read next: `exporting.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from audit.errors import ConfigurationError
from audit.merkle import leaf_hash
from audit.ports import StoredLeaf
from audit.tombstone import decode, is_tombstone

COLUMNS = (
    "leaf_index", "tree_size", "leaf_sha256", "event_id", "kind", "mode", "recorded_at",
    "actor_id", "actor_role", "site", "node", "outcome_code", "outcome_reason", "run_id",
    "release_digest", "plugin", "pseudonym", "age_band", "sex", "site_code", "art12",
    "purged_by", "record",
)  # fmt: skip
NUMBERS = ("leaf_index", "tree_size", "outcome_code")
_GROUP = 5_000


def row_of(leaf: StoredLeaf, tree_size: int) -> dict[str, Any]:
    """Return the row of a record or tombstone in the order of `COLUMNS`; None: no value."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {
        "leaf_index": leaf.leaf_index,
        "tree_size": tree_size,
        "event_id": leaf.event_id,
        "kind": leaf.kind,
        "recorded_at": f"{leaf.recorded_at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "run_id": leaf.run_id,
    }
    if is_tombstone(leaf.leaf):
        stone = decode(leaf.leaf)
        return row | {"leaf_sha256": stone.leaf_hash.hex(), "purged_by": stone.purged_by}
    record = json.loads(leaf.leaf)
    subject, plugin = record.get("subject", {}), record["body"].get("plugin")
    return row | {
        "leaf_sha256": leaf_hash(leaf.leaf).hex(),
        "mode": record["mode"],
        "actor_id": record["actor"]["id"],
        "actor_role": record["actor"]["role"],
        "site": record["site"],
        "node": record["node"],
        "outcome_code": record["outcome"]["code"],
        "outcome_reason": record["outcome"]["reason"] or None,
        "release_digest": record.get("release_digest"),
        "plugin": plugin.get("id") if isinstance(plugin, dict) else plugin,
        "pseudonym": subject.get("pseudonym"),
        "age_band": subject.get("age_band"),
        "sex": subject.get("sex"),
        "site_code": subject.get("site_code"),
        "art12": " ".join(record["art12"]),
        "record": leaf.leaf.decode(),
    }


def parquet(path: Path, leaves: Iterable[StoredLeaf], tree_size: int, note: str) -> int:
    """Write a Parquet file with the signed checkpoint in its metadata; return the rows.

    Raises
    ------
    ConfigurationError : pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ConfigurationError(
            "expected pyarrow for Parquet, found it not installed",
            advice="Install it: pip install 'osteon[parquet]'.",
        ) from error
    kinds = [(name, pa.int64() if name in NUMBERS else pa.string()) for name in COLUMNS]
    schema = pa.schema(kinds, metadata={"osteon.checkpoint": note})
    count, waiting = 0, iter(leaves)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := [row_of(leaf, tree_size) for leaf in islice(waiting, _GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count
