"""The bodies of records that belong to no run: routing, releases and who decided on them.

Read next: `site_records.py`.
"""

from __future__ import annotations

from adapters.database.bodies import PseudonymOf, coded
from adapters.database.courses import ComparisonRow
from governance.ports import Deployment
from plugins.host.ports import Json
from plugins.host.routing import Decision


def route_decision(decision: Decision, study_uid_p: str, pseudonym: PseudonymOf, why: str) -> Json:
    """Return a routing decision: codes and keywords; what was found in the study stays out."""
    return {
        "study_uid_p": study_uid_p,
        "plugin": {"id": coded(decision.plugin), "version": coded(decision.plugin_version)},
        "applies": decision.applies,
        "series": [
            {"role": coded(role), "series_uid_p": pseudonym(uid)}
            for role, uid in sorted(decision.series.items())
        ],
        "reasons": [
            {"code": coded(item.code), "keyword": coded(item.keyword), "role": coded(item.role)}
            for item in decision.reasons
        ],
        "readiness": coded(why),
    }


def lifecycle(deployment: Deployment, action: str, before: str) -> Json:
    """Return a change of state of a release; free-text evidence stands as a digest."""
    return {
        "plugin": coded(deployment.plugin),
        "action": coded(action),
        "from_state": before,
        "to_state": deployment.state,
        "share": deployment.share,
        "decided_by": coded(deployment.decided_by),
        "evidence": {coded(key): coded(value) for key, value in deployment.evidence.items()},
    }


def comparison(row: ComparisonRow) -> Json:
    """Return how two releases agree on one study."""
    return {
        "against_run_id": row.against_run_id,
        "against_release": row.against_digest,
        "outcome": row.pair.outcome,
        "agreement": round(row.pair.agreement, 6),
        "findings": {coded(name): round(value, 6) for name, value in row.pair.findings.items()},
    }
