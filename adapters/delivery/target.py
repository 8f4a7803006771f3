"""What a target of delivery is: it takes documents, and says what it has of them.

A target neither waits nor repeats nor remembers.  It raises what its door raises:
`UnavailableError`, `AuthenticationError` and every other retryable error mean "later";
any other `SuiteError` means that these documents will never be taken.

Read next: `pacs.py`, then `delivery.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from audit.errors import NotFoundError, StorageError
from plugins.host.ports import Document

DICOM_KINDS = frozenset({"RTSTRUCT", "SEG", "SR", "PMAP", "SC", "RTDOSE"})


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one document that was sent.

    Parameters
    ----------
    state : ``stored`` (taken, or there already), ``again`` (not now) or ``refused``.
    reason : stable code, empty when stored without remark.
    """

    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a target has of one document.

    Parameters
    ----------
    state : ``verified``, ``missing``, ``different`` (other content under the same name)
        or ``unverifiable`` (this target cannot tell).
    reason : stable code.
    """

    state: str
    reason: str = ""


class Target(Protocol):
    """One place that results go to; ``kinds`` are the document kinds that it wants."""

    name: str
    kinds: frozenset[str]

    def check(self) -> str:
        """Return one line about the target; raise when it cannot be used."""
        ...

    def send(self, documents: Sequence[Document]) -> tuple[Sent, ...]:
        """Hand the documents over; one outcome for each, in order."""
        ...

    def verify(self, documents: Sequence[Document]) -> tuple[Found, ...]:
        """Read the documents back and compare content; one answer for each, in order."""
        ...


def read(path: Path) -> bytes:
    """Return the bytes of a document in the outbox.

    Raises
    ------
    NotFoundError : it is not there; the run has to be composed again.
    StorageError : it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            "expected the document in the outbox, found none",
            advice="Force the run; its outbox was removed before it was delivered.",
        ) from error
    except OSError as error:
        raise StorageError("expected to read the document in the outbox") from error
