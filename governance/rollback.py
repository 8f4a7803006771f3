"""What becomes of work that is under way when a release leaves: one table.

    finish    it goes on with the release that it began with, and its results leave
    reroute   it ends without a result here, and the study is routed again
    cancel    it ends without a result; the study takes the manual path

A run whose results are on their way (delivering) has arrived in part, perhaps: what did is
on the recall list.

Source: issue 3 (a run in progress ends on the release that it began with);
REGULATORY.md AIA-14.4e.

Read next: `recall.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.errors import RefusalError
from governance.ports import Deployment

FINISH, REROUTE, CANCEL = "finish", "reroute", "cancel"


@dataclass(frozen=True, slots=True)
class Drain:
    """What is done with runs that wait, that run, and whose results are on their way."""

    queued: str
    running: str
    delivering: str


DRAINS: Mapping[str, Drain] = {
    "supersede": Drain(FINISH, FINISH, FINISH),
    "rollback": Drain(REROUTE, FINISH, FINISH),
    "rollback-suspend": Drain(REROUTE, REROUTE, REROUTE),
    "suspend": Drain(REROUTE, REROUTE, CANCEL),
    "retire": Drain(REROUTE, REROUTE, CANCEL),
    "stop": Drain(CANCEL, CANCEL, CANCEL),
}
"""By the act through which a release leaves.  A rollback lets work in progress end, because
the release that is left keeps its certificate; with ``--suspend`` it does not."""

_FATES = {
    "queued": "queued",
    "waiting": "queued",
    "running": "running",
    "delivering": "delivering",
}


def fate(act: str, status: str, *, shadow: bool) -> str:
    """Return what becomes of an open run; one in shadow has no result to save."""
    wanted: str = getattr(DRAINS[act], _FATES[status])
    return CANCEL if shadow and wanted == REROUTE else wanted


def target_of(
    deployments: Sequence[Deployment], site: str, plugin: str, wanted: str = ""
) -> tuple[Deployment, Deployment | None]:
    """Return the release that a rollback goes to, and the active one that it leaves.

    Parameters
    ----------
    wanted : release digest; empty takes the one that came to standby last.

    Raises
    ------
    RefusalError : nothing waits on standby (NOTHING_ON_STANDBY), or not the wanted one.
    """
    here = [item for item in deployments if item.site == site and item.plugin == plugin]
    waiting = sorted(
        (item for item in here if item.state == "standby"), key=lambda item: item.since
    )
    if wanted:
        waiting = [item for item in waiting if item.release_digest == wanted]
    if not waiting:
        named = f" as {wanted}" if wanted else ""
        raise RefusalError(
            f"expected a release of {plugin} on standby{named}, found none",
            reasons=("NOTHING_ON_STANDBY",),
            advice="Stop the plugin (`osteon governance stop`) and take the manual path.",
        )
    active = [item for item in here if item.state == "active"]
    return waiting[-1], active[0] if active else None
