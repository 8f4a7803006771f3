"""A serving site that dies (SIGKILL) at the n-th point around its commits, for every n.

Run as a program: ``killable_site.py ROOT FIRST STEP``; prints one JSON line for each n.
Every state of the path is written in one transaction of the site database.  Point 2k is
right after the k-th writing commit; point 2k - 1 right before it, when what was done
outside (an object stored, a bundle posted) is not on record yet.  The libraries are
imported once and each life is a forked process, which keeps the matrix short.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import adapters.fhir.bundle
import adapters.fhir.resources  # noqa: F401 - as above
from adapters.cli.terminal import set_up_logging
from adapters.database import Database, Transaction
from adapters.home import Home
from tests.simulators.example_site import prepare, served, small_phantom

FINAL = ("done", "failed", "refused", "abstained")
LIFETIME_S = 120.0


def live(root: Path, deadly: int) -> None:
    """Serve until the study's run is final, or die at the n-th point."""
    commits = 0
    plain = Database.transaction

    @contextmanager
    def counted(self: Database) -> Iterator[Transaction]:
        nonlocal commits
        with plain(self) as transaction:
            driver: Any = transaction.connection.connection.dbapi_connection
            before = driver.total_changes
            yield transaction
            wrote = driver.total_changes > before
            if wrote and 2 * commits + 1 == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
        commits += wrote
        if wrote and 2 * commits == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    Database.transaction = counted  # type: ignore[method-assign]
    study, files = small_phantom()
    with served(Home(root / "home"), root) as (site, turn):
        site.archives["pacs"].store(study, files)
        ends = time.monotonic() + LIFETIME_S
        while time.monotonic() < ends:
            turn()
            with site.database.reading() as transaction:
                states = [row.status for row in transaction.runs(study=study)]
            if states and all(state in FINAL for state in states):
                return
            time.sleep(0.01)
    raise TimeoutError("the run did not end")


def outcome(root: Path) -> dict[str, Any]:
    """Return what a survivor finds: runs, what lies in the archive, what the log says."""
    from adapters.compose import open_site
    from tests.simulators.example_site import configuration

    study, files = small_phantom()
    with open_site(Home(root / "home"), configuration=configuration(root)) as site:
        with site.database.reading() as transaction:
            rows = transaction.runs(study=study)
            kinds = [leaf.kind for row in rows for leaf in transaction.records_of(row.run_id)]
            states = {d.state for row in rows for d in transaction.deliveries(row.run_id)}
        series = site.archives["pacs"].search_series(study)
        summary = site.verify_log()
        return {
            "statuses": [row.status for row in rows],
            "instances": sum(item.instance_count for item in series) - len(files),
            "bundles": len(list((root / "fhir").rglob("*.json"))),
            "kinds": sorted(kinds),
            "delivery_states": sorted(states),
            "staged": len(list(site.home.staging.iterdir())),
            "records": summary.tree_size,
        }


def forked(function: Callable[[], Any]) -> tuple[int, Any]:
    """Run a function in a forked process; return (signal or exit code, its JSON value)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            value = function()
            os.write(writer, json.dumps(value).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return code, json.loads(text) if text else None


def main(root: Path, first: int, step: int) -> int:
    """Kill at point first, first + step, ... until a life gets through."""
    set_up_logging()
    template = root / "template"
    code, _ = forked(lambda: str(prepare(template).root))
    if code != 0:
        return code
    deadly = first
    while True:
        place = root / f"life-{deadly}"
        shutil.copytree(template, place)
        died, _ = forked(lambda place=place, n=deadly: live(place, n))
        again, _ = forked(lambda place=place: live(place, 0)) if died else (0, None)
        checked, found = forked(lambda place=place: outcome(place))
        line = {"point": deadly, "died": died, "again": again, "checked": checked} | (found or {})
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        shutil.rmtree(place)
        if died != -signal.SIGKILL:
            return 0
        deadly += step


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
