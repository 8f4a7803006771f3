"""Indexes for searches of two words that never meet, and for the rates of oversight.

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
    op.create_index("ix_assessment_reviewer", "assessment", ["plugin", "reviewer"])
    # Rates are counted from the index alone, in its order: a row holds a whole assessment.
    op.create_index(
        "ix_assessment_rates",
        "assessment",
        [
            *("is_current", "is_clinical", "plugin", "release_digest", "site", "structure"),
            *("subgroup", "fraction", "action", "severity", "seen", "decided_at", "seconds"),
        ],
    )
