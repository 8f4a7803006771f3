"""Several worker processes on one PostgreSQL queue: each study once, work of the dead adopted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adapters.compose import open_site
from adapters.folder.pacs import FolderPacs
from tests.simulators.example_site import configuration, prepare, small_phantom

pytestmark = [pytest.mark.server, pytest.mark.slow]
PROGRAM = Path(__file__).resolve().parents[1] / "simulators" / "serving_machine.py"
STUDIES = 6
TIMEOUT_S = 240.0


def test_two_machines_share_a_queue_and_one_dies(postgresql_url: str, tmp_path: Path) -> None:
    """Six studies on two machines, one killed at work: six runs done, none twice."""
    changes = {
        "database": {"url": postgresql_url, "engine_url": postgresql_url + "_engine"},
        "engine": {"polling_interval_s": 0.1, "lease_s": 3.0},
    }
    home = prepare(tmp_path, **changes)
    archive = FolderPacs("pacs", tmp_path / "pacs")
    studies = [small_phantom(seed) for seed in range(STUDIES)]
    for study, files in studies:
        archive.store(study, files)
    machines = [
        subprocess.Popen(
            [sys.executable, PROGRAM, str(tmp_path), f"node-{name}", json.dumps(changes)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for name in ("a", "b")
    ]
    try:
        with open_site(home, configuration=configuration(tmp_path, **changes)) as site:
            killed = False
            ends = time.monotonic() + TIMEOUT_S
            states: list[str] = []
            while time.monotonic() < ends:
                with site.database.reading() as transaction:
                    states = [row.status for row in transaction.runs()]
                if "running" in states and not killed:
                    machines[0].send_signal(signal.SIGKILL)
                    killed = True
                if states == ["done"] * STUDIES:
                    break
                time.sleep(0.2)
            assert states == ["done"] * STUDIES
            assert killed
            for study, files in studies:
                count = sum(item.instance_count for item in archive.search_series(study))
                assert count == len(files) + 4
            with site.database.reading() as transaction:
                for row in transaction.runs():
                    kinds = [leaf.kind for leaf in transaction.records_of(row.run_id)]
                    assert kinds.count("inference") == 1
                    assert kinds.count("run_closed") == 1
            site.verify_log()
    finally:
        for machine in machines:
            machine.kill()
            machine.wait()
        archive.close()
