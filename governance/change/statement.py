"""A classification in words and JSON values: for a person, a page, and the change request.

Read next: `classification.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from governance.change.budget import BudgetPosition
from governance.change.classification import Classification
from governance.change.kinds import KINDS
from governance.change_control import FLAGS, Reason


def statement(found: Classification) -> dict[str, Any]:
    """Return everything that a classification says, as JSON values."""
    request = found.request
    return {
        "old_digest": request.old_digest,
        "new_digest": request.new_digest,
        "baseline_digest": request.baseline_digest,
        "plan_digest": request.plan_digest,
        "class": found.decision.change_class,
        "may_activate": found.decision.may_activate,
        "reasons": reasons(found.decision.reasons),
        "kinds": [
            {"row": KINDS[name].number, "key": name, "title": KINDS[name].title,
             "default": KINDS[name].default, "flips": KINDS[name].flips}
            for name in found.kinds
        ],
        "detected": [
            {"area": item.area, "code": item.code, "path": item.path, "kind": item.kind,
             "claimed": item.claimed}
            for item in found.detected
        ],
        "names_only": list(found.names_only),
        "proofs": sorted(found.proofs),
        "flags": [name for name in FLAGS if getattr(found.flags, name)],
        "plan_reasons": reasons(found.plan_reasons),
        "gates": [asdict(gate) for gate in found.protocol.gates] if found.protocol else [],
        "gates_passed": found.protocol is not None and found.protocol.passed,
        "budget": budget_lines(found.budget) if found.budget else [],
        "evidence_needed": list(found.evidence),
        "udi": found.udi,
    }  # fmt: skip


def reasons(found: Iterable[Reason]) -> list[dict[str, str]]:
    """Return reasons as JSON values."""
    return [{"code": reason.code, "text": reason.text} for reason in found]


def budget_lines(found: BudgetPosition) -> list[dict[str, Any]]:
    """Return the lines of a budget as JSON values."""
    return [asdict(line) for line in found.lines]
