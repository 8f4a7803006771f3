"""What a FHIR server's refusal means: status code and OperationOutcome as our errors.

Only coded parts of an OperationOutcome are quoted (severity, issue type, FHIRPath):
``diagnostics`` and ``details.text`` may repeat what was sent, and with it the patient.

Read next: `client.py`.
"""

from __future__ import annotations

import re
from typing import Any

from audit.errors import (
    AuthenticationError,
    DoorError,
    RejectedError,
    UnavailableError,
)

DOUBLED = "Delete the doubled resources on the FHIR server, then restart."
# Worth trying again: timeout, conflict with a concurrent transaction, too early, too
# many, and the server's own faults (RFC 9110 section 15, RFC 6585).  501 and 505 do not
# heal by waiting.
RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507})
_WHOLE = frozenset({400, 413})
"""What a server says to a transaction that is too large for it, rather than wrong."""
_CODE = re.compile(r"^[a-z-]{1,40}$")
_PATH = re.compile(r"^[A-Za-z0-9_.\[\]]{1,120}$")


class WholeRefusedError(RejectedError):
    """The server refuses a request without naming a place in it: perhaps it is too large."""


class NewerVersionError(UnavailableError):
    """Somebody changed a resource since it was read (FHIR R4 3.1.0.7.1); read it again."""


def error_of(status: int, body: Any, doing: str, retry_after_s: float | None = None) -> DoorError:
    """Return the error for a status of 300 and more; it never quotes free text.

    Parameters
    ----------
    retry_after_s : how long the server asks us to stay away, where it does.
    """
    said = f"expected success when {doing}, found status {status}{reasons(body)}"
    if status in (401, 403):
        return AuthenticationError(said)
    if status in RETRYABLE:
        return UnavailableError(said, retry_after_s=retry_after_s)
    if status == 412:
        # A conditional create found several (FHIR R4 3.1.0.8.1).
        return RejectedError(said, advice=DOUBLED)
    advice = "The FHIR server refuses the content; see the issue codes."
    if status in _WHOLE and not _names_a_place(body):
        return WholeRefusedError(said, advice=advice)
    return RejectedError(said, advice=advice)


def reasons(outcome: Any) -> str:
    """Return " (type at path, …)" of an OperationOutcome's errors, empty when none."""
    parts = []
    for issue in _errors(outcome):
        kind = str(issue.get("code", ""))
        part = kind if _CODE.match(kind) else "unknown"
        where = issue.get("expression")
        if isinstance(where, list) and where and _PATH.match(str(where[0])):
            part += f" at {where[0]}"
        parts.append(part)
    return f" ({', '.join(parts)})" if parts else ""


def _names_a_place(outcome: Any) -> bool:
    return any(issue.get("expression") or issue.get("location") for issue in _errors(outcome))


def _errors(outcome: Any) -> list[dict[str, Any]]:
    """Return the first errors of an OperationOutcome; none of anything else."""
    if not isinstance(outcome, dict) or outcome.get("resourceType") != "OperationOutcome":
        return []
    issues = outcome.get("issue")
    return [
        issue
        for issue in (issues[:5] if isinstance(issues, list) else ())
        if isinstance(issue, dict) and issue.get("severity") in ("fatal", "error")
    ]
