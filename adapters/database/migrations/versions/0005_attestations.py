"""What others state about checkpoints: cosignatures, time-stamps, anchors.

Revision 0005.  It is frozen: a change of a table is a new migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REFUSAL = "the audit log is append-only"


def upgrade() -> None:
    """Make the table, and the triggers that refuse a change of it."""
    op.create_table(
        "attestation",
        sa.Column("tree_size", _BIG, nullable=False, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("obtained_at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("tree_size", "name"),
    )
    op.create_index("ix_attestation_name", "attestation", ["name", "tree_size"])
    on = "ON attestation"
    if op.get_bind().dialect.name == "postgresql":
        refuse = "EXECUTE FUNCTION osteon_append_only()"
        for act in ("DELETE", "UPDATE"):
            name = f"attestation_no_{act.lower()}"
            op.execute(f"CREATE TRIGGER {name} BEFORE {act} {on} FOR EACH ROW {refuse}")
        op.execute(f"CREATE TRIGGER attestation_no_truncate BEFORE TRUNCATE {on} {refuse}")
    else:
        refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        for act in ("DELETE", "UPDATE"):
            op.execute(f"CREATE TRIGGER attestation_no_{act.lower()} BEFORE {act} {on} {refuse}")
