"""The drill: two releases, one replaced by the other, and the way back under load.

    1  release 1 is documented, certified, approved by two persons, active; studies flow
    2  release 2 runs in shadow, then as canary for half of the patients, then is active
    3  studies pile up; the rollback is made while they wait and run; what is recalled is
       marked outside
    4  what came of it is compared with what lies in the archive: nothing lost, nothing
       doubled, the recall list equal to the truth, the history right

The truth is read from the archive itself: every object there names the release that made
it.  A site exercises with `osteon governance drill`; the journey test does the same.

Source: issue 3, acceptance 1; REGULATORY.md section 8, entry point 5 (rollback drill).

Read next: `drill_checks.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from adapters.compose import Site, open_site
from adapters.config_sections import DatabaseSection
from adapters.engine.serving import serving_in_background
from adapters.governance import drill_papers, drill_site
from adapters.governance.comparing import compare_pairs
from adapters.governance.drill_papers import APPROVER, PHYSICIST
from adapters.governance.drill_site import PLUGIN, Patient, Patients
from adapters.governance.promoting import activate, start_canary, start_shadow
from adapters.governance.rolling_back import RolledBack, Wish, rollback
from adapters.home import Home
from audit.errors import SuiteError
from governance.deployment import known
from plugins.host.identity import RECALL

Say = Callable[[str], None]
PATIENCE_S = 1200.0
SMALLEST = 12
THRESHOLDS_HU = (300.0, 310.0)
"""Of release 1 and release 2: their contours differ a little."""


@dataclass(frozen=True, slots=True)
class Phases:
    """How many studies flow in each part; half as many again outside the canary as inside."""

    before: int
    shadow: int
    inside: int
    outside: int
    active: int
    load: int

    @property
    def total(self) -> int:
        """Return how many studies there are."""
        return sum((self.before, self.shadow, self.inside, self.outside, self.active, self.load))


def phases_of(studies: int) -> Phases:
    """Return how a number of studies (at least 12) is shared out; half come under load."""
    before, shadow = max(1, studies // 12), max(2, studies // 8)
    inside, outside, active = max(2, studies // 8), max(1, studies // 16), max(1, studies // 12)
    return Phases(
        before, shadow, inside, outside, active,
        studies - before - shadow - inside - outside - active,
    )  # fmt: skip


@dataclass(slots=True)
class Exercise:
    """What happened in a drill, as it goes on."""

    site: Site
    phases: Phases
    one: str
    two: str
    patients: list[Patient] = field(default_factory=list)
    moments: dict[str, datetime] = field(default_factory=dict)
    back: RolledBack | None = None
    open_at_rollback: dict[str, int] = field(default_factory=dict)
    drained_s: float = 0.0
    settled_s: float = 0.0
    marked_s: float = 0.0


def run_exercise(site: Site, studies: int, say: Say) -> Exercise:
    """Go through the whole exercise on an open, serving throw-away site."""
    phases, papers = phases_of(studies), site.home.root.parent / "technical-files"
    drill_site.add_people(site)
    one = drill_site.add_release(site, "1.0.0", THRESHOLDS_HU[0])
    two = drill_site.add_release(site, "2.0.0", THRESHOLDS_HU[1])
    exercise, patients = Exercise(site, phases, one, two), Patients(site)
    # 1
    say("release 1.0.0: documented, certified, approved by two persons, active")
    drill_papers.document_site(site, PLUGIN, one)
    drill_papers.document_release(site, one, THRESHOLDS_HU[0])
    drill_papers.approve_release(site, one, papers / "1.0.0")
    activate(site, one, APPROVER, "drill: first release")
    exercise.moments["one"] = site.now()
    _flow(exercise, patients, (patients.next() for _ in range(phases.before)))
    # 2
    say("release 2.0.0: documented, its change classified, certified, approved, in shadow")
    drill_papers.document_change(site, one, two)
    drill_papers.document_release(site, two, THRESHOLDS_HU[1])
    drill_papers.approve_release(site, two, papers / "2.0.0")
    start_shadow(site, two, APPROVER, "drill: shadow")
    _flow(exercise, patients, (patients.next() for _ in range(phases.shadow)))
    _compared(site, two, phases.shadow)
    say("release 2.0.0: canary for half of the patients")
    canary = start_canary(site, two, APPROVER, "drill: canary", 0.5)
    _flow(exercise, patients, patients.for_canary(canary, phases.inside, phases.outside))
    _compared(site, two, phases.inside)
    say("release 2.0.0: active")
    activate(site, two, APPROVER, "drill: second release")
    exercise.moments["two"] = site.now()
    _flow(exercise, patients, (patients.next() for _ in range(phases.active)))
    # 3
    say(f"{phases.load} studies pile up")
    for _ in range(phases.load):
        _send(exercise, patients, patients.next())
    _until(lambda: _piled_up(exercise), "studies to pile up")
    say("rollback to release 1.0.0")
    started = time.monotonic()
    exercise.back = rollback(site, PLUGIN, PHYSICIST, Wish("drill: rollback under load"))
    exercise.moments["back"] = site.now()
    _until(lambda: not _open(site, two), "the work of the left release to end")
    exercise.drained_s = time.monotonic() - started
    _until(lambda: _settled(exercise), "all studies to be answered")
    exercise.settled_s = time.monotonic() - started
    say("the recalled results are marked as withdrawn")
    _until(lambda: _marked(exercise), "the recalled results to be marked")
    exercise.marked_s = time.monotonic() - started
    return exercise


def open_exercise(
    root: Path, studies: int, say: Say, database: DatabaseSection | None = None
) -> Exercise:
    """Make a throw-away site below ``root``, exercise on it, and return what happened.

    The site is closed when this returns; what it kept can be looked at below ``root``.
    """
    phases = phases_of(studies)
    settings = drill_site.configuration(root, min(phases.shadow, phases.inside), database)
    with (
        open_site(Home(root / "home").create(), configuration=settings) as site,
        serving_in_background(site),
    ):
        return run_exercise(site, studies, say)


def _flow(exercise: Exercise, patients: Patients, some: Iterable[Patient]) -> None:
    for patient in some:
        _send(exercise, patients, patient)
    _until(lambda: _settled(exercise), "the studies to be answered")


def _send(exercise: Exercise, patients: Patients, patient: Patient) -> None:
    patients.send(patient)
    exercise.patients.append(patient)


def _settled(exercise: Exercise) -> bool:
    """Return whether every study that was sent has its answer, and nothing more is to come."""
    with exercise.site.database.reading() as transaction:
        if transaction.open_run_count() or transaction.studies_waiting("pacs"):
            return False
        return all(
            transaction.study("pacs", patient.study_instance_uid) is not None
            for patient in exercise.patients
        )


def _piled_up(exercise: Exercise) -> bool:
    """Return whether work waits behind work of the release that will be left."""
    states = _open(exercise.site, exercise.two)
    if states.count("queued") < 2 or "running" not in states:
        return False
    exercise.open_at_rollback = {state: states.count(state) for state in sorted(set(states))}
    return True


def _open(site: Site, digest: str) -> list[str]:
    with site.database.reading() as transaction:
        rows = transaction.open_runs(release_digest=digest)
    return [row.status for row in rows if row.trigger != RECALL]  # those withdraw what it made


def _marked(exercise: Exercise) -> bool:
    """Return whether every result of the left release is withdrawn, and nothing is to come."""
    with exercise.site.database.reading() as transaction:
        if transaction.open_run_count():
            return False
        rows = [
            row
            for row in transaction.runs_of(exercise.two)
            if row.mode != "shadow" and row.trigger != RECALL and row.status == "done"
        ]
    return all(row.superseded_by is not None for row in rows)


def _compared(site: Site, digest: str, wanted: int) -> None:
    """Wait for the comparisons of a release since it came into its state."""

    def enough() -> bool:
        compare_pairs(site)
        with site.database.reading() as transaction:
            present = known(transaction, site.configuration.site.name, digest)
            return len(transaction.comparisons(digest, present.since)) >= wanted

    _until(enough, "the comparisons of the release")


def _until(holds: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > ends:
            raise SuiteError(
                f"expected {what} within {PATIENCE_S:.0f} s, found none",
                advice="Look at the program log; a drill wants a machine that is not overloaded.",
            )
        time.sleep(0.05)
