"""The keys that one log had, one after another: each hands over to the next at a tree size.

A handover is a checkpoint with one extension line (C2SP tlog-checkpoint), signed by both keys:

    ORIGIN
    SIZE
    ROOT HASH
    handover KEY THAT GOES -> KEY THAT COMES

The key that goes says who comes, and the key that comes says whose checkpoints it takes over;
so whoever has either of them finds the other.  After its handover a key signs no larger tree,
which is what a thief of an old key would need, and the records up to it are those of the root
that both signed.  `hand_over` writes what `chain_of` reads.

Read next: `verify.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from audit.checkpoint import (
    Checkpoint,
    NoteSigner,
    VerifierKey,
    encode_base64,
    parse,
    parse_key,
    verify_note,
)
from audit.errors import ConfigurationError, LogTamperedError

_LINE, _ARROW = "handover ", " -> "


@dataclass(frozen=True, slots=True)
class Handover:
    """One key takes over from another.

    Parameters
    ----------
    checkpoint : the tree that both signed.
    """

    checkpoint: Checkpoint
    before: VerifierKey
    after: VerifierKey


@dataclass(frozen=True, slots=True)
class KeySpan:
    """One key, and the sizes of trees that it may have signed; None: no end."""

    key: VerifierKey
    first_size: int
    last_size: int | None


@dataclass(frozen=True, slots=True)
class KeyChain:
    """The keys of a log, oldest first; fulfils `audit.checkpoint.LogKeys`."""

    spans: tuple[KeySpan, ...]

    @property
    def name(self) -> str:
        """Name of the log."""
        return self.spans[-1].key.name

    @property
    def newest(self) -> VerifierKey:
        """The key that signs now."""
        return self.spans[-1].key

    def at(self, size: int) -> tuple[VerifierKey, ...]:
        """Return the keys that may have signed a tree of this size; two at a handover."""
        return tuple(
            span.key
            for span in self.spans
            if span.first_size <= size and (span.last_size is None or size <= span.last_size)
        )


def hand_over(checkpoint: Checkpoint, before: NoteSigner, after: NoteSigner) -> str:
    """Return the note by which one key takes over from another, signed by both."""
    if not before.verifier.name == after.verifier.name == checkpoint.origin:
        raise ConfigurationError("expected both keys under the log's origin, found another")
    if before.verifier == after.verifier:
        raise ConfigurationError("expected another key, found the same")
    root = encode_base64(checkpoint.root_hash)
    text = (
        f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n"
        f"{_LINE}{before.verifier.text()}{_ARROW}{after.verifier.text()}\n"
    )
    own = before.sign_note(text)
    return own + after.sign_note(text).rpartition("\n\n")[2]


def read_handover(note: str) -> Handover:
    """Return what a handover says; both keys must have signed it.

    Raises
    ------
    LogTamperedError : it is none, or a signature is missing or wrong.
    """
    text = note.rpartition("\n\n")[0] + "\n"
    line = (text.split("\n")[3:4] or [""])[0]
    before, arrow, after = line.removeprefix(_LINE).partition(_ARROW)
    if not line.startswith(_LINE) or not arrow:
        raise LogTamperedError("expected a handover of keys, found another note")
    try:
        found = Handover(parse(text), parse_key(before), parse_key(after))
    except ConfigurationError as error:
        raise LogTamperedError("expected two keys in a handover, found other text") from error
    verify_note(note, found.before)
    verify_note(note, found.after)
    names = {found.before.name, found.after.name, found.checkpoint.origin}
    if len(names) != 1 or found.before == found.after:
        raise LogTamperedError("expected two keys of one log in a handover, found others")
    return found


def chain_of(key: VerifierKey, notes: Iterable[str]) -> KeyChain:
    """Return the chain of keys that hangs on one key that is trusted.

    Raises
    ------
    LogTamperedError : a handover is wrong, two follow one key, sizes fall, or one hangs on
        no known key.
    """
    found = [read_handover(note) for note in dict.fromkeys(notes)]
    by_before = {item.before: item for item in found}
    by_after = {item.after: item for item in found}
    if len(by_before) != len(found) or len(by_after) != len(found):
        raise LogTamperedError("expected one successor of each key, found two: the log was forked")
    links: list[Handover] = []
    first = key
    while (link := by_after.get(first)) is not None and link not in links:
        links.insert(0, link)
        first = link.before
    last = key
    while (link := by_before.get(last)) is not None and link not in links:
        links.append(link)
        last = link.after
    if len(links) != len(found):
        raise LogTamperedError("expected handovers of the key that was given, found others")
    return KeyChain(tuple(_spans(first, links)))


def _spans(first: VerifierKey, links: list[Handover]) -> Iterable[KeySpan]:
    start, key = 0, first
    for link in links:
        size = link.checkpoint.size
        if size < start:
            raise LogTamperedError("expected handovers at growing sizes, found them falling")
        yield KeySpan(key, start, size)
        start, key = size, link.after
    yield KeySpan(key, start, None)
