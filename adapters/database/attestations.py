"""What others stated about our checkpoints; rows are added and never changed.

Read next: `records.py`.
"""

from __future__ import annotations

from sqlalchemy import select

from adapters.database.schema import ATTESTATION, CHECKPOINT, put_if_absent
from adapters.database.session import Session
from audit.ports import Attestation, StoredCheckpoint


class Attestations(Session):
    """Cosignatures, time-stamps and anchors of a transaction."""

    def put_attestation(self, attestation: Attestation) -> bool:
        """Keep a statement; False where the same one says something of this size already."""
        values = {
            "tree_size": attestation.tree_size,
            "name": attestation.name,
            "kind": attestation.kind,
            "content": attestation.content,
            "obtained_at": attestation.obtained_at,
        }
        return put_if_absent(self.connection, ATTESTATION, values)

    def last_attestation(self, name: str) -> Attestation | None:
        """Return what one said of the largest tree, None before the first."""
        query = select(ATTESTATION).where(ATTESTATION.c.name == name)
        row = self.connection.execute(query.order_by(ATTESTATION.c.tree_size.desc()).limit(1))
        found = row.first()
        return None if found is None else Attestation(*found)

    def attestations(self, kind: str | None = None) -> tuple[Attestation, ...]:
        """Return all statements that say something, or those of a kind, by size and name."""
        query = select(ATTESTATION).where(ATTESTATION.c.content != "")
        if kind is not None:
            query = query.where(ATTESTATION.c.kind == kind)
        ordered = query.order_by(ATTESTATION.c.tree_size, ATTESTATION.c.name)
        return tuple(Attestation(*row) for row in self.connection.execute(ordered))

    def checkpoints_after(self, size: int, limit: int) -> tuple[StoredCheckpoint, ...]:
        """Return the first checkpoints of larger trees, by tree size."""
        query = select(CHECKPOINT).where(CHECKPOINT.c.tree_size > size)
        rows = self.connection.execute(query.order_by(CHECKPOINT.c.tree_size).limit(limit))
        return tuple(StoredCheckpoint(row[0], bytes(row[1]), row[2], row[3]) for row in rows)
