"""An evidence pack: chosen records with what proves them, and documents, signed as one file.

A pack is a zip (stored, fixed times) of

    index.html             what is in it, by article, for people
    manifest.json          canonical JSON: articles, window, SHA-256 of every other file
    manifest.sig.txt       a signed note over the digest of manifest.json, by the log's key; its
                           first line ends in /evidence-pack, so that it is never a checkpoint
    records.ndjson         the chosen records, one a line;  positions.txt their leaf indices
    hashes.bin             the leaf hash of every record of the log, chosen or not
    checkpoints/ witness/ timestamps/ handover/ key.txt  as in `bundle.py`
    reports/               documents as JSON
    verify_log.py          the small verifier;  __main__.py checks the pack with it

The hashes of all records prove each chosen one, and that nothing was put between them, while
the others stay unread.  `python3 PACK.zip --key KEY` checks it without us.  A pack of every
record is a bundle too.

Read next: `pack_verifier.py`, `adapters/evidence/`.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit import canonical
from audit.attested import notes_by_size
from audit.bundle import (
    CHECKPOINTS,
    HANDOVERS,
    HASHES,
    KEY,
    RECORDS,
    VERIFIER,
    attestation_members,
    small_verifier,
)
from audit.checkpoint import NoteSigner
from audit.errors import LogTamperedError
from audit.key_chain import read_handover
from audit.ports import Attestation, StoredCheckpoint, StoredLeaf

SCHEMA = "osteon.evidence/1"
INDEX, MANIFEST, SIGNATURE, POSITIONS = (
    "index.html", "manifest.json", "manifest.sig.txt", "positions.txt",
)  # fmt: skip
PURPOSE = "evidence-pack"
_TIME = (1980, 1, 1, 0, 0, 0)
_GROUP = 512


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a pack.

    Parameters
    ----------
    stated : facts for the manifest: site, window, articles, who made it and when.
    leaves : the chosen records in tree order.
    hashes : the leaf hash of every record of the tree, in order.
    files : documents by path within the pack.
    handovers : notes by which one key of the log took over from another.
    """

    stated: Mapping[str, Any]
    leaves: Iterable[StoredLeaf]
    hashes: Iterable[bytes]
    checkpoints: Iterable[StoredCheckpoint]
    attestations: Iterable[Attestation] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    handovers: Iterable[str] = ()


def write_pack(path: Path, contents: Contents, signer: NoteSigner) -> int:
    """Write a pack and return how many records it holds; nothing is left where it fails.

    Raises
    ------
    LogTamperedError : a stored record has a line break, so it was never canonical JSON.
    """
    building = path.with_name(f".{path.name}.part")
    try:
        with zipfile.ZipFile(building, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            pack = _Pack(archive, {})
            count = pack.put_records(contents.leaves)
            pack.put_stream(HASHES, contents.hashes)
            notes = notes_by_size(contents.checkpoints)
            for size, note in notes.items():
                pack.put(f"{CHECKPOINTS}{size}.txt", note.encode())
            for name, content in attestation_members(notes, contents.attestations):
                pack.put(name, content)
            for note in contents.handovers:
                size = read_handover(note).checkpoint.size
                pack.put(f"{HANDOVERS}{size}.txt", note.encode())
            pack.put(KEY, f"{signer.verifier.text()}\n".encode())
            pack.put(VERIFIER, small_verifier())
            pack.put("__main__.py", pack_verifier())
            for name, content in contents.files.items():
                pack.put(name, content)
            pack.sign(contents.stated, count, signer)
        building.replace(path)
    finally:
        building.unlink(missing_ok=True)
    return count


def pack_verifier() -> bytes:
    """Return the source of the program that checks a pack."""
    return Path(__file__).with_name("pack_verifier.py").read_bytes()


@dataclass(frozen=True, slots=True)
class _Pack:
    """An archive that is written, and the digests of what is in it."""

    archive: zipfile.ZipFile
    digests: dict[str, str]

    def put(self, name: str, content: bytes) -> None:
        self.archive.writestr(_entry(name), content)
        self.digests[name] = f"sha256:{hashlib.sha256(content).hexdigest()}"

    def put_stream(self, name: str, chunks: Iterable[bytes]) -> None:
        digest = hashlib.sha256()
        with self.archive.open(_entry(name), "w", force_zip64=True) as sink:
            for group in _grouped(chunks):
                sink.write(group)
                digest.update(group)
        self.digests[name] = f"sha256:{digest.hexdigest()}"

    def put_records(self, leaves: Iterable[StoredLeaf]) -> int:
        places: list[int] = []

        def lines() -> Iterator[bytes]:
            for leaf in leaves:
                if leaf.leaf_index is None or b"\n" in leaf.leaf:
                    raise LogTamperedError("expected a placed record in one line, found another")
                places.append(leaf.leaf_index)
                yield leaf.leaf + b"\n"

        self.put_stream(RECORDS, lines())
        self.put_stream(POSITIONS, (f"{place}\n".encode() for place in places))
        return len(places)

    def sign(self, stated: Mapping[str, Any], count: int, signer: NoteSigner) -> None:
        manifest = {
            **stated,
            "schema": SCHEMA,
            "records": {"count": count},
            "members": dict(sorted(self.digests.items())),
        }
        raw = canonical.encode(manifest)
        text = f"{signer.verifier.name}/{PURPOSE}\n{hashlib.sha256(raw).hexdigest()}\n"
        self.archive.writestr(_entry(MANIFEST), raw)
        self.archive.writestr(_entry(SIGNATURE), signer.sign_note(text).encode())


def _grouped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    for chunk in chunks:
        waiting.append(chunk)
        if len(waiting) == _GROUP:
            yield b"".join(waiting)
            waiting = []
    yield b"".join(waiting)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.create_system = 3
    entry.external_attr = 0o100444 << 16
    return entry
