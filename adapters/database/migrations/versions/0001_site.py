"""The first tables of a site: arrivals, runs, deliveries, releases, the audit log.

Revision 0001, the first.  It is frozen: a change of a table is a new migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FIXED = ("sequence", "event_id", "kind", "run_id", "recorded_at", "leaf")
_REFUSAL = "the audit log is append-only"


def upgrade() -> None:
    """Make the tables, and the triggers that refuse a change of the log."""
    _arrivals()
    _runs()
    _documents()
    _delivery()
    _releases()
    _log()
    if op.get_bind().dialect.name == "postgresql":
        _triggers_postgresql()
    else:
        _triggers_sqlite()


def _arrivals() -> None:
    op.create_table(
        "cursor",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "study",
        sa.Column("pacs", sa.Text(), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("last_arrival_at", sa.String(27), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("instance_count_seen", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("pacs", "study_instance_uid"),
    )
    op.create_index("ix_study_state", "study", ["state"])
    op.create_table(
        "study_change",
        sa.Column("change_key", sa.String(length=64), nullable=False),
        sa.Column("arrived_at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("change_key"),
    )
    op.create_index("ix_study_change_arrived_at", "study_change", ["arrived_at"])


def _runs() -> None:
    op.create_table(
        "run",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("pacs", sa.Text(), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.String(27), nullable=False),
        sa.Column("closed_at", sa.String(27)),
        sa.Column("input_digest", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.String(27)),
        sa.Column("superseded_by", sa.String(length=32)),
        sa.Column("seconds", sa.Float()),
        sa.Column("facts", sa.Text()),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("ix_run_opened_at", "run", ["opened_at"])
    op.create_index("ix_run_status", "run", ["status"])
    op.create_index("ix_run_study_plugin", "run", ["study_instance_uid", "plugin"])
    op.create_table(
        "run_step",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["run.run_id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "step"),
    )
    op.create_table(
        "run_statistics",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("statistics", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("ix_run_statistics_release_digest", "run_statistics", ["release_digest"])


def _documents() -> None:
    op.create_table(
        "document",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("content_digest", sa.Text(), nullable=False),
        sa.Column("sop_class_uid", sa.Text(), nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("series_instance_uid", sa.Text(), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number"),
    )
    op.create_table(
        "own_instance",
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("series_instance_uid", sa.Text(), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid"),
    )
    op.create_index("ix_own_instance_study_instance_uid", "own_instance", ["study_instance_uid"])


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("document_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("content_digest", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.String(27)),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "target", "document_key"),
    )
    op.create_index("ix_delivery_due", "delivery", ["state", "next_attempt_at"])
    op.create_table(
        "breaker",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", sa.String(27)),
        sa.PrimaryKeyConstraint("target"),
    )


def _releases() -> None:
    op.create_table(
        "release",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_release_plugin", "release", ["plugin"])
    op.create_table(
        "deployment",
        sa.Column("number", _BIG, autoincrement=True, nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("since", sa.String(27), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deployment_plugin", "deployment", ["plugin"])
    op.create_table(
        "account",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_verifier", sa.Text(), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.String(27), nullable=False),
        sa.Column("disabled_at", sa.String(27)),
        sa.PrimaryKeyConstraint("account_id"),
    )


def _log() -> None:
    op.create_table(
        "leaf",
        sa.Column("sequence", _BIG, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=32)),
        sa.Column("recorded_at", sa.String(27), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_index", _BIG),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("event_id", name="uq_leaf_event_id"),
        sa.UniqueConstraint("leaf_index", name="uq_leaf_leaf_index"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_leaf_recorded_at", "leaf", ["recorded_at"])
    op.create_index("ix_leaf_run_id", "leaf", ["run_id"])
    op.create_index(
        "ix_leaf_waiting",
        "leaf",
        ["sequence"],
        sqlite_where=sa.text("leaf_index IS NULL"),
        postgresql_where=sa.text("leaf_index IS NULL"),
    )
    op.create_table(
        "tree_node",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("node_index", _BIG, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("level", "node_index"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checkpoint",
        sa.Column("tree_size", _BIG, autoincrement=False, nullable=False),
        sa.Column("root_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("tree_size"),
    )


def _triggers_sqlite() -> None:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    for table in ("leaf", "tree_node", "checkpoint"):
        op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
    for table in ("tree_node", "checkpoint"):
        op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _FIXED)
    op.execute(
        "CREATE TRIGGER leaf_no_update BEFORE UPDATE ON leaf "
        f"WHEN OLD.leaf_index IS NOT NULL OR {changed} {refuse}"
    )


def _triggers_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION osteon_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
    )
    refuse = "EXECUTE FUNCTION osteon_append_only()"
    for table in ("leaf", "tree_node", "checkpoint"):
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW {refuse}"
        )
        op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} {refuse}")
    for table in ("tree_node", "checkpoint"):
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW {refuse}"
        )
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _FIXED)
    op.execute(
        "CREATE TRIGGER leaf_no_update BEFORE UPDATE ON leaf FOR EACH ROW "
        f"WHEN (OLD.leaf_index IS NOT NULL OR {changed}) {refuse}"
    )
