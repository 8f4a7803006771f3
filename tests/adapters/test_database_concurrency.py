"""Many writers at once: every record gets one place, and none is lost."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from adapters.database import Database, Transaction
from adapters.database.runs import FOLDER
from audit.log import Log
from audit.record import make_record
from audit.verify import verify_site
from tests.simulators.run_values import answer_for, case_for, documents_for, request_for
from tests.simulators.site_database import ORIGIN, SOURCE, START, Clock, Recorded

THREADS = 4
EACH = 10

WRITER = """
import sys
from datetime import UTC, datetime
from adapters.database import Database
from audit.log import Log
from audit.record import Actor, Source, make_record

url, origin, name, count = sys.argv[1:5]
database, log = Database(url), Log(origin)
source = Source("site-a", name, "research", Actor("service:osteon", "service"))
for number in range(int(count)):
    record = make_record("fault", source, datetime.now(UTC), {"code": f"X{number}", "where": name})
    database.run(lambda transaction: log.append(transaction, record))
    log.seal(database)
"""


def test_threads_append_and_integrate_together(recorded: Recorded) -> None:
    """Threads that append and seal at once leave one unbroken, verified tree."""
    failures: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for number in range(EACH):
                body = {"code": f"X{number}", "where": f"thread-{name}"}
                record = make_record("fault", SOURCE, START, body)
                recorded.database.run(lambda tx, r=record: recorded.log.append(tx, r))
                recorded.log.seal(recorded.database)
        except BaseException as error:
            failures.append(error)

    _together(work)
    assert failures == []
    summary = verify_site(recorded.database, recorded.key, now=START)
    assert summary.tree_size == THREADS * EACH


def test_machines_that_begin_together_keep_the_cap(database: Database) -> None:
    """Workers that count what is at work at the same moment do not both find room."""
    cap, asked = 2, THREADS * 3
    requests = [request_for(number) for number in range(asked)]
    with database.transaction() as transaction:
        for request in requests:
            transaction.add_run(request, "pacs")
        transaction.add_run(request_for(asked), FOLDER, "running")

    def begin(transaction: Transaction, run_id: str) -> None:
        transaction.begin_attempt(run_id, 1)
        if transaction.at_work(run_id) >= cap:
            transaction.put_retry(run_id, 2, START, "NO_ROOM")

    failures: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for request in requests[name::THREADS]:
                database.run(lambda tx, run_id=request.run_id: begin(tx, run_id), attempts=20)
        except BaseException as error:
            failures.append(error)

    _together(work)
    assert failures == []
    with database.reading() as transaction:
        states = [row.status for row in transaction.runs() if row.pacs != FOLDER]
    assert (states.count("running"), states.count("waiting")) == (cap, asked - cap)


def test_threads_share_one_run_and_record_it_once(recorded: Recorded) -> None:
    """Two workers that take the same run through at once record each step once."""
    failures: list[BaseException] = []

    def work(_: int) -> None:
        request = request_for()
        try:
            recorded.journal.opened(request)
            recorded.journal.input_read(request, case_for(), "sha256:1")
            recorded.journal.inferred(request, answer_for(), documents_for(request), {})
            recorded.journal.closed(request, "done")
        except BaseException as error:
            failures.append(error)

    _together(work)
    assert failures == []
    kinds = ["run_opened", "input_read", "inference", "explanation", "run_closed"]
    assert sorted(recorded.kinds()) == sorted(kinds)


def test_processes_append_and_integrate_together(database_url: str, tmp_path: Path) -> None:
    """Processes that write into one database leave one unbroken, verified tree."""
    database = Database(database_url)
    database.upgrade()
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    command = [sys.executable, str(script), database_url, ORIGIN]
    root = Path(__file__).parents[2]
    writers = [
        subprocess.Popen([*command, f"node-{number}", str(EACH)], cwd=root, stderr=subprocess.PIPE)
        for number in range(3)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    signer = Recorded.signer()
    Log(ORIGIN, signer, Clock()).seal(database)
    summary = verify_site(database, signer.verifier)
    assert (summary.tree_size, summary.signed_size) == (3 * EACH, 3 * EACH)
    database.close()


def _together(work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(name,)) for name in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
