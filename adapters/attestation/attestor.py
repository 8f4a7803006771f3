"""Somebody outside who states something about a checkpoint, and what he is given for it.

Read next: `forwarding.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from adapters.attestation.clock import ClockReading
from audit.ports import StoredCheckpoint

Prove = Callable[[int, int], tuple[bytes, ...]]
"""(size1, size2) -> consistency proof of our tree."""


@dataclass(frozen=True, slots=True)
class Job:
    """A checkpoint to be stated something about.

    Parameters
    ----------
    last_size : the largest tree that he stated something about before, 0 before the first.
    log_size : size of our largest signed tree at this moment.
    """

    checkpoint: StoredCheckpoint
    last_size: int
    log_size: int
    prove: Prove


@dataclass(frozen=True, slots=True)
class Statement:
    """What he stated, and what it says about our clock.

    ``content`` is empty where he knows a larger tree of ours already.
    """

    content: str
    clock: ClockReading | None = None


class Attestor(ABC):
    """A witness, a time-stamp authority or an anchor.

    Parameters
    ----------
    every_s : least time between two statements; the newest checkpoint covers those before it.
        0 asks for each checkpoint in its turn.
    """

    kind: ClassVar[str]

    def __init__(self, name: str, every_s: float = 0.0) -> None:
        self.name = name
        self.every_s = every_s

    @abstractmethod
    def attest(self, job: Job) -> Statement:
        """Return what he stated.

        Raises
        ------
        UnavailableError : try again later.
        LogTamperedError : he refuses, because our log is not the one that he saw.
        """
