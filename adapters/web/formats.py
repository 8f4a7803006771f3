"""How times, digests and numbers read on a page.

Read next: `shell.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from audit.errors import ConfigurationError
from governance.incident_terms import find_zone

NONE = "–"
EVIDENCE = (
    *("reason", "certificate", "certificate_id", "comparison", "left", "superseded_by", "share"),
    *("approved_by", "approval", "devices", "waiver_person", "waiver_reason", "expires_at"),
)
"""Evidence of a change of state that has a name in the texts."""


def moment(value: datetime | None, zone: str = "UTC") -> str:
    """Return a time to the second in a zone; a dash where there is none."""
    if value is None:
        return NONE
    return value.astimezone(find_zone(zone)).strftime("%Y-%m-%d %H:%M:%S")


def clock_time(value: datetime, zone: str) -> str:
    """Return the time of day in a zone."""
    return value.astimezone(find_zone(zone)).strftime("%H:%M:%S")


def day(value: datetime, zone: str) -> str:
    """Return the day in a zone."""
    return value.astimezone(find_zone(zone)).strftime("%Y-%m-%d")


def short_digest(text: str | None) -> str:
    """Return the first letters of a digest or pseudonym, enough to tell it from others.

    Examples
    --------
    >>> short_digest("sha256:0123456789abcdef"), short_digest("hmac:v1:fedcba9876543210")
    ('0123456789ab', 'fedcba987654')
    """
    if not text:
        return NONE
    return text.rpartition(":")[2][:12]


def evidence_lines(evidence: Iterable[tuple[str, str]]) -> tuple[tuple[str, str, str], ...]:
    """Return evidence as (key of its name, value as printed, whole value), the reason first."""
    lines = []
    for key, value in sorted(evidence, key=lambda item: ("reason" not in item[0], item[0])):
        name = f"ev_{key}" if key in EVIDENCE else "ev_other"
        printed = short_digest(value) if value.startswith("sha256:") else value
        lines.append((name, printed, value))
    return tuple(lines)


def percent(value: float | None) -> str:
    """Return a share in percent; a dash where there is none."""
    return NONE if value is None else f"{100 * value:.1f} %"


def read_moment(text: str, zone: str) -> datetime | None:
    """Return the moment of a form field without a zone; None where it is empty.

    Raises
    ------
    ConfigurationError : it is filled in, and no time.
    """
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ConfigurationError("expected a time such as 2026-11-25T09:30") from error
    return found if found.tzinfo else found.replace(tzinfo=find_zone(zone))


def key_of(value: datetime, name: str) -> str:
    """Return the place of a row in a list as a link carries it; inverse of `read_key`."""
    return f"{value.astimezone(UTC).isoformat()}~{name}"


def read_key(text: str) -> tuple[datetime, str] | None:
    """Return the place that a link carries; None where it carries none, or nonsense."""
    when, separator, name = text.partition("~")
    try:
        found = datetime.fromisoformat(when)
    except ValueError:
        return None
    return (found, name) if separator and found.tzinfo else None
