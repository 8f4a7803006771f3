"""Records of what is done with the log itself: export, purge, erasure, restore.

Read next: `journal.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.database import bodies
from adapters.database.act_records import ActRecords
from adapters.database.transaction import Transaction
from audit.record import Outcome


class KeepingRecords(ActRecords):
    """Records about the log; see `SiteRecords` for the rest."""

    def export(
        self, transaction: Transaction, body: Mapping[str, Any], person: str, reason: str = ""
    ) -> str:
        """Record that records left, in which form, and the digest of the file."""
        outcome = Outcome(8, reason) if reason else Outcome()
        actor = self._actor(transaction, person)
        return self._append(transaction, "export", body, actor=actor, outcome=outcome)

    def purge(self, transaction: Transaction, body: Mapping[str, Any], person: str) -> str:
        """Record which records a purge takes; ``body`` is signed (`audit.tombstone`)."""
        return self._append(transaction, "purge", body, actor=self._actor(transaction, person))

    def erasure(self, transaction: Transaction, body: Mapping[str, Any], person: str) -> str:
        """Record that the identity of a patient was erased; by whom, and not whose."""
        decided = {key: bodies.coded(str(body[key])) for key in ("decided_by", "approved_by")}
        actor = self._actor(transaction, person)
        return self._append(transaction, "erasure", {**body, **decided}, actor=actor)

    def restore(self, transaction: Transaction, body: Mapping[str, Any], person: str) -> str:
        """Record that the site was restored from a backup, and where the log stood then."""
        return self._append(transaction, "restore", body, actor=self._actor(transaction, person))
