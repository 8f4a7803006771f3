"""Where each item of a monitoring plan stands, outcomes, and an index for what closed since.

Revision 0009.  It is frozen: a change of a table is a new migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the index."""
    op.create_table(
        "monitor",
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("item_digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("nearest", sa.Float(), nullable=False),
        sa.Column("cursor_at", sa.String(27)),
        sa.Column("cursor_id", sa.Text(), nullable=False),
        sa.Column("last_run_at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("release_digest", "item"),
    )
    op.create_table(
        "outcome",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("reported_at", sa.String(27), nullable=False),
        sa.Column("seen_at", sa.String(27), nullable=False),
        sa.Column("event", sa.Boolean(), nullable=False),
        sa.Column("stated", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "reported_at", "seen_at", "event"),
    )
    op.create_index("ix_run_closed", "run", ["release_digest", "closed_at", "run_id"])
