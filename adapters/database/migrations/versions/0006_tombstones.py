"""A placed record may be replaced by its tombstone, and by nothing else.

Revision 0006.  It is frozen: a change of a table is a new migration.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_REFUSAL = "the audit log is append-only"
_KEPT = ("sequence", "event_id", "kind", "run_id", "recorded_at")


def upgrade() -> None:
    """Replace the trigger that refuses a change of a record."""
    if op.get_bind().dialect.name == "postgresql":
        _postgresql()
    else:
        _sqlite()


def _sqlite() -> None:
    moved = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _KEPT)
    placing = "(OLD.leaf_index IS NULL AND NEW.leaf IS OLD.leaf)"
    purging = f"(NEW.leaf_index IS OLD.leaf_index AND {_tombstone('CAST(NEW.leaf AS TEXT)')})"
    op.execute("DROP TRIGGER leaf_no_update")
    op.execute(
        "CREATE TRIGGER leaf_no_update BEFORE UPDATE ON leaf "
        f"WHEN {moved} OR NOT ({placing} OR {purging}) "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    )


def _postgresql() -> None:
    moved = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _KEPT)
    placing = "(OLD.leaf_index IS NULL AND NEW.leaf IS NOT DISTINCT FROM OLD.leaf)"
    written = "convert_from(NEW.leaf, 'UTF8')"
    purging = f"(NEW.leaf_index IS NOT DISTINCT FROM OLD.leaf_index AND {_tombstone(written)})"
    op.execute("DROP TRIGGER leaf_no_update ON leaf")
    op.execute(
        "CREATE TRIGGER leaf_no_update BEFORE UPDATE ON leaf FOR EACH ROW "
        f"WHEN ({moved} OR NOT ({placing} OR {purging})) EXECUTE FUNCTION osteon_append_only()"
    )


def _tombstone(written: str) -> str:
    """Return the condition that written bytes are the tombstone of this very record."""
    head = """'{"event_id":"' || OLD.event_id || '","kind":"' || OLD.kind || '","leaf_hash":"%"""
    tail = """","purged_by":"%","schema":"osteon.audit.tombstone/1"}'"""
    placed = "OLD.leaf_index IS NOT NULL AND OLD.kind <> 'purge'"
    return f"{placed} AND {written} LIKE {head}{tail}"
