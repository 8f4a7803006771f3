"""What the audit log says of a run, for pages, results and replay.

Read next: `audit/kinds.py`, which says what each record holds.
"""

from __future__ import annotations

from typing import Any

from adapters.database import Transaction
from audit.record import Record, decode


def inference_body(transaction: Transaction, run_id: str) -> dict[str, Any]:
    """Return the body of the run's last inference record; empty when there is none."""
    bodies = _bodies(transaction, run_id, "inference")
    return bodies[-1] if bodies else {}


def inference_record(transaction: Transaction, run_id: str) -> Record | None:
    """Return the run's last inference record; None when there is none."""
    leaves = [leaf for leaf in transaction.records_of(run_id) if leaf.kind == "inference"]
    return decode(leaves[-1].leaf) if leaves else None


def explanation_body(transaction: Transaction, run_id: str) -> dict[str, Any]:
    """Return the body of the run's last explanation record; empty when there is none."""
    bodies = _bodies(transaction, run_id, "explanation")
    return bodies[-1] if bodies else {}


def unwritten_refusal(transaction: Transaction, run_id: str) -> str:
    """Return the code why no object tells the run's last refusal; empty when one does."""
    bodies = _bodies(transaction, run_id, "refusal")
    return str(bodies[-1].get("unwritten", "")) if bodies else ""


def _bodies(transaction: Transaction, run_id: str, kind: str) -> list[dict[str, Any]]:
    return [
        dict(decode(leaf.leaf).body) for leaf in transaction.records_of(run_id) if leaf.kind == kind
    ]
