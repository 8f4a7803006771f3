"""Several worker processes on one PostgreSQL: one queue, one cap, lanes, work of the dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.compose import Site, open_site
from adapters.folder.pacs import FolderPacs
from adapters.home import Home
from tests.simulators.example_site import configuration, prepare, small_phantom
from tests.simulators.postgresql import beside

pytestmark = [pytest.mark.server, pytest.mark.slow]
PROGRAM = Path(__file__).resolve().parents[1] / "simulators" / "serving_machine.py"
TIMEOUT_S = 240.0
SETTLED_S = 0.3
"""What a stopped machine has sent to the database before is committed or lost by then."""
LOG_LAG_S = 20.0


@dataclass
class Machine:
    """One worker process and what it has logged."""

    process: subprocess.Popen[bytes]
    log: Path

    def events(self) -> list[dict[str, Any]]:
        """Return the whole lines of the program log."""
        lines = self.log.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def at_work(self) -> set[str]:
        """Return the runs whose attempt began and has not ended."""
        told = [(item["event"], item.get("run_id")) for item in self.events()]
        begun = {run_id for event, run_id in told if event == "run attempt"}
        return begun - {run_id for event, run_id in told if event == "run ended"}

    def stop(self) -> None:
        """Let it do nothing more until `go_on`, without its knowing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it work again."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power failure does."""
        self.process.kill()
        self.process.wait()


@contextmanager
def _machines(root: Path, changes: dict[str, Any]) -> Iterator[list[Machine]]:
    machines = []
    try:
        for name in ("a", "b"):
            log = root / f"{name}.log"
            with log.open("wb") as sink:
                process = subprocess.Popen(
                    [sys.executable, PROGRAM, str(root), f"node-{name}", json.dumps(changes)],
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    stderr=sink,
                )
            machines.append(Machine(process, log))
        yield machines
    finally:
        for machine in machines:
            machine.kill()


def _done(site: Site) -> set[str]:
    """Return the runs that the database calls done."""
    with site.database.reading() as transaction:
        return {row.run_id for row in transaction.runs() if row.status == "done"}


def _ends(machines: Sequence[Machine], runs: set[str]) -> bool:
    """Wait until the machines' logs say that these runs ended; false where they never do."""
    ends = time.monotonic() + LOG_LAG_S
    while time.monotonic() < ends:
        told = [item for machine in machines for item in machine.events()]
        if runs <= {item["run_id"] for item in told if item["event"] == "run ended"}:
            return True
        time.sleep(0.1)
    return False


def _until(site: Site, count: int, look: Callable[[], None] = lambda: None) -> None:
    """Wait until so many runs are done."""
    ends = time.monotonic() + TIMEOUT_S
    states: list[str] = []
    while states != ["done"] * count:
        assert time.monotonic() < ends, states
        look()
        time.sleep(0.1)
        with site.database.reading() as transaction:
            states = [row.status for row in transaction.runs()]


def _site(root: Path, url: str, **engine: Any) -> tuple[Home, dict[str, Any]]:
    vault_url = beside(url, "_vault")
    database = {"url": url, "vault_url": vault_url, "engine_url": url + "_engine"}
    changes = {
        "database": database,
        "engine": {"polling_interval_s": 0.1, **engine},
        "trigger": {
            "quiet_time_s": 0.1,
            "poll_interval_s": 0.05,
            "urgent_senders": ["EMERGENCYCT"],
        },
    }
    return prepare(root, **changes), changes


def _check_once(site: Site, archive: FolderPacs, studies: list[tuple[str, Any]]) -> None:
    """Each study has one run, one set of results and one record of each kind."""
    for study, files in studies:
        count = sum(item.instance_count for item in archive.search_series(study))
        assert count == len(files) + 4
    with site.database.reading() as transaction:
        rows = transaction.runs()
        for row in rows:
            kinds = [leaf.kind for leaf in transaction.records_of(row.run_id)]
            for kind in ("run_opened", "input_read", "inference", "run_closed"):
                assert kinds.count(kind) == 1, (row.run_id, kinds)
        assert {item.state for row in rows for item in transaction.deliveries(row.run_id)} == {
            "verified"
        }
    assert sorted(row.study_instance_uid for row in rows) == sorted(study for study, _ in studies)
    bundles = list((site.home.root.parent / "fhir").rglob("*.json"))
    assert len(bundles) == len(studies)
    site.verify_log()


def test_two_machines_share_a_queue_and_one_dies(postgresql_url: str, tmp_path: Path) -> None:
    """The one that is at work is killed: its run ends on the other, and none is done twice."""
    home, changes = _site(tmp_path, postgresql_url, lease_s=3.0)
    studies = [small_phantom(seed) for seed in range(5)]
    with FolderPacs("pacs", tmp_path / "pacs") as archive:
        for study, files in studies:
            archive.store(study, files)
        left: set[str] = set()
        with (
            open_site(home, configuration=configuration(tmp_path, **changes)) as site,
            _machines(tmp_path, changes) as machines,
        ):
            dying, other = machines

            def kill_at_work() -> None:
                """Kill it with a run that no database calls done; else a log lags behind."""
                if left or not dying.at_work():
                    return
                dying.stop()
                time.sleep(SETTLED_S)
                if unfinished := dying.at_work() - _done(site):
                    dying.kill()
                    left.update(unfinished)
                else:
                    dying.go_on()

            _until(site, len(studies), kill_at_work)
            assert left
            assert _ends([other], left)
            _check_once(site, archive, studies)


def test_the_cap_holds_over_machines_and_urgent_work_overtakes(
    postgresql_url: str, tmp_path: Path
) -> None:
    """With one run at once everywhere, none overlap, and what is urgent goes before the rest."""
    home, changes = _site(tmp_path, postgresql_url, concurrency=2, global_concurrency=1)
    normal = [small_phantom(seed) for seed in range(3)]
    urgent = [small_phantom(seed) for seed in (3, 4)]
    with FolderPacs("pacs", tmp_path / "pacs") as archive:
        for study, files in normal:
            archive.store(study, files)
        for study, files in urgent:
            archive.store(study, files, sender="EMERGENCYCT")
        with (
            open_site(home, configuration=configuration(tmp_path, **changes)) as site,
            _machines(tmp_path, changes) as machines,
        ):
            _until(site, len(normal + urgent))
            _check_once(site, archive, normal + urgent)
            with site.database.reading() as transaction:
                lane = {row.run_id: row.priority for row in transaction.runs()}
            assert _ends(machines, set(lane))
            told = sorted(
                (item["timestamp"], item["event"], item["run_id"])
                for machine in machines
                for item in machine.events()
                if item["event"] in ("run attempt", "run ended")
            )
    events = [event for _, event, _ in told]
    assert events == ["run attempt", "run ended"] * 5, told
    lanes = [lane[run_id] for _, event, run_id in told if event == "run attempt"]
    # The queue is filled while the first attempt runs.
    assert lanes[1:3] == ["urgent"] * 2 or lanes[:2] == ["urgent"] * 2, lanes
