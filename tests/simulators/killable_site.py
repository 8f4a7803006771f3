"""A serving site that dies (SIGKILL) at the n-th point around its commits, for every n.

Run as a program: ``killable_site.py ROOT FIRST STEP ANSWER [POSTGRESQL_URL]``; prints one
JSON line for each n.  ANSWER is done, or refused (slices of the study are missing), or
superseding (the first series has its result already, the second one replaces it), or corrected
(the study has its result, and gets other pixels under the same UIDs).  With a
URL, site, vault and engine each have a PostgreSQL database; its name is the prefix of theirs.

Every state of the path is written in one transaction of one of the three databases, or of
the archive's index.  Point 2k is right after the k-th writing commit of the process; point
2k - 1 right before it, when what was done outside (an object stored, a bundle posted) is not
on record yet.  The libraries are imported once and each life is a forked process, which
keeps the matrix short.

Read next: `tests/journeys/test_kill_matrix.py`.
"""

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import fhir.resources.R4B.bundle  # noqa: F401 - imported once for all lives, as some others
import highdicom  # noqa: F401
from dbos import DBOS
from sqlalchemy.engine.default import DefaultDialect

import adapters.delivery.folder
import adapters.documents.composer
import adapters.fhir.bundle
import adapters.fhir.resources  # noqa: F401
from adapters.cli.terminal import set_up_logging
from adapters.compose import open_site
from adapters.engine.engine import WorkEngine
from adapters.engine.serving import settings_of
from adapters.folder.index import Index
from adapters.folder.pacs import FolderPacs
from adapters.home import Home
from adapters.part10 import read_part10, same_content
from audit.errors import NotFoundError
from tests.simulators.answers import PROMPT, drive
from tests.simulators.example_site import configuration, prepare, served, small_phantom
from tests.simulators.hard_cases import changed

FINAL = ("done", "failed", "refused", "abstained")
LIFETIME_S = 120.0
DATABASES = {"url": "site", "vault_url": "vault", "engine_url": "engine"}
STORED = "stored.log"


@dataclass
class Death:
    """Counts the writing commits of a process, and comes at one point."""

    deadly: int
    commits: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    begun: dict[int, int] = field(default_factory=dict)

    def watch(self) -> None:
        """Stand beside every commit of SQLAlchemy and of the archive's index from now on."""
        begin, commit, add = DefaultDialect.do_begin, DefaultDialect.do_commit, Index.add

        def do_begin(dialect: DefaultDialect, connection: Any) -> None:
            driver = connection.dbapi_connection
            if dialect.name == "sqlite":
                self.begun[id(driver)] = driver.total_changes
            begin(dialect, connection)

        def do_commit(dialect: DefaultDialect, connection: Any) -> None:
            wrote = self.writes(dialect.name, connection.dbapi_connection)
            self.beside(wrote, lambda: commit(dialect, connection))

        DefaultDialect.do_begin = do_begin
        DefaultDialect.do_commit = do_commit
        Index.add = lambda index, entries: self.beside(bool(entries), lambda: add(index, entries))

    def beside(self, wrote: bool, commit: Callable[[], None]) -> None:
        """Commit; come before or after it where it is a commit that counts, and the one."""
        number = 0
        if wrote:
            with self.lock:
                self.commits = number = self.commits + 1
        self.come(2 * number - 1)
        commit()
        self.come(2 * number)

    def writes(self, dialect: str, driver: Any) -> bool:
        """Return whether the open transaction has changed anything.

        SQLite counts the rows that a connection changed; PostgreSQL gives a transaction an
        id when it first writes or locks a row (documentation, 9.27.8).
        """
        if dialect == "sqlite":
            return bool(driver.total_changes > self.begun.get(id(driver), 0))
        if driver.info.transaction_status != driver.info.transaction_status.INTRANS:
            return False
        with driver.cursor() as cursor:
            row = cursor.execute("SELECT pg_current_xact_id_if_assigned()").fetchone()
        return row[0] is not None

    def come(self, point: int) -> None:
        """Die if this is the point."""
        if point > 0 and point == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Place:
    """One life's folder, and its databases where they are not files in it."""

    root: Path
    answer: str
    postgresql: str = ""

    def study(self) -> tuple[str, tuple[bytes, ...]]:
        """Return the study that arrives, and its files."""
        study, files = small_phantom()
        return (study, files[:5] + files[7:]) if self.answer == "refused" else (study, files)

    @property
    def runs(self) -> int:
        """Return how many runs the study has in the end."""
        return 2 if self.answer in ("superseding", "corrected") else 1

    @property
    def changes(self) -> dict[str, Any]:
        """Return what the configuration says of the databases."""
        prompt = self.answer in ("refused", "corrected")
        changes: dict[str, Any] = {"trigger": PROMPT} if prompt else {}
        if self.postgresql:
            urls = {key: f"{self.postgresql}_{name}" for key, name in DATABASES.items()}
            changes["database"] = urls
        return changes

    def databases(self) -> list[str]:
        """Return the names of its PostgreSQL databases."""
        if not self.postgresql:
            return []
        prefix = self.postgresql.rsplit("/", 1)[1]
        return [f"{prefix}_{name}" for name in DATABASES.values()]


def make(place: Place) -> None:
    """Make a site with one active release, all of its tables made, the engine's as well."""
    home = prepare(place.root, **place.changes)
    with (
        open_site(home, configuration=configuration(place.root, **place.changes)) as site,
        WorkEngine(settings_of(site), site.executor),
    ):
        pass
    if place.answer == "superseding":
        _, files = place.study()
        serve(place, files[: len(files) // 2])
    if place.answer == "corrected":
        serve(place, place.study()[1])


def serve(place: Place, files: tuple[bytes, ...]) -> None:
    """Serve until every run of the study that arrives is final and no attempt is at work."""
    study, _ = place.study()
    home = Home(place.root / "home")
    with served(home, place.root, **place.changes) as (site, turn):
        site.archives["pacs"].store(study, files)
        drive(site, turn, 1)
        while at_work():
            time.sleep(0.01)


def live(place: Place, deadly: int) -> None:
    """Serve until the study's run is final and its attempt has ended, or die at a point."""
    study, files = place.study()
    log_stores(place.root / STORED, len(files))
    home = Home(place.root / "home")
    with served(home, place.root, **place.changes) as (site, turn):
        Death(deadly).watch()
        arrive(place, site.archives["pacs"])
        ends = time.monotonic() + LIFETIME_S
        while time.monotonic() < ends:
            turn()
            with site.database.reading() as transaction:
                states = [row.status for row in transaction.runs(study=study)]
            over = len(states) >= place.runs and all(state in FINAL for state in states)
            if over and not at_work():
                return
            time.sleep(0.01)
    raise TimeoutError("the run did not end")


def arrive(place: Place, archive: Any) -> None:
    """Store the study; a corrected one takes the place of what lies there, all at once."""
    study, files = place.study()
    if place.answer == "corrected":
        files = changed(files)
        references = [read_part10(data).reference for data in files]
        if all(_is_there(archive, *item) for item in zip(references, files, strict=True)):
            return
        for reference in references:
            archive.delete_instance(reference)
    archive.store(study, files)


def _is_there(archive: Any, reference: Any, data: bytes) -> bool:
    try:
        return same_content(archive.retrieve_instance(reference), data)
    except NotFoundError:
        return False


def at_work() -> bool:
    """Return whether an attempt still has something to do after its run is closed."""
    return bool(DBOS.list_workflows(status=["ENQUEUED", "PENDING"], load_input=False))


def log_stores(path: Path, input_count: int) -> None:
    """Note how many results the archive acknowledged, each time that some are stored."""
    plain = FolderPacs.store
    path.touch()

    def store(self: FolderPacs, study: str, files: Any) -> Any:
        outcomes = plain(self, study, files)
        if len(files) != input_count:
            with path.open("a") as file:
                file.write(f"{len(outcomes)}\n")
        return outcomes

    FolderPacs.store = store  # type: ignore[method-assign]


def outcome(place: Place) -> dict[str, Any]:
    """Return what a survivor finds: runs, what lies in the archive, what the log says."""
    study, files = place.study()
    chosen = configuration(place.root, **place.changes)
    with open_site(Home(place.root / "home"), configuration=chosen) as site:
        summary = site.verify_log()
        with site.database.reading() as transaction:
            rows = transaction.runs(study=study)
            kinds = [leaf.kind for leaf in transaction.leaves(0, transaction.tree_size())]
            states = {d.state for row in rows for d in transaction.deliveries(row.run_id)}
            assert len(kinds) == summary.tree_size
        series = site.archives["pacs"].search_series(study)
        return {
            "statuses": [row.status for row in rows],
            "instances": sum(item.instance_count for item in series) - len(files),
            "stored": sum(map(int, (place.root / STORED).read_text().split())),
            "bundles": len(list((place.root / "fhir").rglob("*.json"))),
            "kinds": sorted(kinds),
            "superseded": [row.superseded_by is not None for row in rows],
            "delivery_states": sorted(states),
            "staged": len(list(site.home.staging.iterdir())),
        }


def template_of(root: Path, answer: str, url: str) -> Place:
    """Return an empty place, its site and vault databases made (the engine makes its own)."""
    place = Place(root / "template", answer, f"{url}_t" if url else "")
    administrate(url, (f'CREATE DATABASE "{name}"' for name in place.databases()[:2]))
    return place


def copied(template: Place, name: str, url: str) -> Place:
    """Return a copy of a site: its folder and its databases."""
    place = Place(template.root.parent / name, template.answer, f"{url}_x" if url else "")
    shutil.copytree(template.root, place.root)
    pairs = zip(place.databases(), template.databases(), strict=True)
    administrate(url, (f'CREATE DATABASE "{new}" TEMPLATE "{old}"' for new, old in pairs))
    return place


def remove(place: Place, url: str) -> None:
    """Remove a site: its folder and its databases."""
    shutil.rmtree(place.root)
    administrate(url, (f'DROP DATABASE "{name}" WITH (FORCE)' for name in place.databases()))


def administrate(url: str, statements: Iterable[str]) -> None:
    """Carry out statements at the PostgreSQL server, if there is one."""
    if not url:
        return
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


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


def main(root: Path, first: int, step: int, answer: str, url: str = "") -> int:
    """Kill at point first, first + step, ... until a life gets through."""
    set_up_logging()
    template = template_of(root, answer, url)
    code, _ = forked(lambda: make(template))
    if code != 0:
        return code
    deadly = first
    died = -signal.SIGKILL
    while died == -signal.SIGKILL:
        place = copied(template, f"life-{deadly}", url)
        died, _ = forked(lambda place=place, n=deadly: live(place, n))
        again, _ = forked(lambda place=place: live(place, 0)) if died else (0, None)
        checked, found = forked(lambda place=place: outcome(place))
        line = {"point": deadly, "died": died, "again": again, "checked": checked} | (found or {})
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        remove(place, url)
        deadly += step
    remove(template, url)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
