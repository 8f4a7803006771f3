"""The worker: one process, one release, one case after another.

    start → verify every byte → import released code → load → (predict → explain | what if)* → end

What it sends is a document with ``kind``: ready, prediction, explanation, no_explanation
or error.  An error names the exception's type and the line of released code, never its
text, which may hold patient data.

Read next: `worker_process.py`, the other end.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from audit.errors import RefusalError, ReleaseError, SuiteError
from plugins.host.artifact import CODE, LoadedRelease, ReleaseArtifact, load_release_folder
from plugins.host.case import Case
from plugins.host.channel import Channel, Received
from plugins.host.findings import Explanation, Prediction
from plugins.host.protocol import Explains, Explores, Plugin
from plugins.host.released_code import ReleasedCode
from plugins.host.runtime_facts import runtime_facts
from plugins.host.texture import with_texture
from plugins.host.wire import WireError, encode
from plugins.host.worker_start import WorkerSettings

SEED = 0


def serve(settings: WorkerSettings, protection: Mapping[str, str]) -> None:
    """Load the release and answer until the host closes the connection."""
    channel = Channel(socket.socket(fileno=settings.connection))
    folder = Path(settings.release_folder)
    try:
        loaded = load_release_folder(folder)
        plugin = _load(loaded, folder)
    except BaseException as error:  # released code may raise anything; the host is told which
        channel.send(_error(error, folder))
        return
    session = _Session(plugin, loaded, channel, {**protection, "threads": str(settings.threads)})
    channel.send({"kind": "ready", "runtime": dict(protection)})
    while (received := channel.receive()) is not None:
        try:
            session.answer(received)
        except BaseException as error:  # as above
            channel.send(_error(error, folder))


def _load(loaded: LoadedRelease, folder: Path) -> Plugin:
    """Import the plugin from the verified bytes and call its ``load`` once."""
    ReleasedCode(loaded.sources(), folder / "code").install()
    module, _, name = loaded.entry_point.partition(":")
    plugin = getattr(import_module(module), name)()
    if not isinstance(plugin, Plugin):
        raise ReleaseError(f"release {loaded.digest}: {loaded.entry_point} is not a plugin")
    _settle()
    plugin.load(ReleaseArtifact(loaded))
    return plugin


class _Session:
    """Holds the loaded plugin, and the last case and prediction while they are warm."""

    def __init__(
        self,
        plugin: Plugin,
        loaded: LoadedRelease,
        channel: Channel,
        facts: Mapping[str, str],
    ) -> None:
        self._plugin = plugin
        self._loaded = loaded
        self._channel = channel
        self._facts = facts
        self._case: Case | None = None
        self._prediction: Prediction | None = None

    def answer(self, received: Received) -> None:
        """Predict, send, then explain and send, if both sides want an explanation."""
        if "edits" in received.document:
            self._what_if(received.document["edits"])
            return
        case: Case = received.value(Case)
        self._case, self._prediction = case, None
        _settle()
        started = time.monotonic()
        prediction = self._plugin.predict(case, dict(received.document["parameters"]))
        seconds = time.monotonic() - started
        if isinstance(prediction, Prediction):  # anything else is named by encode
            statistics = with_texture(case, prediction.statistics)
            prediction = replace(prediction, statistics=statistics)
        message = encode(prediction, Prediction)
        self._prediction = prediction
        runtime = {**self._facts, **runtime_facts(self._loaded.pins)}
        document = {"kind": "prediction", "seconds": seconds, "runtime": runtime}
        self._channel.send(document, message)
        self._explain(case, prediction, bool(received.document["explain"]))

    def _what_if(self, edits: Mapping[str, Any]) -> None:
        """Answer for the case that is warm, with something changed."""
        if self._case is None or not isinstance(self._plugin, Explores):
            raise RefusalError("expected a plugin that explores", reasons=("NO_WHAT_IF",))
        _settle()
        started = time.monotonic()
        changed = {str(name): float(value) for name, value in edits.items()}
        prediction = self._plugin.what_if(self._case, changed)
        seconds = time.monotonic() - started
        message = encode(prediction, Prediction)
        self._channel.send({"kind": "what_if", "seconds": seconds}, message)

    def _explain(self, case: Case, prediction: Prediction, wanted: bool) -> None:
        if not wanted or not isinstance(self._plugin, Explains):
            self._channel.send({"kind": "no_explanation"})
            return
        _settle()
        started = time.monotonic()
        explanation = self._plugin.explain(case, prediction)
        seconds = time.monotonic() - started
        message = encode(explanation, Explanation)
        self._channel.send({"kind": "explanation", "seconds": seconds}, message)


def _settle() -> None:
    """Make the next answer depend on the case alone: seeds, deterministic algorithms."""
    random.seed(SEED)
    np.random.seed(SEED)  # the global generator is what released code may use
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "use_deterministic_algorithms"):
        torch.manual_seed(SEED)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def _error(error: BaseException, folder: Path) -> dict[str, Any]:
    """Return the document that says what went wrong, without the exception's own text."""
    document: dict[str, Any] = {
        "kind": "error",
        "code": "PLUGIN_RAISED",
        "type": type(error).__name__,
        "where": _where(error.__traceback__, str(folder / CODE)),
    }
    if isinstance(error, RefusalError):
        document |= {"code": error.code, "reasons": list(error.reasons)}
    elif isinstance(error, WireError):
        document |= {"code": "PLUGIN_OUTPUT", "detail": str(error)}
    elif isinstance(error, ReleaseError):
        document |= {"code": error.code, "detail": str(error)}
    elif isinstance(error, MemoryError) or _torch_memory(error):
        document["code"] = "PLUGIN_MEMORY"
    elif isinstance(error, SuiteError):
        document["code"] = error.code
    return document


def _torch_memory(error: BaseException) -> bool:
    """Tell torch's own out-of-memory error, which is a plain RuntimeError on a CPU."""
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _where(traceback: TracebackType | None, code: str) -> str:
    """Return ``path:line`` of the innermost line of released code; empty when there is none."""
    found = ""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file.startswith(code):
            found = f"{file.removeprefix(code).lstrip('/')}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found
