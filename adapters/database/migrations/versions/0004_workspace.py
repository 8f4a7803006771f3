"""Reviews and what was viewed, what the pages search, broken glass, ended sessions.

Revision 0004.  It is frozen: a change of a table is a new migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _assessments()
    _reviews()
    _lines()
    _persons()


def _assessments() -> None:
    op.create_table(
        "assessment",
        sa.Column("assessment_id", sa.String(36), primary_key=True),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("structure", sa.Text(), nullable=False),
        sa.Column("fraction", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("subgroup", sa.Text(), nullable=False),
        sa.Column("seen", sa.String(3), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("decided_at", sa.String(27), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("is_clinical", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Float()),
        sa.Column("content", sa.Text(), nullable=False),
    )
    op.create_index("ix_assessment_run_id", "assessment", ["run_id"])
    op.create_index("ix_assessment_plugin", "assessment", ["plugin", "decided_at"])
    op.create_index("ix_assessment_decided", "assessment", ["decided_at"])


def _reviews() -> None:
    op.create_table(
        "review",
        sa.Column("run_id", sa.String(32), primary_key=True),
        sa.Column("reviewer", sa.Text(), primary_key=True),
        sa.Column("opened_at", sa.String(27), nullable=False),
        sa.Column("last_at", sa.String(27), nullable=False),
        sa.Column("active_seconds", sa.Float(), nullable=False),
        sa.Column("slices_total", sa.Integer(), nullable=False),
    )
    op.create_table(
        "viewed",
        sa.Column("run_id", sa.String(32), primary_key=True),
        sa.Column("reviewer", sa.Text(), primary_key=True),
        sa.Column("what", sa.Text(), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
    )
    op.create_table(
        "review_look",
        sa.Column("pacs", sa.Text(), primary_key=True),
        sa.Column("study_instance_uid", sa.Text(), primary_key=True),
        sa.Column("arrived_at", sa.String(27), nullable=False),
        sa.Column("due_at", sa.String(27), nullable=False),
    )
    op.create_index("ix_review_look_due_at", "review_look", ["due_at"])
    op.create_table(
        "reviewed_object",
        sa.Column("sop_instance_uid", sa.Text(), primary_key=True),
        sa.Column("run_id", sa.String(32), primary_key=True),
        sa.Column("found_at", sa.String(27), nullable=False),
    )


def _lines() -> None:
    op.create_table(
        "record_line",
        sa.Column("leaf_index", BIG, primary_key=True, autoincrement=False),
        sa.Column("recorded_at", sa.String(27), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text()),
        sa.Column("release_digest", sa.Text()),
        sa.Column("run_id", sa.String(32)),
        sa.Column("pseudonym", sa.Text()),
    )
    op.create_index("ix_record_line_time", "record_line", ["recorded_at"])
    for name, column in (
        ("kind", "kind"),
        ("actor", "actor"),
        ("plugin", "plugin"),
        ("release", "release_digest"),
        ("patient", "pseudonym"),
        ("outcome", "outcome"),
    ):
        op.create_index(f"ix_record_line_{name}", "record_line", [column, "leaf_index"])
    op.create_table(
        "patient_line",
        sa.Column("pseudonym", sa.Text(), primary_key=True),
        sa.Column("first_at", sa.String(27), nullable=False),
        sa.Column("last_at", sa.String(27), nullable=False),
        sa.Column("record_count", sa.Integer(), nullable=False),
        sa.Column("run_count", sa.Integer(), nullable=False),
        sa.Column("age_band", sa.Text(), nullable=False),
        sa.Column("sex", sa.Text(), nullable=False),
        sa.Column("site_code", sa.Text(), nullable=False),
    )
    op.create_index("ix_patient_line_last", "patient_line", ["last_at", "pseudonym"])


def _persons() -> None:
    op.create_table(
        "break_glass",
        sa.Column("number", BIG, primary_key=True, autoincrement=True),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.String(27), nullable=False),
        sa.Column("ends_at", sa.String(27), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_break_glass_open", "break_glass", ["account_id", "pseudonym", "ends_at"])
    op.create_table(
        "ended_session",
        sa.Column("session_id", sa.String(64), primary_key=True),
        sa.Column("ends_at", sa.String(27), nullable=False),
    )
    op.create_index("ix_ended_session_ends_at", "ended_session", ["ends_at"])
