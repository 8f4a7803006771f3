"""Warm workers: the released code runs, whatever the working tree says, side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.errors import NotFoundError, PluginCrashedError, UnavailableError
from governance.release import folder_name
from plugins.host.artifact import ReleaseFolders, load_release_folder
from plugins.host.identity import array_digest
from plugins.host.ports import Answer, Workers
from plugins.host.runner import ReleaseWorkers
from plugins.host.staging import answer_digest
from tests.simulators.released_plugins import LIMITS, bundle, install, request_for, small_case

ANSWER = "def predict(self, case, parameters):\n    return answer(case)"
HELD = "def predict(self, case, parameters):\n    while True: pass"


def _value(answer: Answer) -> float:
    return answer.prediction.findings[0].measurements[0].value  # type: ignore[union-attr]


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a condition of another thread or process, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        threading.Event().wait(0.01)


def test_two_versions_side_by_side(tmp_path: Path) -> None:
    """Two releases of one plugin answer each with its own code, interleaved."""
    digests = [
        install(
            bundle(ANSWER.replace("answer(case)", f"answer(case, {f})"), version=f"{f}.0.0"),
            tmp_path,
        )
        for f in (1, 2)
    ]
    with ReleaseWorkers(tmp_path) as workers:
        case = small_case()
        found = [_value(workers.run(request_for(d), case)) for d in digests * 2]
        assert [workers.warm(digest) for digest in digests] == [1, 1]
    assert found == [160.0, 320.0, 160.0, 320.0]


def test_who_gives_a_first_answer_up_gets_the_process_ended(tmp_path: Path) -> None:
    """Interrupted from another thread, the one that waits is told, and cleans up."""
    digest = install(bundle(HELD), tmp_path)
    with ReleaseWorkers(tmp_path) as workers, ThreadPoolExecutor(1) as pool:
        worker = workers.exploring(digest)
        worker.protection()
        answer = pool.submit(worker.first, small_case(), {})
        worker.interrupt()
        with pytest.raises(PluginCrashedError):
            answer.result(timeout=20)
        assert not worker.alive()


def test_rollback_brings_the_exact_old_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a new release ran and the working tree changed, the old one answers bit for bit."""
    tree = tmp_path / "tree" / "plugins" / "trial"
    tree.mkdir(parents=True)
    (tree / "__init__.py").write_text("raise RuntimeError('the working tree was imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "tree"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "tree"))
    old = install(bundle(ANSWER), tmp_path / "releases")
    new = install(bundle(ANSWER.replace("(case)", "(case, 3)")), tmp_path / "releases")
    case = small_case()
    with ReleaseWorkers(tmp_path / "releases") as workers:
        first = workers.run(request_for(old), case)
        assert _value(workers.run(request_for(new), case)) == 480.0
        again = workers.run(request_for(old), case)
    with ReleaseWorkers(tmp_path / "releases") as workers:
        fresh = workers.run(request_for(old), case)
    assert answer_digest(first) == answer_digest(again) == answer_digest(fresh)
    assert answer_digest(first) != answer_digest(replace(first, prediction=replace(
        first.prediction, findings=())))  # fmt: skip


def test_worker_is_warm_and_global_generators_start_anew(tmp_path: Path) -> None:
    """The second run uses the same process, and random numbers are the same in every run."""
    methods = """
    def predict(self, case, parameters):
        import os, random
        self.count = getattr(self, "count", 0) + 1
        found = answer(case, voxels=np.random.rand(*case.images["ct"].array.shape)
                       .astype(np.float32) * random.random())
        object.__setattr__(found.uncertainty, "reasons", (str(os.getpid()), str(self.count)))
        return found
    """
    digest = install(bundle(methods), tmp_path)
    with ReleaseWorkers(tmp_path) as workers:
        first, second = (workers.run(request_for(digest), small_case()) for _ in range(2))
    assert first.prediction.uncertainty.reasons[0] == second.prediction.uncertainty.reasons[0]
    assert second.prediction.uncertainty.reasons[1] == "2"
    one, two = first.prediction.uncertainty.voxels, second.prediction.uncertainty.voxels
    assert one is not None
    assert two is not None
    assert array_digest(one) == array_digest(two)


def test_answer_says_what_it_depended_on(tmp_path: Path) -> None:
    """Runtime facts name interpreter, libraries, processor, threads, flags and differing pins."""
    raw = bundle(ANSWER, runtime={"pins": {"numpy": "0.1.0"}})
    digest = install(raw, tmp_path)
    with ReleaseWorkers(tmp_path) as workers:
        answer = workers.run(request_for(digest), small_case())
    runtime = answer.runtime
    assert runtime["numpy"] == np.__version__
    assert runtime["pins"] == f"differ: numpy 0.1.0 to {np.__version__}"
    assert runtime["threads"] == "1"
    assert "hash_seed=0" in runtime["flags"]
    assert runtime["explanation"] == "none"
    assert {"python", "processor", "machine", "network", "files"} <= set(runtime)
    assert answer.seconds > 0


def test_own_explanation_is_returned(tmp_path: Path) -> None:
    """A plugin's explanation arrives with its attribution, and only when it is asked for."""
    methods = """
    def predict(self, case, parameters):
        return answer(case)
    def explain(self, case, prediction):
        ct = case.images["ct"]
        return Explanation("threshold", "volume in ml", (("ct", 1.0),), ct.array * 0 + 1,
                           ct.geometry, {"deletion_auc": 0.5}, 0.1)
    """
    digest = install(bundle(methods), tmp_path)
    case = small_case()
    with ReleaseWorkers(tmp_path) as workers:
        answer = workers.run(request_for(digest), case)
        silent = workers.run(request_for(digest), case, explain=False)
    assert answer.explanation is not None
    assert answer.explanation.attribution is not None
    assert answer.explanation.attribution.sum() == case.images["ct"].array.size
    assert answer.runtime["explanation"] == "given"
    assert silent.explanation is None
    assert silent.runtime["explanation"] == "not asked"


def test_runs_of_one_release_queue(tmp_path: Path) -> None:
    """Runs asked for at the same time all get their answers from at most the allowed workers."""
    digest = install(bundle(ANSWER), tmp_path)
    for allowed in (1, 2):
        with (
            ReleaseWorkers(tmp_path, max_workers=allowed) as workers,
            ThreadPoolExecutor(4) as threads,
        ):
            cases = [small_case((6, 16, 20 + n)) for n in range(6)]
            answers = list(threads.map(lambda c: workers.run(request_for(digest), c), cases))
            assert 1 <= workers.warm(digest) <= allowed
        shapes = [a.prediction.findings[0].mask.shape for a in answers]  # type: ignore[union-attr]
        assert shapes == [(6, 16, 20 + n) for n in range(6)]


def test_idle_worker_is_released(tmp_path: Path) -> None:
    """A worker that nobody needs ends after the configured time; the next run starts one."""
    digest = install(bundle(ANSWER), tmp_path)
    with ReleaseWorkers(tmp_path, idle_s=0.3) as workers:
        workers.run(request_for(digest), small_case())
        _until(lambda: workers.warm(digest) == 0)
        assert workers.run(request_for(digest), small_case()).prediction.findings


def test_close_ends_a_run_in_progress(tmp_path: Path) -> None:
    """Closing ends running work at once with a retryable error, and refuses new runs."""
    digest = install(bundle(HELD, limits=replace(LIMITS, wall_time_s=60.0)), tmp_path)
    workers = ReleaseWorkers(tmp_path)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(workers.run, request_for(digest), small_case())
        _until(lambda: bool(workers._pools) and bool(workers._pools[digest].busy))
        started = time.monotonic()
        workers.close()
        with pytest.raises(UnavailableError) as caught:
            running.result()
    assert caught.value.retryable
    assert time.monotonic() - started < 20
    with pytest.raises(UnavailableError):
        workers.run(request_for(digest), small_case())


def test_worker_lives_on_when_its_first_thread_ends(tmp_path: Path) -> None:
    """A worker started for a thread that has ended serves the next thread."""
    digest = install(bundle(ANSWER), tmp_path)
    with ReleaseWorkers(tmp_path) as workers:
        for _ in range(2):
            thread = threading.Thread(target=workers.run, args=(request_for(digest), small_case()))
            thread.start()
            thread.join()
            assert workers.warm(digest) == 1


def test_large_case_crosses_quickly(tmp_path: Path) -> None:
    """A CT of 200 x 512 x 512 crosses the border and back in well under its reading time."""
    methods = "def predict(self, case, parameters):\n    mask = np.zeros_like(case.images['ct'].array, bool)\n    mask[50:60, 100:200, 100:200] = True\n    return answer(case, mask=mask)"  # noqa: E501
    digest = install(bundle(methods, limits=replace(LIMITS, memory_mb=2048)), tmp_path)
    case = small_case((200, 512, 512))
    with ReleaseWorkers(tmp_path) as workers:
        workers.run(request_for(digest), case)
        times = []
        for _ in range(2):
            started = time.process_time()
            answer = workers.run(request_for(digest), case)
            times.append(time.process_time() - started)
    assert answer.prediction.findings[0].mask.sum() == 100_000  # type: ignore[union-attr]
    # Processor time of this process: the machine may be busy, the copying is not more for it.
    assert min(times) < 1.0


def test_unknown_release_and_folders(tmp_path: Path) -> None:
    """A digest that is not here is not found; those that are here are listed and read."""
    digest = install(bundle(ANSWER), tmp_path)
    folders = ReleaseFolders(tmp_path)
    assert folders.digests() == (digest,)
    assert folders.manifest(digest).plugin == "trial"
    assert load_release_folder(tmp_path / folder_name(digest)).digest == digest
    assert ReleaseFolders(tmp_path / "nowhere").digests() == ()
    unknown = "sha256:" + "0" * 64
    with ReleaseWorkers(tmp_path) as workers:
        port: Workers = workers
        with pytest.raises(NotFoundError):
            port.run(request_for(unknown), small_case())
    with pytest.raises(NotFoundError):
        folders.manifest("../../etc")
