"""Assessments that were made elsewhere: training with seeded errors, blinded re-contours, later
judgements; one JSON object a line.

    {"run_id": "...", "structure": "GTVp", "action": "reject", "reason": "other",
     "reviewer": "anna", "role": "clinician", "decided_at": "2026-11-20T10:00:00+01:00",
     "seeded": true, "blinded": false, "adjudicated": "wrong", "fraction": 0, "dsc": 0.91}

The whole file is kept or nothing of it.  Off the clinical path: what is seeded or blinded never
counts in the rates.

Read next: `governance/oversight/bias.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adapters.governance.persons import Person
from adapters.oversight.acts import assessable, keep, structures_of
from audit.errors import ConfigurationError, RefusalError
from audit.record import new_event_id
from governance.oversight.assessment import NO_REASON, REVIEWERS, Assessment, Figures

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

IMPORTERS = ("physicist", "approver")
KNOWN = (
    "run_id", "structure", "action", "reason", "severity", "reviewer", "role", "decided_at",
    "seeded", "blinded", "adjudicated", "fraction", "dsc",
)  # fmt: skip


def import_assessments(site: Site, person: Person, text: str) -> int:
    """Keep and record every assessment of a file; return how many.

    Raises
    ------
    RefusalError : the role may not; ConfigurationError : a line says something wrong, by number.
    """
    if person.role not in IMPORTERS:
        raise RefusalError("this role does not import", reasons=("ROLE_NOT_PERMITTED",))
    lines = [line for line in text.splitlines() if line.strip()]
    with site.database.transaction() as transaction:
        for number, line in enumerate(lines, 1):
            try:
                _keep(site, transaction, json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigurationError(
                    f"expected an assessment in line {number}, found {type(error).__name__}"
                ) from error
    site.log.seal(site.database)
    return len(lines)


def _keep(site: Site, transaction: Transaction, stated: Mapping[str, Any]) -> None:
    unknown = sorted(set(stated) - set(KNOWN))
    if unknown:
        raise ConfigurationError(f"expected the words {', '.join(KNOWN)}, found {unknown[0][:40]}")
    row, record = assessable(transaction, str(stated["run_id"]))
    decided = datetime.fromisoformat(stated["decided_at"])
    if decided.tzinfo is None or decided > site.now():
        raise ConfigurationError("expected a past moment with its zone in decided_at")
    if stated["structure"] not in structures_of(record) or stated["role"] not in REVIEWERS:
        raise ConfigurationError("expected a structure of the run and the role of a reviewer")
    dsc = stated.get("dsc")
    one = Assessment(
        assessment_id=new_event_id(site.now()),
        run_id=row.run_id,
        structure=stated["structure"],
        action=stated["action"],
        reason=stated.get("reason", NO_REASON),
        severity=stated.get("severity", "none"),
        source="import",
        reviewer=site.pseudonyms.reviewer(stated["reviewer"]),
        reviewer_role=stated["role"],
        decided_at=decided,
        fraction=int(stated.get("fraction", 0)),
        figures=None if dsc is None else Figures(float(dsc), None, 0.0, None, 0.0, 0.0, 0.0),
        inference_event_id=record.event_id,
        blinded=bool(stated.get("blinded", False)),
        seeded=stated.get("seeded"),
        adjudicated=stated.get("adjudicated", ""),
    )
    keep(site, transaction, row, record, one)
