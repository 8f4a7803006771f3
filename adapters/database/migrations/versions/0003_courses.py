"""Which release a patient is in course on, and how far two releases agree on a study.

Revision 0003.  It is frozen: a change of a table is a new migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and the index by which the runs of a release are found."""
    op.create_table(
        "course",
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("first_at", sa.String(27), nullable=False),
        sa.Column("last_at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("plugin", "pseudonym", "release_digest"),
    )
    op.create_table(
        "comparison",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("against_run_id", sa.String(32), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("against_digest", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("subgroup", sa.Text(), nullable=False),
        sa.Column("compared_at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "against_run_id"),
    )
    op.create_index("ix_comparison_release", "comparison", ["release_digest", "compared_at"])
    op.create_index("ix_run_release", "run", ["release_digest", "opened_at"])
