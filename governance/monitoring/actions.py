"""What follows an alarm: one table, by the action that its item of the plan states.

    action         at once, by the service      of a release that is       asked of people
    notify         nothing                                                 a decision
    suspend        `suspend`                    shadow, canary, active     a decision
    ask-rollback   a request on record          active                     rollback, or a decision

Nothing is ever activated, and nothing switched, by an alarm: `lifecycle.py` holds the ways back
(a suspended release returns by `approve` of two persons, or in research mode by a waiver).  Where
an alarm suspends or asks for rollback, whoever built or registered the release does not close it.
A monitor that stopped notifies, whatever its item states: it says nothing of the release.

Source: REGULATORY.md section 4 (rollback triggers, hard stops), AIA-9.1, AIA-26.5.

Read next: `reevaluation.py`, `adapters/monitoring/acting.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from audit.errors import RefusalError
from governance.alarms import SUSPENDED_BY
from governance.monitoring.plan import NOTIFY, ROLLBACK, SUSPEND
from governance.ports import Deployment, GovernedDocument

REQUEST = "rollback_request"
"""Governed document by the alarm's name: state, plugin, release, ``to``, digest of the alarm."""
ASKED, DONE, DECLINED = "asked", "done", "declined"
STOPPED = "stopped"
"""First word of what an alarm is about when a monitor did not run."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One line of the table.

    Parameters
    ----------
    act : `suspend` of the lifecycle, `REQUEST`, or empty where only people are told.
    states : of a release for which it is done.
    four_eyes : nobody who built or registered the release closes the alarm.
    advice : what the notice asks of its reader.
    """

    act: str
    states: tuple[str, ...]
    four_eyes: bool
    advice: str


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        NOTIFY: Policy("", (), False, "Look at the page of alarms and decide."),
        SUSPEND: Policy(
            "suspend", ("shadow", "canary", "active"), True,
            "The release is suspended by the plan. Decide: osteon monitor decide.",
        ),
        ROLLBACK: Policy(
            REQUEST, ("active",), True,
            "The plan asks for a rollback: osteon governance rollback; then decide.",
        ),
    }
)  # fmt: skip


def policy_of(item: GovernedDocument) -> Policy:
    """Return the line of the table for a re-evaluation item."""
    about = str(item.content["about"])
    return POLICIES[NOTIFY if about.startswith(STOPPED) else str(item.content["action"])]


def due(item: GovernedDocument, present: Deployment | None) -> str:
    """Return what the service does now about an open item; empty for nothing.

    A release that somebody brought into use after the alarm was raised is left alone.
    """
    policy = policy_of(item)
    if present is None or present.state not in policy.states:
        return ""
    raised = datetime.fromisoformat(str(item.content["opened_at"]))
    return policy.act if raised >= present.since else ""


def evidence(item: GovernedDocument) -> dict[str, str]:
    """Return the evidence that an act of the service bears: which alarm, and what passed what."""
    keys = ("detector", "way", "evidence", "threshold")
    stated = {key: str(item.content[key]) for key in keys if key in item.content}
    return {
        "reason": SUSPENDED_BY,
        "alarm": item.name,
        "alarm_sha256": item.digest,
        **{f"alarm_{key}": value for key, value in stated.items()},
    }


def request(item: GovernedDocument, to: str) -> dict[str, Any]:
    """Return the content of a request; ``to`` is the release on standby, empty without one."""
    kept = {key: item.content[key] for key in ("plugin", "release_digest", "opened_at")}
    return {**kept, "state": ASKED, "to": to, "alarm": item.name, "alarm_sha256": item.digest}


def answered(content: Mapping[str, Any], decision: str, reason: str) -> dict[str, Any]:
    """Return a request after the decision on its alarm."""
    state = DONE if decision == "rollback" else DECLINED
    return {**content, "state": state, "decision": decision, "decision_reason": reason.strip()}


def require_rolled_back(item: GovernedDocument, deployments: Sequence[Deployment]) -> None:
    """Return when the release was left since the alarm; else RefusalError (ROLLBACK_MISSING).

    Parameters
    ----------
    deployments : of this site, every release of the plugin.
    """
    raised = datetime.fromisoformat(str(item.content["opened_at"]))
    digest = str(item.content["release_digest"])
    others = [
        one
        for one in deployments
        if one.release_digest != digest and one.state == "active" and one.since >= raised
    ]
    left = all(one.state != "active" for one in deployments if one.release_digest == digest)
    if not (others and left):
        raise RefusalError(
            "expected another release to be active since the alarm, found that nobody went back",
            reasons=("ROLLBACK_MISSING",),
            advice="Roll back first: `osteon governance rollback`; or decide otherwise.",
        )
