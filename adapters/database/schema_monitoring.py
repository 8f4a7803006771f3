"""The tables of monitoring: where each item of a plan stands, outcomes that were reported, and
the greatest use of each resource by day.

Read next: `monitoring.py`.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, String, Table, Text

from adapters.database.schema import METADATA, UtcTime

MONITOR = Table(
    "monitor",
    METADATA,
    Column("release_digest", Text, primary_key=True),
    Column("item", Text, primary_key=True),
    Column("item_digest", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("condition", Text, nullable=False),
    Column("cases", Integer, nullable=False),
    Column("nearest", Float, nullable=False),
    Column("cursor_at", UtcTime),
    Column("cursor_id", Text, nullable=False),
    Column("last_run_at", UtcTime, nullable=False),
)

OUTCOME = Table(
    "outcome",
    METADATA,
    Column("run_id", String(32), primary_key=True),
    Column("reported_at", UtcTime, primary_key=True),
    Column("seen_at", UtcTime, primary_key=True),
    Column("event", Boolean, primary_key=True),
    Column("stated", Float, nullable=False),
    Column("file_digest", Text),
)

RESOURCE = Table(
    "resource",
    METADATA,
    Column("day_at", UtcTime, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("peak", Float, nullable=False),
)
