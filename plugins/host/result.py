"""What a run came to, as a value that the work engine can keep as JSON.

`encode` and `decode` are inverses, for a result, a document and a delivery state.

Read next: `pipeline.py`, which makes it; `ports.py`, which defines its parts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from plugins.host.ports import Delivered, Document, Json

WAITING = ("pending", "sent")


@dataclass(frozen=True, slots=True)
class RunResult:
    """Say how a run ended, or that its delivery goes on.

    Parameters
    ----------
    status : done, abstained, refused, failed, or delivering (the run is still open).
    code : stable code of the error behind refused and failed; empty otherwise.
    refusal : the code of a refusal whose objects are still delivered; empty otherwise.
    reasons : why it was refused, or why the plugin abstained, as stable codes.
    abstained : the plugin withheld its findings; the objects say so.
    next_attempt_at : aware UTC; None while delivering means that the engine chooses.
    """

    run_id: str
    status: str
    code: str = ""
    reasons: tuple[str, ...] = ()
    abstained: bool = False
    documents: tuple[Document, ...] = ()
    states: tuple[Delivered, ...] = ()
    next_attempt_at: datetime | None = None
    refusal: str = ""


def is_final(state: Delivered) -> bool:
    """Return whether nothing more will be tried for this document at this target."""
    return state.state not in WAITING and state.next_attempt_at is None


def next_attempt(states: tuple[Delivered, ...]) -> datetime | None:
    """Return when the first of the waiting documents is due; None if none names a time."""
    due = [state.next_attempt_at for state in states if state.next_attempt_at is not None]
    return min(due, default=None)


def encode_document(document: Document) -> Json:
    """Return a document as JSON values."""
    return {**asdict(document), "path": str(document.path)}


def decode_document(values: Json) -> Document:
    """Return the document that `encode_document` wrote."""
    return Document(**{**values, "path": Path(values["path"])})


def encode_state(state: Delivered) -> Json:
    """Return a delivery state as JSON values; times in ISO 8601."""
    due = state.next_attempt_at
    return {**asdict(state), "next_attempt_at": due.isoformat() if due else None}


def decode_state(values: Json) -> Delivered:
    """Return the state that `encode_state` wrote."""
    due = values["next_attempt_at"]
    return Delivered(**{**values, "next_attempt_at": datetime.fromisoformat(due) if due else None})


def encode(result: RunResult) -> Json:
    """Return a result as JSON values."""
    due = result.next_attempt_at
    return {
        "run_id": result.run_id,
        "status": result.status,
        "code": result.code,
        "reasons": list(result.reasons),
        "abstained": result.abstained,
        "documents": [encode_document(item) for item in result.documents],
        "states": [encode_state(item) for item in result.states],
        "next_attempt_at": due.isoformat() if due else None,
        "refusal": result.refusal,
    }


def decode(values: Json) -> RunResult:
    """Return the result that `encode` wrote."""
    due = values["next_attempt_at"]
    return RunResult(
        values["run_id"],
        values["status"],
        values["code"],
        tuple(values["reasons"]),
        values["abstained"],
        tuple(decode_document(item) for item in values["documents"]),
        tuple(decode_state(item) for item in values["states"]),
        datetime.fromisoformat(due) if due else None,
        values.get("refusal", ""),  # results kept by an older suite have none
    )
