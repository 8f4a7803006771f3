"""What the answer of an HTTP server means for us, decided once.

Status codes after RFC 9110 Section 15 and PS3.18 Section 8.5.

Read next: `orthanc/pacs.py`, `dicomweb/pacs.py`.
"""

from __future__ import annotations

from audit.errors import (
    AuthenticationError,
    DoorError,
    NotFoundError,
    RejectedError,
    SuiteError,
    UnavailableError,
)

_BUSY = frozenset({408, 425, 429})


def error_for(name: str, status: int, request: str) -> SuiteError | None:
    """Return the error that a status stands for, None when the request succeeded.

    The server's own text is left out: it may quote the patient.

    Parameters
    ----------
    name : configured name of the archive.
    request : what was asked, e.g. ``search``.
    """
    if 200 <= status < 300:
        return None
    found = f"expected {name} to answer the {request}, found HTTP status {status}"
    if status in (401, 403, 407):
        return AuthenticationError(found)
    if status in (404, 410):
        return NotFoundError(found)
    if status >= 500 or status in _BUSY:
        return UnavailableError(found)
    return RejectedError(found)


def malformed(name: str, request: str) -> DoorError:
    """Return the error for an answer that is not what the standard says."""
    return UnavailableError(
        f"expected {name} to answer the {request} in its format, found something else",
        advice="Check that the address is the archive's own and not a proxy's error page.",
    )
