"""What the answer of an HTTP server means for us, decided once.

Status codes after RFC 9110 Section 15 and PS3.18 Section 8.5.

Read next: `orthanc/pacs.py`, `dicomweb/pacs.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from audit.errors import (
    AuthenticationError,
    DoorError,
    NotFoundError,
    RejectedError,
    SuiteError,
    UnavailableError,
)

_BUSY = frozenset({408, 425, 429})
LONGEST_WAIT_S = 86_400.0
"""No server can keep results away for longer than a day by asking for it."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long a server asks us to stay away; None where it does not say so.

    Source: RFC 9110 Section 10.2.3 (Retry-After: seconds, or a date, which is read by the
    server's own clock where it states that).
    """
    stated = headers.get("Retry-After", "").strip()
    if stated.isascii() and stated.isdigit():
        return min(float(stated[:9]), LONGEST_WAIT_S)
    until, now = _date(stated), _date(headers.get("Date", "")) or datetime.now(UTC)
    if until is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT_S)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def error_for(
    name: str, status: int, request: str, headers: Mapping[str, str] | None = None
) -> SuiteError | None:
    """Return the error that a status stands for, None when the request succeeded.

    The server's own text is left out: it may quote the patient.

    Parameters
    ----------
    name : configured name of the archive.
    request : what was asked, e.g. ``search``.
    headers : of the answer, which may say when to come again.
    """
    if 200 <= status < 300:
        return None
    found = f"expected {name} to answer the {request}, found HTTP status {status}"
    if status in (401, 403, 407):
        return AuthenticationError(found)
    if status in (404, 410):
        return NotFoundError(found)
    if status >= 500 or status in _BUSY:
        return UnavailableError(found, retry_after_s=retry_after_s(headers or {}))
    return RejectedError(found)


def malformed(name: str, request: str) -> DoorError:
    """Return the error for an answer that is not what the standard says."""
    return UnavailableError(
        f"expected {name} to answer the {request} in its format, found something else",
        advice="Check that the address is the archive's own and not a proxy's error page.",
    )
