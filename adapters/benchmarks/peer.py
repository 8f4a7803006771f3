"""A peer at work in a process of its own.

The script prints one line when it has loaded its input, then for every line it is sent does the
work once and answers with the seconds it took, on the clock and of the processor.  What it found
lies in the folder afterwards.

Read next: `peers/`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType

from adapters.benchmarks.environments import FOLDER, python_of
from audit.errors import NotFoundError, SuiteError
from validation.benchmarks.table import Spent

SCRIPTS = Path(__file__).parent / "peers"


class Peer:
    """One peer's process; a context manager.

    Raises
    ------
    NotFoundError : its environment is not installed.
    SuiteError : it ended instead of answering.
    """

    def __init__(self, environment: str, script: str, folder: Path, peers: Path = FOLDER) -> None:
        python = python_of(environment, peers)
        if not python.exists():
            raise NotFoundError(f"expected the peer {environment}, not installed (make peers)")
        self._process = subprocess.Popen(
            [python, SCRIPTS / f"{script}.py", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._name = script
        self._answer()

    def run(self) -> Spent:
        """Do the work once and return what it took."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        clock, processor = self._answer().split()
        return Spent(float(clock), float(processor))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SuiteError(f"expected an answer of the peer {self._name}, it ended")
        return line

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
