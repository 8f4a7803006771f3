"""What the ground needs from outside; adapters fulfil it.

A `LeafStore` is one open transaction of the site database: what a caller writes beside
a record is committed with it or not at all.  A `Vault` is the only place that maps a
pseudonym back to a patient.

Read next: `log.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

NodeKey = tuple[int, int]
"""(level, index) of a complete subtree: its 2**level leaves begin at index * 2**level."""


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """One record as it lies in the store.

    Parameters
    ----------
    sequence : order of arrival; may have gaps.
    leaf_index : place in the tree, from 0; None until the sequencer gave one.
    leaf : the stored bytes, over which the leaf hash is.
    event_id, kind, run_id, recorded_at : copies beside the bytes, for searching.
    kept_hash : the leaf hash in the stored tree, where it was read too.
    """

    sequence: int
    leaf_index: int | None
    event_id: str
    kind: str
    run_id: str | None
    recorded_at: datetime
    leaf: bytes
    kept_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """One signed checkpoint as it lies in the store; ``note`` is what counts."""

    tree_size: int
    root_hash: bytes
    note: str
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class Attestation:
    """What somebody else stated about a checkpoint.

    Parameters
    ----------
    name : who: configured name of the witness, authority or anchor.
    kind : ``cosignature`` (signature lines), ``timestamp`` (base64 of an RFC 3161 response)
        or ``anchor`` (where the note went).
    """

    tree_size: int
    name: str
    kind: str
    content: str
    obtained_at: datetime


class LeafStore(Protocol):
    """Records, tree nodes and checkpoints, inside one open transaction."""

    def append_leaf(
        self, event_id: str, kind: str, run_id: str | None, recorded_at: datetime, leaf: bytes
    ) -> None:
        """Add a record without a place in the tree."""
        ...

    def lock_sequencer(self) -> None:
        """Wait until this transaction alone gives leaf indices; held to its end."""
        ...

    def tree_size(self) -> int:
        """Return the number of records that have a place in the tree."""
        ...

    def node_count(self) -> int:
        """Return the number of leaf hashes kept at level 0."""
        ...

    def waiting_leaves(self, limit: int) -> Sequence[tuple[int, bytes]]:
        """Return (sequence, leaf) of committed records without a place, in order."""
        ...

    def place_leaves(self, first_index: int, sequences: Sequence[int]) -> None:
        """Give consecutive leaf indices from ``first_index``."""
        ...

    def put_nodes(self, nodes: Iterable[tuple[NodeKey, bytes]]) -> None:
        """Keep hashes of complete subtrees; each once."""
        ...

    def nodes(self, keys: Iterable[NodeKey]) -> Mapping[NodeKey, bytes]:
        """Return those of the hashes that are kept."""
        ...

    def leaf_indices(self, event_ids: Sequence[str]) -> Mapping[str, int | None]:
        """Return the place of each record that is stored."""
        ...

    def leaves(self, start: int, stop: int) -> Iterator[StoredLeaf]:
        """Yield records by leaf index in [start, stop), without holding all of them."""
        ...

    def unplaced(self, before: datetime) -> tuple[str, ...]:
        """Return the event ids of records from ``before`` without a place in the tree."""
        ...

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a signed checkpoint."""
        ...

    def last_checkpoint(self) -> StoredCheckpoint | None:
        """Return the checkpoint of the largest tree, None before the first."""
        ...

    def checkpoints(self) -> tuple[StoredCheckpoint, ...]:
        """Return all checkpoints by tree size."""
        ...


T = TypeVar("T")


class LeafDatabase(Protocol):
    """Opens transactions that are leaf stores."""

    def reading(self) -> AbstractContextManager[LeafStore]:
        """Open a transaction that sees one state of the store throughout."""
        ...

    def run(self, function: Callable[[Any], T]) -> T:
        """Return what ``function(store)`` returns in a writing transaction."""
        ...


class Vault(Protocol):
    """Salts and the way back from pseudonyms; each call is durable on return.

    A *subject* is ``study:<UID>`` or ``patient:<issuer>|<id>``: whoever a salt belongs to.
    """

    def salt(self, subject: str) -> bytes:
        """Return the 32 random bytes of a subject; made at the first call."""
        ...

    def remember(self, subject: str, pseudonym: str, value: str) -> None:
        """Keep what a pseudonym stands for; a second call changes nothing."""
        ...

    def reveal(self, pseudonym: str) -> str:
        """Return what a pseudonym stands for; NotFoundError when unknown or erased."""
        ...

    def link(self, study: str, patient: str) -> None:
        """Note whose study it is, so that erasing the patient erases it too."""
        ...

    def patient_of(self, study: str) -> str | None:
        """Return the patient subject that a study subject is linked to."""
        ...

    def studies_of(self, patient: str) -> tuple[str, ...]:
        """Return the study subjects that are linked to a patient subject."""
        ...

    def erase(self, patient: str) -> int:
        """Delete salts and ways back of a patient and of the linked studies."""
        ...
