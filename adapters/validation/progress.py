"""How far an open run of the harness is, as the work engine's own database says.

Read only: nothing is started, and a run that another machine works on is not touched.

Read next: `queue.py`, which puts the cases there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.engine.engine import ERROR
from adapters.validation.queue import queue_name
from validation.cohort.manifest import Cohort
from validation.harness import plan as plans
from validation.harness.plan import PHANTOM

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.validation.standings import RunStanding

_STATES = {"PENDING": "working", "SUCCESS": "done", "ENQUEUED": "waiting", "DELAYED": "waiting"}


@dataclass(frozen=True, slots=True)
class CaseProgress:
    """One case of an open run.

    Parameters
    ----------
    state : waiting | working | done | failed.
    looks, asked : conditions that are answered, and that the plan asks for.
    node : machine that took it up; empty while it waits.
    at : of its last change; None while nothing is known of it.
    """

    case_id: str
    state: str
    looks: int
    asked: int
    node: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The work queue of one run."""

    cases: tuple[CaseProgress, ...]

    @property
    def looks(self) -> int:
        """Return how many answers there are."""
        return sum(item.looks for item in self.cases)

    @property
    def asked(self) -> int:
        """Return how many answers the plan asks for."""
        return sum(item.asked for item in self.cases)

    @property
    def at(self) -> datetime | None:
        """Return when the queue last changed; None where nothing is in it."""
        return max((item.at for item in self.cases if item.at), default=None)

    def count(self, state: str) -> int:
        """Return the number of cases in a state."""
        return sum(item.state == state for item in self.cases)


def progress_of(site: Site, run: RunStanding, cohort: Cohort) -> Progress:
    """Return the queue of a run: every case of its plan, in order."""
    plan = plans.decode(run.plan)
    asked = {item.case_id: len(plan.conditions(cohort, item)) for item in cohort.cases}
    if plan.phantoms:
        asked[PHANTOM] = plan.phantoms
    known = _known(_url(site, run.run_id), run.run_id)
    found = []
    for case_id, count in sorted(asked.items()):
        state, looks, node, at = known.get(case_id, ("waiting", 0, "", None))
        looks = count if state == "done" else looks
        found.append(CaseProgress(case_id, state, looks, count, node, at))
    return Progress(tuple(found))


def _url(site: Site, run_id: str) -> str:
    """Return the engine's database of a run; empty where it has none yet."""
    url = site.configuration.database.engine_url.get_secret_value()
    if url:
        return url
    file = Path(site.home.root) / "validations" / run_id / "engine.db"
    return f"sqlite:///{file}" if file.is_file() else ""


def _known(url: str, run_id: str) -> dict[str, tuple[str, int, str, datetime | None]]:
    """Return state, answers, machine and last change of each case that the engine knows."""
    if not url:
        return {}
    from dbos import DBOSClient, DBOSPortableJSONSerializer

    client = DBOSClient(system_database_url=url, serializer=DBOSPortableJSONSerializer())
    found: dict[str, tuple[str, int, str, datetime | None]] = {}
    try:
        for item in client.list_workflows(queue_name=queue_name(run_id), load_input=False):
            case_id = item.workflow_id.removeprefix(f"{run_id}-").rpartition("-")[0]
            state = _state(item.status, item.output)
            looks = 0
            if state in ("working", "failed"):
                looks = len(client.list_workflow_steps(item.workflow_id, load_output=False))
            node = "" if state == "waiting" else str(item.executor_id or "")
            found[case_id] = (state, looks, node.removeprefix("validation-"), _at(item.updated_at))
    finally:
        client.destroy()
    return found


def _state(status: str, output: Any) -> str:
    if status == "SUCCESS" and isinstance(output, dict) and ERROR in output:
        return "failed"
    return _STATES.get(status, "failed")


def _at(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
