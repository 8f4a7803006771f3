"""The bodies of records that belong to no run: routing, releases and who decided on them.

Read next: `site_records.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from adapters.database.bodies import PseudonymOf, coded, digest_of_text, reason_code
from adapters.database.courses import ComparisonRow
from audit.kinds import NOT_EVALUATED
from governance.oversight.assessment import AIRAI, Assessment
from governance.oversight.plans import PlanComparison
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


def assessment(item: Assessment) -> Json:
    """Return what a person did with a result; a later plan has its own kind of record."""
    return {
        "assessment": item.assessment_id,
        "structure": coded(item.structure),
        "fraction": item.fraction,
        "action": item.action,
        "airai": AIRAI[item.action],
        "reason": item.reason,
        "severity": item.severity,
        "source": item.source,
        "reviewer_p": item.reviewer or NOT_EVALUATED,
        "second_reviewer_p": item.second_reviewer or NOT_EVALUATED,
        "viewing": asdict(item.viewing) if item.viewing.known else NOT_EVALUATED,
        "figures": asdict(item.figures) if item.figures else NOT_EVALUATED,
        "dvh": NOT_EVALUATED,
        "edited_sop_uid_p": item.edited_sop_uid_p or NOT_EVALUATED,
        "inference_event_id": item.inference_event_id or NOT_EVALUATED,
        "blinded": item.blinded,
        "seeded": NOT_EVALUATED if item.seeded is None else item.seeded,
        "adjudicated": item.adjudicated or NOT_EVALUATED,
        "version": item.version,
    }


def plan_comparison(item: PlanComparison) -> Json:
    """Return what a real plan that came back says of a predicted dose; doses in Gy."""
    same = item.same_prescription
    return {
        "comparison": item.comparison_id,
        "plan_sop_uid_p": item.plan_sop_uid_p,
        "dose_sop_uid_p": item.dose_sop_uid_p,
        "same_prescription": NOT_EVALUATED if same is None else same,
        "same_structures": item.same_structures,
        "covered_share": item.covered_share,
        "numbers": {name: round(value, 4) for name, value in item.numbers().items()},
        "points": [
            {
                "region": coded(point.structure),
                "roi_number": point.roi_number,
                "point": coded(point.point),
                "predicted_gy": point.predicted_gy,
                "planned_gy": point.planned_gy,
                "within": NOT_EVALUATED if point.within is None else point.within,
            }
            for point in item.points
        ],
        "inference_event_id": item.inference_event_id,
    }


def key(done: Mapping[str, str], refused: Iterable[str]) -> dict[str, Any]:
    """Return what a person did about a key; a reason stands as a digest."""
    body: dict[str, Any] = {
        name: digest_of_text(value) if name == "reason" else coded(value)
        for name, value in done.items()
    }
    return {**body, "tripped": [reason_code(item) for item in refused]}
