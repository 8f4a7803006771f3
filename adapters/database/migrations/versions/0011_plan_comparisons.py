"""Real plans beside the doses that were predicted.

Revision 0011.  It is frozen: a change of a table is a new migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and its indices."""
    op.create_table(
        "plan_comparison",
        sa.Column("comparison_id", sa.String(36), nullable=False),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("found_at", sa.String(27), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("comparison_id"),
    )
    op.create_index("ix_plan_comparison_run_id", "plan_comparison", ["run_id"])
    op.create_index("ix_plan_comparison_release", "plan_comparison", ["release_digest", "found_at"])
