"""The path of a study on the example plugin: once, in every order that hospitals produce."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.compose import Site, open_site
from adapters.folder.pacs import FolderPacs
from adapters.hand import act
from adapters.pacs import StoreOutcome
from adapters.replay import replay_run
from audit.errors import UnavailableError
from tests.simulators.example_site import configuration, prepare, served, small_phantom

FINAL = ("done", "failed", "refused", "abstained")
TIMEOUT_S = 120.0


def settle(
    site: Site, turn: Callable[[], None], expected: int, *, quiet_turns: int = 5
) -> list[str]:
    """Drive the site until ``expected`` runs are final and nothing more is waiting."""
    ends = time.monotonic() + TIMEOUT_S
    quiet = 0
    while time.monotonic() < ends:
        turn()
        with site.database.reading() as transaction:
            states = [row.status for row in transaction.runs(limit=1000)]
            waiting = transaction.studies_waiting("pacs")
        finished = len(states) >= expected and all(state in FINAL for state in states)
        quiet = quiet + 1 if finished and not waiting else 0
        if quiet >= quiet_turns:
            return states
        time.sleep(0.02)
    raise AssertionError(f"expected {expected} runs to end, found {states}")


def written(site: Site, study: str, files: tuple[bytes, ...]) -> int:
    """Return how many instances the archive holds beyond those that were sent."""
    series = site.archives["pacs"].search_series(study)
    return sum(item.instance_count for item in series) - len(files)


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


def home_of(root: Path):
    """Return the home below a root."""
    from adapters.home import Home

    return Home(root / "home")


def test_sent_twice_runs_once(root: Path) -> None:
    """The same study sent again, and run again by hand, leaves the archive as it was."""
    study, files = small_phantom()
    with served(home_of(root), root) as (site, turn):
        site.archives["pacs"].store(study, files)
        assert settle(site, turn, 1) == ["done"]
        count = written(site, study, files)
        assert count == 4
        outcomes = site.archives["pacs"].store(study, files)
        assert {item.status for item in outcomes} == {"duplicate"}
        assert settle(site, turn, 1) == ["done"]
        with site.database.reading() as transaction:
            (row,) = transaction.runs()
        act(site, "force", row.run_id, "account:local")
        assert settle(site, turn, 1) == ["done"]
        assert written(site, study, files) == count
        with site.database.reading() as transaction:
            kinds = [leaf.kind for leaf in transaction.records_of(row.run_id)]
        assert kinds.count("inference") == 1
        assert kinds.count("run_closed") == 2
        site.verify_log()


def test_twenty_studies_while_the_service_is_down(root: Path) -> None:
    """Twenty studies that arrive while nothing listens all run after the start, once."""
    studies = [small_phantom(seed) for seed in range(20)]
    archive = FolderPacs("pacs", root / "pacs")
    for study, files in studies:
        archive.store(study, files)
    archive.close()
    with served(home_of(root), root) as (site, turn):
        assert settle(site, turn, 20) == ["done"] * 20
        assert {written(site, study, files) for study, files in studies} == {4}


def test_late_series_supersedes_once(root: Path) -> None:
    """A better series that comes late gives one run that supersedes; the old one is marked."""
    study, files = small_phantom()
    late = len(files) // 2
    with served(home_of(root), root) as (site, turn):
        site.archives["pacs"].store(study, files[:late])
        assert settle(site, turn, 1) == ["done"]
        site.archives["pacs"].store(study, files[late:])
        assert settle(site, turn, 2) == ["done", "done"]
        with site.database.reading() as transaction:
            newest, oldest = transaction.runs()
        assert newest.trigger == "late-series"
        assert newest.supersedes == oldest.run_id
        assert oldest.superseded_by == newest.run_id


class Outage(FolderPacs):
    """An archive that is away while ``down`` is set, for storing only."""

    down = False
    attempts = 0

    def store(self, study_instance_uid, files):  # type: ignore[no-untyped-def]
        """Refuse while down."""
        type(self).attempts += 1
        if self.down:
            raise UnavailableError("expected the archive, found nobody")
        return super().store(study_instance_uid, files)


def test_archive_away_for_hours(root: Path) -> None:
    """After hours without the archive the results arrive, without a second inference."""
    study, files = small_phantom()
    moment = [datetime.now(UTC)]
    home = home_of(root)
    settings = configuration(root)
    archive = Outage("pacs", root / "pacs")
    from adapters.engine.serving import serving

    with (
        open_site(
            home, configuration=settings, archives={"pacs": archive}, now=lambda: moment[0]
        ) as site,
        serving(site) as turn,
    ):
        archive.store(study, files)
        Outage.down = True
        ends = time.monotonic() + TIMEOUT_S
        state = ""
        while state != "delivering" and time.monotonic() < ends:
            moment[0] += timedelta(seconds=0.5)
            turn()
            time.sleep(0.02)
            with site.database.reading() as transaction:
                state = next((row.status for row in transaction.runs()), "")
        assert state == "delivering"
        before = Outage.attempts
        for _ in range(40):
            moment[0] += timedelta(minutes=6)
            turn()
            time.sleep(0.1)
        assert Outage.attempts > before
        Outage.down = False
        while state != "done" and time.monotonic() < ends:
            moment[0] += timedelta(minutes=6)
            turn()
            time.sleep(0.1)
            with site.database.reading() as transaction:
                (row,) = transaction.runs()
            state = row.status
        assert state == "done"
        assert written(site, study, files) == 4
        with site.database.reading() as transaction:
            kinds = [leaf.kind for leaf in transaction.records_of(row.run_id)]
        assert kinds.count("inference") == 1


class Dropping(FolderPacs):
    """An archive that says 200 and forgets the first structure set that it is given."""

    dropped = 0

    def store(self, study_instance_uid, files):  # type: ignore[no-untyped-def]
        """Forget one RT Structure Set, and say that it was stored."""
        kept = [data for data in files if b"RTSTRUCT" not in data[:4096] or self.dropped]
        missing = len(files) - len(kept)
        type(self).dropped += missing
        outcomes = list(super().store(study_instance_uid, kept))
        outcomes += [StoreOutcome("", "stored")] * missing
        return tuple(outcomes)


def test_archive_that_drops_an_instance_is_found_out(root: Path) -> None:
    """A stored answer is not believed: what cannot be read back is sent again."""
    study, files = small_phantom()
    archive = Dropping("pacs", root / "pacs")
    from adapters.engine.serving import serving

    with (
        open_site(
            home_of(root), configuration=configuration(root), archives={"pacs": archive}
        ) as site,
        serving(site) as turn,
    ):
        archive.store(study, files)
        assert settle(site, turn, 1) == ["done"]
        assert Dropping.dropped == 1
        assert written(site, study, files) == 4


def test_disk_full_waits_and_loses_nothing(root: Path) -> None:
    """Without enough free space the run waits; with space again it is done."""
    study, files = small_phantom()
    home = home_of(root)
    with served(home, root, limits={"free_space_mb": 10**9}) as (site, turn):
        site.archives["pacs"].store(study, files)
        ends = time.monotonic() + TIMEOUT_S
        rows = ()
        while not (rows and rows[0].status == "waiting") and time.monotonic() < ends:
            turn()
            time.sleep(0.02)
            with site.database.reading() as transaction:
                rows = transaction.runs()
        assert rows[0].reason == "STORAGE_DISK_FULL"
    with served(home, root) as (site, turn):
        assert settle(site, turn, 1) == ["done"]


def test_database_locked_by_another(root: Path) -> None:
    """While another process holds the database the work waits, and then goes on."""
    study, files = small_phantom()
    with served(home_of(root), root) as (site, turn):
        site.archives["pacs"].store(study, files)
        other = sqlite3.connect(
            site.home.file("site.db"), isolation_level=None, check_same_thread=False
        )
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(1.5, lambda: other.execute("ROLLBACK"))
        release.start()
        started = time.monotonic()
        assert settle(site, turn, 1) == ["done"]
        assert time.monotonic() - started > 1.0
        release.join()
        other.close()
        assert written(site, study, files) == 4


def test_replay_is_identical(root: Path) -> None:
    """A run replayed from its recorded release and inputs gives the same digests."""
    study, files = small_phantom()
    with served(home_of(root), root) as (site, turn):
        site.archives["pacs"].store(study, files)
        settle(site, turn, 1)
        with site.database.reading() as transaction:
            (row,) = transaction.runs()
        result = replay_run(site, row.run_id)
        assert result["verdict"] == "identical"
        assert result["same_machine_class"]
        assert written(site, study, files) == 4


def test_no_patient_in_logs_records_or_names(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither log, record, error nor file name holds the patient's name, number or full UIDs."""
    from adapters.cli.terminal import set_up_logging
    from adapters.rt.write_phantom import PhantomStudy, encode_limb
    from validation.phantoms.limb import LimbParameters, limb

    set_up_logging(verbose=True)
    phantom = limb(
        LimbParameters(has_pet=False, margin_mm=(15, 30, 30), ct_spacing_mm=(6.0, 3.0, 3.0))
    )
    written_as = PhantomStudy(patient_name="ZZPRIVATE^QUENTIN", patient_id="ZZ-4711-PRIVATE")
    study = written_as.uid(phantom, "study")
    with served(home_of(root), root) as (site, turn):
        site.archives["pacs"].store(study, tuple(encode_limb(phantom, written_as).values()))
        settle(site, turn, 1)
        with site.database.reading() as transaction:
            leaves = [leaf.leaf for leaf in transaction.leaves(0, transaction.tree_size())]
    secrets = ("ZZPRIVATE", "QUENTIN", "4711-PRIVATE", study)
    out = "".join(capfd.readouterr())
    names = " ".join(str(path.relative_to(root)) for path in root.rglob("*"))
    records = b"\n".join(leaves).decode()
    for secret in secrets:
        assert secret not in out
        assert secret not in names
        assert secret not in records
