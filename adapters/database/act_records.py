"""Records of what persons do, or were refused, about keys and releases.

Read next: `site_records.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.database import bodies, site_bodies
from adapters.database.site_records import SiteRecords
from adapters.database.transaction import Transaction
from audit.record import Outcome


class ActRecords(SiteRecords):
    """Acts on keys, and acts that the table or a gate refused."""

    def key(
        self,
        transaction: Transaction,
        done: Mapping[str, str],
        person: str,
        refused: Iterable[str] = (),
    ) -> str:
        """Record what a person did about a key, or was refused; a reason stands as a digest."""
        body = site_bodies.key(done, refused)
        outcome = Outcome(4, body["tripped"][0]) if body["tripped"] else None
        actor = self._actor(transaction, person)
        return self._append(transaction, "key", body, actor=actor, outcome=outcome)

    def refused_act(
        self,
        transaction: Transaction,
        action: str,
        digest: str,
        reasons: Iterable[str],
        person: str,
    ) -> str:
        """Record that somebody tried to change a release and the table or a gate refused it."""
        body = {
            "guard": "governance",
            "verdict": "refused",
            "action": bodies.coded(action),
            "tripped": [bodies.reason_code(item) for item in reasons],
        }
        actor, code = self._actor(transaction, person), body["tripped"]
        outcome = Outcome(4, code[0] if code else "REFUSED")
        return self._append(
            transaction, "guard", body, actor=actor, release_digest=digest, outcome=outcome
        )
