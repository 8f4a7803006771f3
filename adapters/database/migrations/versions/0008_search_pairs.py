"""Indexes for searches of a kind with a plugin, and of a person with a kind, that never meet.

Revision 0008.  It is frozen: a change of a table is a new migration.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes."""
    for name, columns in (
        ("ix_record_line_kind_plugin", ["kind", "plugin", "leaf_index"]),
        ("ix_record_line_kind_actor", ["kind", "actor", "leaf_index"]),
    ):
        op.create_index(name, "record_line", columns)
