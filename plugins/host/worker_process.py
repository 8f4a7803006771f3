"""One worker process as the host sees it: start, ask, watch, kill.

    started → loading → ready → (asked → answered)* → killed

The host waits for each answer with a deadline, and looks at the worker's resident memory
while it waits.  Whatever goes wrong becomes one of the `PluginError` kinds, and the process
is killed with its whole group; the next run starts a clean one.

Read next: `runner.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import plugins.host
from audit.errors import (
    HostApiError,
    ModelImportError,
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
from plugins.host.case import Case
from plugins.host.channel import Channel, Received
from plugins.host.findings import Explanation, Prediction
from plugins.host.manifest import Limits
from plugins.host.outputs import check_explanation, check_prediction
from plugins.host.ports import Answer
from plugins.host.sandbox import LAYERS
from plugins.host.wire import Message, WireError, encode
from plugins.host.worker_start import MEBIBYTE, WorkerSettings

WATCH_INTERVAL_S = 0.05
START_TIMEOUT_S = 180.0
# The manifest's budget is what an explanation should take; a slow machine gets this much
# more before it is cut off, and the time that it took stands in the answer's runtime.
EXPLANATION_GRACE = 3.0
SUITE_ROOT = Path(next(iter(plugins.host.__path__))).resolve().parents[1]
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SAFE_TYPE = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
_SAFE_WHERE = re.compile(r"[\w./-]{1,200}:\d{1,6}", re.ASCII)
_SAFE_DETAIL = re.compile(r"[\w .,:;|/'<>()\[\]{}=+-]{1,400}", re.ASCII)
# A stable code, and what was expected and found in words and numbers: in small letters and
# without four digits in a row, so that no name, date or number of a person is among them.
_STABLE_CODE = re.compile(r"(?P<code>[A-Z][A-Z0-9_]{0,63})(?: .*)?", re.ASCII)
_HARMLESS = re.compile(r"(?!.*\d{4})[A-Z0-9_]+ [a-z0-9 .,%'-]{1,300}", re.ASCII)
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); "
_START += "from plugins.host.worker_start import start; start()"
_REPORTED: Mapping[Any, type[PluginError | ReleaseError]] = {
    PluginMemoryError.code: PluginMemoryError,
    PluginOutputError.code: PluginOutputError,
    HostApiError.code: HostApiError,
    ModelImportError.code: ReleaseError,
    ReleaseTamperedError.code: ReleaseTamperedError,
    ReleaseError.code: ReleaseError,
}


@dataclass(frozen=True, slots=True)
class Question:
    """One case on its way to a worker; ``message`` is the encoded case."""

    case: Case
    message: Message
    parameters: Mapping[str, str | float | bool]
    explain: bool


class WorkerProcess:
    """A process that holds one release; use from one thread at a time.

    Parameters
    ----------
    release_digest : names the release in messages.
    folder : the unpacked release.
    limits : resources of one case.
    layers : layers of the sandbox to use.
    """

    def __init__(
        self, release_digest: str, folder: Path, limits: Limits, layers: Sequence[str] = LAYERS
    ) -> None:
        self._name = release_digest.removeprefix("sha256:")[:12]
        self._limits = limits
        self._temporary = Path(tempfile.mkdtemp(prefix="osteon-worker-"))
        self._channel, theirs = Channel.pair()
        self.idle_since = time.monotonic()
        with theirs:
            settings = WorkerSettings(
                connection=theirs.fileno(),
                parent_pid=os.getpid(),
                release_folder=str(folder.resolve()),
                temporary=str(self._temporary),
                memory_mb=limits.memory_mb,
                threads=limits.threads,
                readable=_readable(folder),
                listable=(str(SUITE_ROOT),),
                layers=tuple(layers),
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(SUITE_ROOT), settings.encode()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # what a plugin prints may hold patient data
                stderr=subprocess.DEVNULL,
                env=_environment(self._temporary, limits.threads),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._protection: Mapping[str, str] | None = None
        self._interrupted = False

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def peak_memory_mb(self) -> float:
        """Return the largest resident set so far (proc(5), VmHWM); 0 when it has ended."""
        try:
            text = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        except OSError:
            return 0.0
        lines = (line for line in text.splitlines() if line.startswith("VmHWM:"))
        return next((int(line.split()[1]) / 1024 for line in lines), 0.0)

    def alive(self) -> bool:
        """Tell whether the process is there to be asked."""
        return self._process.poll() is None

    def ask(self, question: Question) -> Answer:
        """Return the answer to one case.

        Raises
        ------
        PluginError : one of its kinds; the process was killed.
        ReleaseError : one of its kinds, while loading; the process was killed.
        RefusalError : the plugin refused the case; the process stays warm.
        """
        try:
            return self._ask(question)
        except RefusalError:
            raise
        except BaseException:  # broad: whatever happened, no half-used process may stay
            self.kill()
            raise
        finally:
            self.idle_since = time.monotonic()

    def first(self, case: Case, parameters: Mapping[str, str | float | bool]) -> Answer:
        """Return the answer to a case without explanation; the case stays warm; as `ask`."""
        return self.ask(Question(case, encode(case, Case), parameters, False))

    def what_if(self, case: Case, edits: Mapping[str, float]) -> tuple[Prediction, float]:
        """Return the answer to the case asked last with something changed, and its seconds.

        Raises
        ------
        PluginError : one of its kinds; the process was killed.
        RefusalError : an edit is not one of the plugin's (``NO_WHAT_IF``: it knows none at all).
        """
        try:
            self._send({"edits": dict(edits)}, None)
            received = self._receive("what if", self._limits.wall_time_s, "what_if")
            prediction: Prediction = self._value(received, Prediction)
            check_prediction(prediction, case)
            return prediction, _seconds(received)
        except RefusalError:
            raise
        except BaseException:  # broad: as in `ask`
            self.kill()
            raise
        finally:
            self.idle_since = time.monotonic()

    def protection(self) -> dict[str, str]:
        """Wait until the release is loaded, and return what holds of the sandbox.

        Raises what `ask` raises while loading; the process was killed.
        """
        try:
            return dict(self._loaded())
        except BaseException:  # broad: as in `ask`
            self.kill()
            raise
        finally:
            self.idle_since = time.monotonic()

    def kill(self) -> None:
        """End the process and everything that it started, and remove its folder."""
        self.interrupt()
        self._process.wait()
        self._channel.close()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def interrupt(self) -> None:
        """End the process and its group; a thread that waits in `ask` then cleans up."""
        if not self._interrupted:
            self._interrupted = True  # once only: later the number may name another group
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _loaded(self) -> Mapping[str, str]:
        if self._protection is None:
            received = self._receive("loading", START_TIMEOUT_S, "ready")
            self._protection = _texts(received.document.get("runtime"))
        return self._protection

    def _ask(self, question: Question) -> Answer:
        self._loaded()
        document = {"parameters": dict(question.parameters), "explain": question.explain}
        self._send(document, question.message)
        received = self._receive("predict", self._limits.wall_time_s, "prediction")
        prediction: Prediction = self._value(received, Prediction)
        check_prediction(prediction, question.case)
        runtime = _texts(received.document.get("runtime"))
        seconds = _seconds(received)
        explanation, state, more = self._explanation(question)
        runtime |= {"explanation": state, "explanation_s": f"{more:.3f}"}
        return Answer(prediction, explanation, runtime, seconds + more)

    def _send(self, document: Mapping[str, Any], message: Message | None) -> None:
        try:
            self._channel.send(dict(document), message)
        except OSError:
            self._report_death("waiting")

    def _explanation(self, question: Question) -> tuple[Explanation | None, str, float]:
        """Return the explanation, or why there is none; a failure does not undo the answer."""
        started = time.monotonic()
        try:
            wanted = ("explanation", "no_explanation")
            limit_s = self._limits.explanation_s * EXPLANATION_GRACE
            received = self._receive("explain", limit_s, *wanted)
            if received.document["kind"] == "no_explanation":
                return None, "none" if question.explain else "not asked", 0.0
            explanation: Explanation = self._value(received, Explanation)
            check_explanation(explanation, question.case)
            return explanation, "given", _seconds(received)
        except (PluginError, RefusalError) as error:
            self.kill()
            return None, error.code, time.monotonic() - started

    def _receive(self, step: str, limit_s: float, *kinds: str) -> Received:
        """Wait for one of ``kinds`` within the limits; everything else becomes an error."""
        deadline = time.monotonic() + limit_s
        while True:
            self._check_memory(step)
            left = deadline - time.monotonic()
            if left <= 0:
                raise PluginTimeoutError(
                    f"release {self._name}: expected {step} within {limit_s:g} s, it was killed"
                )
            try:
                received = self._channel.receive(min(left, WATCH_INTERVAL_S))
                break
            except TimeoutError:
                continue
            except WireError as error:
                raise PluginOutputError(f"release {self._name}: {error}") from error
        if received is None:
            self._report_death(step)
        kind = received.document.get("kind")
        if kind == "error":
            self._report_error(received.document, step)
        if kind not in kinds:
            raise PluginOutputError(f"release {self._name}: unexpected document during {step}")
        return received

    def _value(self, received: Received, kind: Any) -> Any:
        try:
            return received.value(kind, finite=True)
        except WireError as error:
            raise PluginOutputError(f"release {self._name}: {error}") from error

    def _check_memory(self, step: str) -> None:
        """Compare the resident set (proc(5), statm) with the limit."""
        try:
            text = Path(f"/proc/{self._process.pid}/statm").read_text("ascii")
        except OSError:  # it has ended; the connection says so next
            return
        resident_mb = int(text.split()[1]) * _PAGE / MEBIBYTE
        if resident_mb > self._limits.memory_mb:
            raise PluginMemoryError(
                f"release {self._name}: expected at most {self._limits.memory_mb} MiB during "
                f"{step}, found {resident_mb:.0f}, it was killed"
            )

    def _report_death(self, step: str) -> NoReturn:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:  # it closed the connection and lives on
            raise PluginCrashedError(
                f"release {self._name}: the worker closed its connection during {step}"
            ) from None
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        raise PluginCrashedError(f"release {self._name}: the worker died of {how} during {step}")

    def _report_error(self, document: Mapping[str, Any], step: str) -> NoReturn:
        """Raise what the worker reported; its words are only used where they are harmless."""
        code = document.get("code")
        where = _safe(document.get("where"), _SAFE_WHERE, "an unknown line")
        detail = _safe(document.get("detail"), _SAFE_DETAIL, f"at {where}")
        if code == RefusalError.code:
            reasons = document.get("reasons")
            listed = reasons if isinstance(reasons, list) else []
            told = tuple(filter(None, map(_reason, map(str, listed))))
            raise RefusalError(f"release {self._name} refused the case", reasons=told)
        if code in _REPORTED:
            raise _REPORTED[code](f"release {self._name} during {step}: {detail}")
        kind = _safe(document.get("type"), _SAFE_TYPE, "an exception")
        raise PluginRaisedError(f"release {self._name}: {kind} during {step} at {where}")


def _environment(temporary: Path, threads: int) -> dict[str, str]:
    """Return a clean environment: nothing of the host's own, so no secrets."""
    count = str(threads)
    kept = {k: os.environ[k] for k in ("LD_LIBRARY_PATH", "TZ") if k in os.environ}
    return kept | {
        "PATH": "/usr/bin:/bin",
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CUDA_VISIBLE_DEVICES": "",  # the same answer on every machine needs the CPU
        "OMP_NUM_THREADS": count,
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin take the processor from each other
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "NUMBA_NUM_THREADS": count,
    }


def _readable(folder: Path) -> tuple[str, ...]:
    """Return what a worker may read: interpreter, libraries, lower rooms, its release."""
    libraries = [path for path in sys.path if "site-packages" in path or "lib/python" in path]
    rooms = [SUITE_ROOT / room for room in ("plugins/host", "governance", "audit")]
    prefixes = [sys.prefix, sys.base_prefix, sys.exec_prefix]
    return (*prefixes, *libraries, *map(str, rooms), str(folder.resolve()))


def _reason(text: str) -> str:
    """Return a reason as it is where its words are harmless, else its code; empty without one."""
    found = _STABLE_CODE.fullmatch(text)
    if found is None:
        return ""
    return text if _HARMLESS.fullmatch(text) else found["code"]


def _safe(value: Any, allowed: re.Pattern[str], otherwise: str) -> str:
    return value if isinstance(value, str) and allowed.fullmatch(value) else otherwise


def _texts(value: Any) -> dict[str, str]:
    """Return the worker's runtime facts, cut to what can be a fact."""
    items = list(value.items())[:60] if isinstance(value, dict) else []
    return {str(key)[:40]: str(text)[:200] for key, text in items}


def _seconds(received: Received) -> float:
    value = received.document.get("seconds")
    return float(value) if isinstance(value, (int, float)) else 0.0
