"""The tables of the site database, and how values are kept in them.

Times are fixed-width UTC text, so that they sort and compare alike in SQLite and
PostgreSQL; JSON is text.  The tables are made by `migrations/`; a test holds that both
say the same.

Read next: `runs.py`, then `records.py` (the audit log's tables).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql, sqlite

_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class UtcTime(TypeDecorator[datetime]):
    """Aware UTC time as text of 27 characters, microseconds kept."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Return the text of an aware time; ValueError when it has no zone."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("expected an aware time, found one without a zone")
        return value.astimezone(UTC).strftime(_FORMAT)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the aware time of a stored text; inverse of `process_bind_param`."""
        del dialect
        return None if value is None else datetime.strptime(value, _FORMAT).replace(tzinfo=UTC)


BIG = BigInteger().with_variant(Integer(), "sqlite")
METADATA = MetaData()

CURSOR = Table(
    "cursor",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

STUDY = Table(
    "study",
    METADATA,
    Column("pacs", Text, primary_key=True),
    Column("study_instance_uid", Text, primary_key=True),
    Column("state", Text, nullable=False, index=True),
    Column("last_arrival_at", UtcTime, nullable=False),
    Column("sender", Text, nullable=False),
    Column("instance_count_seen", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
)

STUDY_CHANGE = Table(
    "study_change",
    METADATA,
    Column("change_key", String(64), primary_key=True),
    Column("arrived_at", UtcTime, nullable=False, index=True),
)

RUN = Table(
    "run",
    METADATA,
    Column("run_id", String(32), primary_key=True),
    Column("pacs", Text, nullable=False),
    Column("study_instance_uid", Text, nullable=False),
    Column("plugin", Text, nullable=False),
    Column("release_digest", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("status", Text, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("opened_at", UtcTime, nullable=False, index=True),
    Column("closed_at", UtcTime),
    Column("input_digest", Text),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UtcTime),
    Column("superseded_by", String(32)),
    Column("seconds", Float),
    Column("facts", Text),
    Index("ix_run_study_plugin", "study_instance_uid", "plugin"),
    Index("ix_run_release", "release_digest", "opened_at"),
    Index("ix_run_closed", "release_digest", "closed_at", "run_id"),
)

RUN_STEP = Table(
    "run_step",
    METADATA,
    Column("run_id", String(32), ForeignKey("run.run_id"), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("event_id", String(36), nullable=False),
)

RUN_MARK = Table(
    "run_mark",
    METADATA,
    Column("run_id", String(32), ForeignKey("run.run_id"), primary_key=True),
    Column("code", Text, primary_key=True),
    Column("since", UtcTime, nullable=False),
)

RUN_STATISTICS = Table(
    "run_statistics",
    METADATA,
    Column("run_id", String(32), primary_key=True),
    Column("release_digest", Text, nullable=False, index=True),
    Column("statistics", Text, nullable=False),
    Column("digest", Text, nullable=False),
)

DOCUMENT = Table(
    "document",
    METADATA,
    Column("run_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("content_digest", Text, nullable=False),
    Column("sop_class_uid", Text, nullable=False),
    Column("sop_instance_uid", Text, nullable=False),
    Column("series_instance_uid", Text, nullable=False),
    Column("study_instance_uid", Text, nullable=False),
    Column("notes", Text, nullable=False),
)

OWN_INSTANCE = Table(
    "own_instance",
    METADATA,
    Column("sop_instance_uid", Text, primary_key=True),
    Column("series_instance_uid", Text, nullable=False),
    Column("study_instance_uid", Text, nullable=False, index=True),
    Column("run_id", String(32), nullable=False),
)

DELIVERY = Table(
    "delivery",
    METADATA,
    Column("run_id", String(32), primary_key=True),
    Column("target", Text, primary_key=True),
    Column("document_key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("sop_instance_uid", Text, nullable=False),
    Column("content_digest", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UtcTime),
    Column("reason", Text, nullable=False),
    Index("ix_delivery_due", "state", "next_attempt_at"),
)

BREAKER = Table(
    "breaker",
    METADATA,
    Column("target", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("open_until", UtcTime),
)

RELEASE = Table(
    "release",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("plugin", Text, nullable=False, index=True),
    Column("version", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("manifest", Text, nullable=False),
)

DEPLOYMENT = Table(
    "deployment",
    METADATA,
    Column("number", BIG, primary_key=True, autoincrement=True),
    Column("site", Text, nullable=False),
    Column("plugin", Text, nullable=False, index=True),
    Column("release_digest", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("share", Float, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    sqlite_autoincrement=True,
)

ACCOUNT = Table(
    "account",
    METADATA,
    Column("account_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("password_verifier", Text, nullable=False),
    Column("must_change_password", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("disabled_at", UtcTime),
)

GOVERNED = Table(
    "governed",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    Column("recorded_by", Text, nullable=False),
)

COURSE = Table(
    "course",
    METADATA,
    Column("plugin", Text, primary_key=True),
    Column("pseudonym", Text, primary_key=True),
    Column("release_digest", Text, primary_key=True),
    Column("first_at", UtcTime, nullable=False),
    Column("last_at", UtcTime, nullable=False),
)

COMPARISON = Table(
    "comparison",
    METADATA,
    Column("run_id", String(32), primary_key=True),
    Column("against_run_id", String(32), primary_key=True),
    Column("release_digest", Text, nullable=False),
    Column("against_digest", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("findings", Text, nullable=False),
    Column("subgroup", Text, nullable=False),
    Column("compared_at", UtcTime, nullable=False),
    Index("ix_comparison_release", "release_digest", "compared_at"),
)

LEAF = Table(
    "leaf",
    METADATA,
    Column("sequence", BIG, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False),
    Column("kind", Text, nullable=False),
    Column("run_id", String(32), index=True),
    Column("recorded_at", UtcTime, nullable=False, index=True),
    Column("leaf", LargeBinary, nullable=False),
    Column("leaf_index", BIG),
    UniqueConstraint("event_id", name="uq_leaf_event_id"),
    UniqueConstraint("leaf_index", name="uq_leaf_leaf_index"),
    sqlite_autoincrement=True,
)
Index(
    "ix_leaf_waiting",
    LEAF.c.sequence,
    sqlite_where=LEAF.c.leaf_index.is_(None),
    postgresql_where=LEAF.c.leaf_index.is_(None),
)

TREE_NODE = Table(
    "tree_node",
    METADATA,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("node_index", BIG, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    sqlite_with_rowid=False,
)

CHECKPOINT = Table(
    "checkpoint",
    METADATA,
    Column("tree_size", BIG, primary_key=True, autoincrement=False),
    Column("root_hash", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("signed_at", UtcTime, nullable=False),
)

ATTESTATION = Table(
    "attestation",
    METADATA,
    Column("tree_size", BIG, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("obtained_at", UtcTime, nullable=False),
    Index("ix_attestation_name", "name", "tree_size"),
)


def insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that knows ON CONFLICT in the dialect of the connection."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def put(connection: Connection, table: Table, values: dict[str, Any]) -> None:
    """Insert one row, or replace the columns of the row with the same primary key."""
    keys = [column.name for column in table.primary_key.columns]
    rest = {name: value for name, value in values.items() if name not in keys}
    statement = insert(connection, table).values(**values)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest))


def put_if_absent(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert one row; False, and nothing changed, when its key is there already."""
    statement = insert(connection, table).values(**values).on_conflict_do_nothing()
    kept = connection.execute(statement, execution_options={"preserve_rowcount": True})
    return kept.rowcount == 1
