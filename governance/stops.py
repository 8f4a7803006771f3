"""Stops: one act by which a plugin, or everything, runs no more until persons lift it.

A stop stands above the lifecycle: no state changes, nothing of the plugin runs or leaves,
and the manual path of the hospital is unaffected.

Source: REGULATORY.md AIA-14.4e (stop button, safe state).

`barred` is what a run that was routed before asks once more when its turn comes.

Read next: `canary.py`.
"""

from __future__ import annotations

from audit.errors import RefusalError
from governance.gates import Objection
from governance.ports import Deployment, GovernedDocument, GovernedStore

KIND = "stop"
"""Governed document by plugin, or `EVERYTHING`: ``state`` stopped or lifted, and ``reason``."""
EVERYTHING = "everything"
STOPPERS = ("clinician", "physicist", "engineer", "approver", "administrator", "service")
LIFTERS = ("approver",)
LIVE_STATES = ("canary", "active", "standby")
"""States in which a run may go on whose results leave; on standby those that began before."""
SHADOW_STATES = ("shadow", *LIVE_STATES)
STOPPED = Objection(
    "STOPPED", "the plugin is stopped at this site", "Lift it with `osteon governance stop --lift`."
)


def stop_of(documents: GovernedStore, plugin: str) -> GovernedDocument | None:
    """Return the stop in force that concerns a plugin; None when there is none."""
    for name in (EVERYTHING, plugin):
        document = documents.governed(KIND, name)
        if document is not None and document.content["state"] == "stopped":
            return document
    return None


def require_right(role: str, reason: str, *, lift: bool) -> None:
    """Return when a role may stop, or lift a stop, for a reason.

    Raises
    ------
    RefusalError : ROLE_NOT_PERMITTED or EVIDENCE_MISSING.
    """
    permitted = LIFTERS if lift else STOPPERS
    if role not in permitted:
        raise RefusalError(
            f"expected a role of {', '.join(permitted)}, found {role}",
            reasons=("ROLE_NOT_PERMITTED",),
            advice="Let a person in that role decide.",
        )
    if not reason.strip():
        raise RefusalError(
            "expected a reason, found none", reasons=("EVIDENCE_MISSING",), advice="Say why."
        )


def barred(
    documents: GovernedStore, present: Deployment | None, plugin: str, *, shadow: bool
) -> tuple[Objection, ...]:
    """Return why a run of a release may not go on, whatever its certificate says.

    Parameters
    ----------
    present : the state of the release here; None where only a stop counts (a run by hand).
    shadow : its results stay at home.
    """
    if stop_of(documents, plugin) is not None:
        return (STOPPED,)
    if present is None or present.state in (SHADOW_STATES if shadow else LIVE_STATES):
        return ()
    text = f"release {present.release_digest} is {present.state}"
    advice = "The study takes the manual path, or the release that is active now."
    return (Objection(f"RELEASE_{present.state.upper()}", text, advice),)
