"""Outages through the real engine: several runs, a refusing archive, an engine that forgets."""

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS

from adapters.compose import Site, open_site
from adapters.engine.serving import serving
from adapters.folder.pacs import FolderPacs
from adapters.hand import act
from adapters.home import Home
from adapters.pacs import StoreOutcome
from audit.errors import ConfigurationError, UnavailableError
from tests.simulators.example_site import configuration, prepare, served, small_phantom

TIMEOUT_S = 150.0


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared home, copied by every test."""
    root = tmp_path_factory.mktemp("template")
    prepare(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy of the prepared home."""
    shutil.copytree(template / "home", tmp_path / "home")
    return tmp_path


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return the simulated moment."""
        return self.moment

    def move(self, **by: float) -> None:
        """Go on."""
        self.moment += timedelta(**by)


class Archive(FolderPacs):
    """An archive whose storing can be away, or refuse every structure set."""

    def __init__(self, name: str, root: Path) -> None:
        super().__init__(name, root)
        self.away = self.refusing = False

    def store(self, study_instance_uid: str, files: Any) -> Any:
        """Store as the archive's mood permits."""
        if self.away:
            raise UnavailableError("expected the archive, found nobody")
        if not self.refusing:
            return super().store(study_instance_uid, files)
        outcomes = []
        for data in files:
            if b"RTSTRUCT" in data[:4096]:
                outcomes.append(StoreOutcome("", "failed", 0xA900, "refused"))
            else:
                outcomes += super().store(study_instance_uid, [data])
        return tuple(outcomes)


def until(
    turn: Callable[[], None], condition: Callable[[], bool], clock: Clock, **by: float
) -> None:
    """Drive the site, moving its clock, until something holds."""
    ends = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < ends, "nothing happened in time"
        clock.move(**by)
        turn()
        time.sleep(0.05)


def statuses(site: Site) -> list[str]:
    """Return the status of every run."""
    with site.database.reading() as transaction:
        return sorted(row.status for row in transaction.runs())


def inferences(site: Site) -> int:
    """Return how many inferences are on record."""
    with site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        return sum(leaf.kind == "inference" for leaf in leaves)


def test_two_runs_through_one_outage(root: Path) -> None:
    """While the archive rests behind its breaker, every run keeps its turn and arrives."""
    clock, archive = Clock(), Archive("pacs", root / "pacs")
    studies = [small_phantom(seed) for seed in (1, 2)]
    for study, files in studies:
        archive.store(study, files)
    archive.away = True
    with open_site(
        Home(root / "home"), configuration=configuration(root),
        archives={"pacs": archive}, now=clock,
    ) as site, serving(site) as turn:  # fmt: skip
        until(turn, lambda: statuses(site) == ["delivering"] * 2, clock, seconds=0.2)
        for _ in range(60):
            clock.move(seconds=20)
            turn()
            time.sleep(0.03)
        assert statuses(site) == ["delivering"] * 2
        archive.away = False
        until(turn, lambda: statuses(site) == ["done"] * 2, clock, minutes=4)
        assert inferences(site) == 2


def test_refused_document_is_retried_by_hand_without_inference(root: Path) -> None:
    """A run whose object was refused fails; after the archive is mended, retry delivers it."""
    clock, archive = Clock(), Archive("pacs", root / "pacs")
    study, files = small_phantom()
    archive.store(study, files)
    archive.refusing = True
    with open_site(
        Home(root / "home"), configuration=configuration(root),
        archives={"pacs": archive}, now=clock,
    ) as site, serving(site) as turn:  # fmt: skip
        until(turn, lambda: statuses(site) == ["failed"], clock, minutes=2)
        with site.database.reading() as transaction:
            (row,) = transaction.runs()
        archive.refusing = False
        act(site, "retry", row.run_id, "account:local")
        until(turn, lambda: statuses(site) == ["done"], clock, minutes=1)
        assert inferences(site) == 1
        series = archive.search_series(study)
        assert sum(item.instance_count for item in series) == len(files) + 4


def test_a_run_that_the_engine_lost_is_found(root: Path) -> None:
    """An attempt whose workflow ended behind our back gets its next attempt."""
    clock = Clock()
    study, files = small_phantom()
    with (
        open_site(Home(root / "home"), configuration=configuration(root), now=clock) as site,
        serving(site) as turn,
    ):
        site.archives["pacs"].store(study, files)
        ends = time.monotonic() + TIMEOUT_S
        while not statuses(site) and time.monotonic() < ends:
            clock.move(seconds=0.2)
            site.feed.poll()
            site.feed.settle()
        with site.database.reading() as transaction:
            (row,) = transaction.runs()
        from dbos import SetWorkflowID

        from adapters.engine.engine import RUNS, _run_workflow

        with SetWorkflowID(row.run_id):
            DBOS.enqueue_workflow(RUNS, _run_workflow, row.run_id, 99)  # not its turn
        until(turn, lambda: statuses(site) == ["done"], clock, seconds=5)
        assert inferences(site) == 1


def test_discarded_run_stays_discarded(root: Path) -> None:
    """A waiting run that a person discards never runs, and its staging is empty."""
    clock = Clock()
    study, files = small_phantom()
    with (
        open_site(
            Home(root / "home"),
            configuration=configuration(root, limits={"free_space_mb": 10**9}),
            now=clock,
        ) as site,
        serving(site) as turn,
    ):
        site.archives["pacs"].store(study, files)
        until(turn, lambda: statuses(site) == ["waiting"], clock, seconds=0.3)
        with site.database.reading() as transaction:
            (row,) = transaction.runs()
        act(site, "discard", row.run_id, "account:local")
        for _ in range(10):
            clock.move(hours=1)
            turn()
            time.sleep(0.02)
        assert statuses(site) == ["discarded"]
        assert not list(site.home.staging.iterdir())
        with pytest.raises(ConfigurationError):
            act(site, "discard", row.run_id, "account:local")


def test_one_home_is_served_once(root: Path) -> None:
    """A second process under the same executor id is refused in plain words."""
    with (
        served(Home(root / "home"), root) as (site, _),
        pytest.raises(ConfigurationError, match="found another process"),
        serving(site),
    ):
        pass
