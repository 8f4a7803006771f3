"""The greatest use of each resource of a site, by day; which file an outcome came in.

Revision 0010.  It is frozen: a change of a table is a new migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the column."""
    op.create_table(
        "resource",
        sa.Column("day_at", sa.String(27), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("peak", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("day_at", "name"),
    )
    op.add_column("outcome", sa.Column("file_digest", sa.Text()))
