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

# Worth trying again: timeout, conflict with a concurrent transaction, too early, too
# many, and the server's own faults (RFC 9110 section 15, RFC 6585).  501 and 505 do not
# heal by waiting.
RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507})
_CODE = re.compile(r"^[a-z-]{1,40}$")
_PATH = re.compile(r"^[A-Za-z0-9_.\[\]]{1,120}$")


def error_of(status: int, body: Any, doing: str) -> DoorError:
    """Return the error for a status of 300 and more; it never quotes free text."""
    said = f"expected success when {doing}, found status {status}{reasons(body)}"
    if status in (401, 403):
        return AuthenticationError(said)
    if status in RETRYABLE:
        return UnavailableError(said)
    return RejectedError(said, advice="The FHIR server refuses the content; see the issue codes.")


def reasons(outcome: Any) -> str:
    """Return " (type at path, …)" of an OperationOutcome's errors, empty when none."""
    if not isinstance(outcome, dict) or outcome.get("resourceType") != "OperationOutcome":
        return ""
    issues = outcome.get("issue")
    parts = []
    for issue in issues[:5] if isinstance(issues, list) else ():
        if not isinstance(issue, dict) or issue.get("severity") not in ("fatal", "error"):
            continue
        kind = str(issue.get("code", ""))
        part = kind if _CODE.match(kind) else "unknown"
        where = issue.get("expression")
        if isinstance(where, list) and where and _PATH.match(str(where[0])):
            part += f" at {where[0]}"
        parts.append(part)
    return f" ({', '.join(parts)})" if parts else ""
