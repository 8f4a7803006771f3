"""What the first records of the log say of a release: the ground of its periodic reports.

Read next: `reporting.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.database.chains import APPROVED, DIRECT
from adapters.monitoring.running import AT_WORK
from audit.record import Record, decode

if TYPE_CHECKING:
    from adapters.database import Transaction

_KINDS = ("run_closed", "assessment", "governed", "lifecycle", "incident")
_MONTH = "%Y-%m"
_GROUPS = ("age_band", "sex", "site_code")


@dataclass
class LogReading:
    """What the log says of a release.

    Parameters
    ----------
    governed : digests of all governed documents that the log knows.
    feeding : (run id, way) of all runs that may have fed another.
    since : when the release first came to work; ``from_at`` the time of the last record before
        the period.
    """

    runs: list[tuple[str, str, str]] = field(default_factory=list)
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    overrides: list[tuple[str, bool]] = field(default_factory=list)
    subjects: dict[str, Counter[str]] = field(default_factory=dict)
    incidents: dict[str, tuple[str, str]] = field(default_factory=dict)
    acts: list[dict[str, str]] = field(default_factory=list)
    governed: set[str] = field(default_factory=set)
    feeding: set[tuple[str, str]] = field(default_factory=set)
    since: datetime | None = None
    from_at: datetime | None = None
    until: datetime | None = None


def read_log(
    transaction: Transaction, release_digest: str, size: int, after: int = 0
) -> LogReading:
    """Return what the records after the first ``after`` and up to ``size`` say of a release.

    What was known before the period still counts for documents, chains and the release's start.
    """
    found = LogReading()
    for index, leaf in enumerate(transaction.leaves(0, size)):
        if index == after - 1:
            found.from_at = decode(leaf.leaf).recorded_at
        if leaf.kind in _KINDS:
            _take(found, decode(leaf.leaf), release_digest, is_inside=index >= after)
    last = next(iter(transaction.leaves(size - 1, size)))
    found.until = decode(last.leaf).recorded_at
    return found


def _take(found: LogReading, record: Record, release_digest: str, *, is_inside: bool) -> None:
    if record.kind == "governed":
        found.governed.add(str(record.body["sha256"]))
        return
    way = {"run_closed": DIRECT, "assessment": APPROVED}.get(record.kind)
    if way is not None:
        found.feeding.add((str(record.run_id), way))
    if record.release_digest != release_digest:
        return
    if record.kind == "lifecycle" and found.since is None and record.body["to_state"] in AT_WORK:
        found.since = record.recorded_at
    if not is_inside:
        return
    if record.kind == "run_closed":
        _take_run(found, record)
    elif record.kind == "assessment":
        _take_review(found, record)
    elif record.kind == "incident":
        body = record.body
        found.incidents[str(body["incident"])] = (str(body["severity"]), str(body["state"]))
    else:
        found.acts.append(
            {
                "at": record.recorded_at.isoformat(), "action": str(record.body["action"]),
                "from": str(record.body["from_state"]), "to": str(record.body["to_state"]),
                "role": record.actor.role,
            }
        )  # fmt: skip


def _take_run(found: LogReading, record: Record) -> None:
    month = f"{record.recorded_at:{_MONTH}}"
    found.runs.append((str(record.run_id), month, str(record.body["status"])))
    for name in _GROUPS:
        value = "" if record.subject is None else str(getattr(record.subject, name))
        found.subjects.setdefault(name, Counter())[value or "not-evaluated"] += 1


def _take_review(found: LogReading, record: Record) -> None:
    body = record.body
    if body["action"] != "defer":
        is_over = body["action"] == "reject" or (
            body["action"] == "edit" and body["severity"] == "major"
        )
        found.overrides.append((f"{record.recorded_at:{_MONTH}}", bool(is_over)))
    if isinstance(body["figures"], Mapping):
        by_name = found.figures.setdefault(str(body["structure"]), {})
        for name, value in body["figures"].items():
            if isinstance(value, (int, float)):
                by_name.setdefault(name, []).append(float(value))
