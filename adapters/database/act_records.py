"""Records of what persons do, or were refused, about keys, releases and predicted doses.

Read next: `site_records.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.database import bodies, site_bodies
from adapters.database.dose_bodies import doses
from adapters.database.site_records import SiteRecords
from adapters.database.transaction import Transaction
from audit.kinds import NOT_EVALUATED
from audit.record import Outcome
from governance.oversight.plans import PlanComparison
from plugins.host.findings import DoseGrid
from plugins.host.ports import RunRequest


class ActRecords(SiteRecords):
    """Acts on keys, plans that were made later, and acts that the table or a gate refused."""

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

    def plan_compared(
        self, transaction: Transaction, request: RunRequest, item: PlanComparison
    ) -> str:
        """Record what a real plan that came back says of a predicted dose."""
        body = site_bodies.plan_comparison(item) | {"plugin": bodies.plugin(request)}
        return self._of_run(transaction, "plan_comparison", request, body)

    def what_if(
        self,
        transaction: Transaction,
        request: RunRequest,
        edits: Iterable[tuple[str, float]],
        dose: DoseGrid,
        seconds: float,
        person: str,
    ) -> str:
        """Record what somebody tried out about a run, and what the release answered."""
        body = {
            "plugin": bodies.plugin(request),
            "edits": {bodies.coded(name): value for name, value in edits},
            "doses": doses([dose]),
            "seconds": round(seconds, 3),
        }
        actor = self._actor(transaction, person)
        return self._of_run(transaction, "what_if", request, body, actor=actor, mode="what_if")

    def cohort(
        self,
        transaction: Transaction,
        action: str,
        digests: tuple[str, str],
        person: str,
        *,
        run: tuple[str, str, str] = ("", "", ""),
        look: int = 0,
        refused: Iterable[str] = (),
    ) -> str:
        """Record that a cohort was built, sealed or opened, or that opening it was refused.

        Parameters
        ----------
        digests : of the cohort, and of its content without the seal.
        run : id, release digest and criteria digest of the run that opens it.
        """
        run_id, release_digest, criteria_digest = run
        reasons = [bodies.reason_code(item) for item in refused]
        body = {
            "action": bodies.coded(action),
            "cohort_sha256": digests[0],
            "content_sha256": digests[1],
            "criteria_sha256": criteria_digest or NOT_EVALUATED,
            "run": bodies.coded(run_id) if run_id else NOT_EVALUATED,
            "look": look,
        }
        return self._append(
            transaction,
            "cohort",
            body,
            actor=self._actor(transaction, person),
            release_digest=release_digest or None,
            outcome=Outcome(4, reasons[0]) if reasons else None,
        )

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
