"""The tables of oversight and of the workspace: reviews, what was viewed, what is searched.

``record_line`` and ``patient_line`` are copies of the records' own words, made after the
records have their place in the tree (`search.py`); they can be made anew at any time, and
nothing is proved by them.

Read next: `oversight.py`, `search.py`.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, Text

from adapters.database.schema import BIG, METADATA, UtcTime

ASSESSMENT = Table(
    "assessment",
    METADATA,
    Column("assessment_id", String(36), primary_key=True),
    Column("run_id", String(32), nullable=False, index=True),
    Column("structure", Text, nullable=False),
    Column("fraction", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("plugin", Text, nullable=False),
    Column("release_digest", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("subgroup", Text, nullable=False),
    Column("seen", String(3), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("decided_at", UtcTime, nullable=False),
    Column("is_current", Boolean, nullable=False),
    Column("is_clinical", Boolean, nullable=False),
    Column("score", Float),
    Column("content", Text, nullable=False),
    Index("ix_assessment_plugin", "plugin", "decided_at"),
    Index("ix_assessment_decided", "decided_at"),
    Index("ix_assessment_reviewer", "plugin", "reviewer"),
    Index(
        "ix_assessment_rates",
        *("is_current", "is_clinical", "plugin", "release_digest", "site", "structure"),
        *("subgroup", "fraction", "action", "severity", "seen", "decided_at", "seconds"),
    ),
)

REVIEW = Table(
    "review",
    METADATA,
    Column("run_id", String(32), primary_key=True),
    Column("reviewer", Text, primary_key=True),
    Column("opened_at", UtcTime, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    Column("active_seconds", Float, nullable=False),
    Column("slices_total", Integer, nullable=False),
)

VIEWED = Table(
    "viewed",
    METADATA,
    Column("run_id", String(32), primary_key=True),
    Column("reviewer", Text, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
)

REVIEW_LOOK = Table(
    "review_look",
    METADATA,
    Column("pacs", Text, primary_key=True),
    Column("study_instance_uid", Text, primary_key=True),
    Column("arrived_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False, index=True),
)

REVIEWED_OBJECT = Table(
    "reviewed_object",
    METADATA,
    Column("sop_instance_uid", Text, primary_key=True),
    Column("run_id", String(32), primary_key=True),
    Column("found_at", UtcTime, nullable=False),
)

PLAN_COMPARISON = Table(
    "plan_comparison",
    METADATA,
    Column("comparison_id", String(36), primary_key=True),
    Column("run_id", String(32), nullable=False, index=True),
    Column("release_digest", Text, nullable=False),
    Column("found_at", UtcTime, nullable=False),
    Column("content", Text, nullable=False),
    Index("ix_plan_comparison_release", "release_digest", "found_at"),
)

RECORD_LINE = Table(
    "record_line",
    METADATA,
    Column("leaf_index", BIG, primary_key=True, autoincrement=False),
    Column("recorded_at", UtcTime, nullable=False),
    Column("kind", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("outcome", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("plugin", Text),
    Column("release_digest", Text),
    Column("run_id", String(32)),
    Column("pseudonym", Text),
    Index("ix_record_line_time", "recorded_at"),
    Index("ix_record_line_kind", "kind", "leaf_index"),
    Index("ix_record_line_kind_plugin", "kind", "plugin", "leaf_index"),
    Index("ix_record_line_kind_actor", "kind", "actor", "leaf_index"),
    Index("ix_record_line_actor", "actor", "leaf_index"),
    Index("ix_record_line_plugin", "plugin", "leaf_index"),
    Index("ix_record_line_release", "release_digest", "leaf_index"),
    Index("ix_record_line_patient", "pseudonym", "leaf_index"),
    Index("ix_record_line_outcome", "outcome", "leaf_index"),
)

PATIENT_LINE = Table(
    "patient_line",
    METADATA,
    Column("pseudonym", Text, primary_key=True),
    Column("first_at", UtcTime, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    Column("record_count", Integer, nullable=False),
    Column("run_count", Integer, nullable=False),
    Column("age_band", Text, nullable=False),
    Column("sex", Text, nullable=False),
    Column("site_code", Text, nullable=False),
    Index("ix_patient_line_last", "last_at", "pseudonym"),
)

BREAK_GLASS = Table(
    "break_glass",
    METADATA,
    Column("number", BIG, primary_key=True, autoincrement=True),
    Column("account_id", Text, nullable=False),
    Column("pseudonym", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("granted_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
    Index("ix_break_glass_open", "account_id", "pseudonym", "ends_at"),
    sqlite_autoincrement=True,
)

ENDED_SESSION = Table(
    "ended_session",
    METADATA,
    Column("session_id", String(64), primary_key=True),
    Column("ends_at", UtcTime, nullable=False, index=True),
)
