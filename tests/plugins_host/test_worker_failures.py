"""Whatever a plugin does, the host gets an answer or an error that names the failure."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from audit.errors import (
    HostApiError,
    PluginCrashedError,
    PluginError,
    PluginMemoryError,
    PluginOutputError,
    PluginRaisedError,
    PluginTimeoutError,
    RefusalError,
    ReleaseError,
    ReleaseTamperedError,
)
from plugins.host.ports import Answer
from plugins.host.runner import ReleaseWorkers
from tests.simulators.released_plugins import LIMITS, bundle, install, request_for, small_case

Runner = Callable[..., Answer]
PREDICT = "def predict(self, case, parameters):\n    "


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Return a function that runs the methods of a plugin on the small case, once."""

    def once(methods: str, layers: tuple[str, ...] | None = None, **changes: object) -> Answer:
        digest = install(bundle(methods, **changes), tmp_path / "releases")  # type: ignore[arg-type]
        chosen = {} if layers is None else {"layers": layers}
        with ReleaseWorkers(tmp_path / "releases", **chosen) as workers:
            return workers.run(request_for(digest), small_case())

    return once


@pytest.mark.parametrize(
    ("statement", "error", "named"),
    [
        ("while True: pass", PluginTimeoutError, "predict within 1 s"),
        ("import time; time.sleep(60)", PluginTimeoutError, "predict within 1 s"),
        ("np.ones(10**12)", PluginMemoryError, r"plugin\.py:2\d"),
        ("hog = [np.ones(10**6) for _ in range(10**4)]", PluginMemoryError, "at most 300 MiB"),
        ("raise ValueError('Quillfeather')", PluginRaisedError, "ValueError"),
        ("1 / 0", PluginRaisedError, "ZeroDivisionError"),
        ("import sys; sys.exit(3)", PluginRaisedError, "SystemExit"),
        ("import os; os._exit(7)", PluginCrashedError, "exit status 7"),
        ("import os; os.kill(os.getpid(), 11)", PluginCrashedError, "SIGSEGV"),
        ("import ctypes; ctypes.string_at(0)", PluginCrashedError, "SIGSEGV"),
        ("import os; os.closerange(3, 100); 1 / 0", PluginCrashedError, "during predict"),
        ("return None", PluginOutputError, "Prediction"),
        ("return answer(case, factor=float('nan'))", PluginOutputError, "plugin.py"),
        ("return answer(case, mask=np.ones((2, 2, 2), bool))", PluginOutputError, "plugin.py"),
        ("return answer(case, mask=case.images['ct'].array)", PluginOutputError, "plugin.py"),
        (
            "return answer(case, voxels=np.ones((2, 3, 4), np.float32))",
            PluginOutputError,
            "uncertainty map",
        ),
        (
            "return answer(case, voxels=np.ones(case.images['ct'].array.shape))",
            PluginOutputError,
            "float64",
        ),
    ],
)
def test_failure_is_named(
    run: Runner, statement: str, error: type[PluginError], named: str
) -> None:
    """Hang, memory, exception, exit, signal, wrong output: each has its own error and place."""
    wall_time_s = 1.0 if error is PluginTimeoutError else 60.0
    limits = replace(LIMITS, wall_time_s=wall_time_s, memory_mb=300)
    with pytest.raises(error, match=named) as caught:
        run(PREDICT + statement, limits=limits)
    assert "Quillfeather" not in str(caught.value)


def test_nan_that_escapes_the_types_is_refused(run: Runner) -> None:
    """A value that was made invalid after its construction is refused by the host."""
    methods = """
    def predict(self, case, parameters):
        found = answer(case)
        object.__setattr__(found.findings[0].measurements[0], "value", float("nan"))
        return found
    """
    with pytest.raises(PluginOutputError, match="finite"):
        run(methods)


def test_nan_in_an_array_is_refused(run: Runner) -> None:
    """NaN voxels are refused, also where a plugin writes them after construction."""
    methods = """
    def predict(self, case, parameters):
        voxels = np.ones(case.images["ct"].array.shape, np.float32)
        found = answer(case, voxels=voxels)
        voxels[1, 2, 3] = np.nan
        return found
    """
    with pytest.raises(PluginOutputError, match="finite"):
        run(methods)


def test_segmentation_on_another_grid_is_refused(run: Runner) -> None:
    """A mask whose grid lies elsewhere than its reference image is refused."""
    methods = """
    def predict(self, case, parameters):
        from dataclasses import replace
        found = answer(case)
        moved = replace(found.findings[0].geometry, origin_mm=(0.0, 0.0, 0.0))
        return replace(found, findings=(replace(found.findings[0], geometry=moved),))
    """
    with pytest.raises(PluginOutputError, match="another grid"):
        run(methods)


def test_message_of_an_exception_does_not_cross(run: Runner) -> None:
    """An exception is reported by type and released line; its text stays inside."""
    with pytest.raises(PluginRaisedError) as caught:
        run(PREDICT + "raise KeyError(case.images['ct'].acquisition['institution'])")
    assert "KeyError during predict at plugins/trial/plugin.py:24" in str(caught.value)
    assert "Quillfeather" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_case_is_read_only(run: Runner) -> None:
    """A plugin cannot change the case between prediction and explanation."""
    with pytest.raises(PluginRaisedError, match="ValueError"):
        run(PREDICT + "case.images['ct'].array[0] = 1")


def test_plugin_may_refuse_with_codes(run: Runner) -> None:
    """A refusal of the plugin is an answer: codes, and words in which nobody can be named."""
    told = "FIELDS expected 9 at the targets' centre, found 7 within 0.5 mm, 30 %"
    reasons = (
        *("SEED_REQUIRED", told, "name: Quillfeather", "NAMED Quillfeather", "BORN 19610203"),
        *("LINES one\ntwo", "MANY " + "x" * 400, "", "A" * 65),
    )
    methods = f"""
    def predict(self, case, parameters):
        from audit.errors import RefusalError
        raise RefusalError("Quillfeather", reasons={reasons!r})
    """
    with pytest.raises(RefusalError) as caught:
        run(methods)
    assert caught.value.reasons == ("SEED_REQUIRED", told, "NAMED", "BORN", "MANY")


def test_failing_load_is_reported(run: Runner) -> None:
    """A plugin that cannot load says where; one that asks for missing weights too."""
    with pytest.raises(PluginRaisedError, match=r"plugin\.py:2"):
        run(
            "def load(self, artifact): artifact.weights('none')\n" + PREDICT + "return answer(case)"
        )


def test_load_that_hangs_is_ended(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that never becomes ready is killed after the time for loading."""
    monkeypatch.setattr("plugins.host.worker_process.START_TIMEOUT_S", 1.0)
    with pytest.raises(PluginTimeoutError, match="loading within 1 s"):
        run("def load(self, artifact):\n    while True: pass\n" + PREDICT + "return answer(case)")


def test_missing_class_and_broken_code_are_reported(run: Runner) -> None:
    """An entry point that does not exist, or is no plugin, is reported, not hung on."""
    with pytest.raises(PluginRaisedError, match="AttributeError"):
        run(PREDICT + "return answer(case)", entry_point="plugins.trial.plugin:Missing")
    with pytest.raises(ReleaseError, match="is not a plugin"):
        run(PREDICT + "return answer(case)", entry_point="collections:OrderedDict")
    with pytest.raises(PluginRaisedError, match="SyntaxError"):
        run("def broken(:")


def test_other_host_interface_is_refused(run: Runner) -> None:
    """A release for another host interface is refused before its code is imported."""
    for host_api, words in (
        (99, "newer than this suite"),
        (0, "has moved on"),
        ("1", "states none"),
    ):
        with pytest.raises(HostApiError, match=words) as caught:
            run(PREDICT + "return answer(case)", host_api=host_api)
        assert f"host interface {host_api} and this suite offers 1" in str(caught.value)


def test_release_cannot_bring_rooms_of_the_suite(run: Runner) -> None:
    """A member that would stand in for the hall or the audit room is refused."""
    for name in ("code/plugins/host/wire.py", "code/audit/errors.py"):
        with pytest.raises(ReleaseError, match="belongs to the suite"):
            run(PREDICT + "return answer(case)", members={name: b""})


@pytest.mark.parametrize("module", ["adapters.config", "validation", "plugins.example", "models"])
def test_rest_of_the_suite_cannot_be_imported(run: Runner, module: str) -> None:
    """Doors, other plugins and models that the release does not carry stay out of reach."""
    with pytest.raises(PluginRaisedError, match="ModuleNotFoundError"):
        run(PREDICT + f"import {module}")


def test_failed_explanation_does_not_undo_the_answer(run: Runner) -> None:
    """The prediction stands when the explanation raises, hangs or lies off the grid."""
    limits = replace(LIMITS, explanation_s=0.2)
    for body, state in (
        ("1 / 0", "PLUGIN_RAISED"),
        ("import time; time.sleep(60)", "PLUGIN_TIMEOUT"),
        ("import os; os._exit(1)", "PLUGIN_CRASHED"),
        (
            "return Explanation('m', 't', (), np.ones((1, 1, 1), np.float32), None, {})",
            "PLUGIN_OUTPUT",
        ),
    ):
        methods = PREDICT + "return answer(case)\ndef explain(self, case, prediction):\n    " + body
        answer = run(methods, limits=limits)
        assert answer.explanation is None
        assert answer.runtime["explanation"] == state
        assert answer.prediction.findings


def test_every_flipped_member_is_refused_by_name(tmp_path: Path) -> None:
    """One flipped byte in any unpacked member stops the load, and the member is named."""
    digest = install(
        bundle(PREDICT + "return answer(case)", members={"weights/w.bin": b"\0" * 64}), tmp_path
    )
    folder = tmp_path / digest.removeprefix("sha256:")
    names = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    assert len(names) == 6
    for path in names:
        original = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        with (
            ReleaseWorkers(tmp_path) as workers,
            pytest.raises(ReleaseTamperedError, match=str(path.relative_to(folder))),
        ):
            workers.run(request_for(digest), small_case())
        path.write_bytes(original)
    with ReleaseWorkers(tmp_path) as workers:
        assert workers.run(request_for(digest), small_case()).prediction.findings


def test_killed_worker_is_replaced(tmp_path: Path) -> None:
    """After a crash the next run of the release gets a clean process."""
    methods = PREDICT + "import os; parameters['die'] and os._exit(9); return answer(case)"
    digest = install(bundle(methods), tmp_path)
    with ReleaseWorkers(tmp_path) as workers:
        with pytest.raises(PluginCrashedError):
            workers.run(request_for(digest, die=True), small_case())
        assert workers.run(request_for(digest, die=False), small_case()).prediction.findings


def test_nothing_is_left_behind(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed worker leaves no process and no temporary folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(PluginTimeoutError):
        run(PREDICT + "import time; time.sleep(60)", limits=replace(LIMITS, wall_time_s=0.5))
    assert not list(tmp_path.glob("osteon-worker-*"))
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children]
    assert not [command for command in commands if b"worker_start" in command]


def test_worker_dies_with_its_host(tmp_path: Path) -> None:
    """When the host process is killed, its worker does not live on."""
    import subprocess
    import sys

    digest = install(bundle(PREDICT + "return answer(case)"), tmp_path)
    program = (
        "import sys, os, signal\n"
        "from pathlib import Path\n"
        "from plugins.host.runner import ReleaseWorkers\n"
        "from tests.simulators.released_plugins import request_for, small_case\n"
        "workers = ReleaseWorkers(Path(sys.argv[1]))\n"
        "workers.run(request_for(sys.argv[2]), small_case())\n"
        "pool = workers._pools[sys.argv[2]]\n"
        "sys.stdout.write(str(pool.idle[0].pid)); sys.stdout.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[2]
    finished = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), digest],
        capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip
    assert finished.returncode == -9, finished.stderr
    deadline = time.monotonic() + 10
    while Path(f"/proc/{finished.stdout}").exists() and time.monotonic() < deadline:
        os.sched_yield()
    assert not Path(f"/proc/{finished.stdout}").exists()
