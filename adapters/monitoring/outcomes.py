"""Outcomes that come from follow-up: toxicity grades, fractures, recurrences; one JSON a line.

    {"run_id": "...", "stated": 0.27, "event": true, "seen_at": "2026-11-20T10:00:00+01:00",
     "reported_at": "2026-11-24T09:00:00+01:00"}

`stated` is the probability that the release gave; without ``reported_at`` it is now, with it the
same line twice is one outcome; a later report corrects an earlier one (`labels.py`).  The whole
file is kept or nothing of it; the import is on record by its digest and count.

Read next: `governance/monitoring/labels.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapters.governance.persons import Person, decision_of
from audit.errors import ConfigurationError, RefusalError
from governance.monitoring.labels import Outcome
from governance.release import digest_of

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

KIND = "outcomes"
"""Governed document by day: how many outcomes were imported, and the digest of the file."""
IMPORTERS = ("physicist", "clinician", "approver")
KNOWN = ("run_id", "stated", "event", "seen_at", "reported_at")


def import_outcomes(site: Site, person: Person, text: str) -> int:
    """Keep every outcome of a file and return how many were new.

    Raises
    ------
    RefusalError : the role may not; ConfigurationError : a line says something wrong, by number.
    """
    if person.role not in IMPORTERS:
        raise RefusalError(
            "this role does not import outcomes",
            reasons=("ROLE_NOT_PERMITTED",),
            advice=f"Ask one of: {', '.join(IMPORTERS)}.",
        )
    stated = decision_of(site, person)
    lines = [line for line in text.splitlines() if line.strip()]
    file_digest = digest_of(text.encode())

    def write(transaction: Transaction) -> int:
        kept = 0
        for number, line in enumerate(lines, 1):
            try:
                kept += _keep(transaction, json.loads(line), stated.decided_at, file_digest)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigurationError(
                    f"expected an outcome in line {number}, found {type(error).__name__}"
                ) from error
        content = {"lines": len(lines), "new": kept, "sha256": file_digest}
        name = stated.decided_at.date().isoformat()
        document = transaction.put_governed(KIND, name, content, stated.person, stated.decided_at)
        site.journal.governed(transaction, document)
        return kept

    return site.database.run(write)


def _keep(
    transaction: Transaction, line: Mapping[str, Any], now: datetime, file_digest: str
) -> bool:
    strange = sorted(set(line) - set(KNOWN))
    if strange or not isinstance(line["event"], bool):
        raise ValueError("an unknown key, or an event that is neither true nor false")
    probability = float(line["stated"])
    if not 0 <= probability <= 1:
        raise ValueError("a probability outside 0 to 1")
    run = transaction.run(str(line["run_id"]))
    if run is None:
        raise KeyError("run_id")
    told = _time(line["reported_at"]) if "reported_at" in line else now
    seen = _time(line["seen_at"])
    if not run.opened_at <= seen <= told <= now:
        raise ValueError("a time before the run, or in the future")
    return transaction.put_outcome(
        Outcome(run.run_id, line["event"], seen, told), probability, file_digest
    )


def _time(text: Any) -> datetime:
    found = datetime.fromisoformat(str(text))
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found.astimezone(UTC)
