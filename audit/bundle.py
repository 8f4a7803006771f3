"""The log in a file that an outsider can check without us.

A bundle is a zip (stored, sorted) of

    records.ndjson        the stored bytes of every record, in tree order, one a line; the
                          tombstone of one that was purged
    hashes.bin            their leaf hashes as they were kept, 32 bytes each: they name the first
                          record that was changed; what counts is the signed roots
    checkpoints/N.txt     every signed checkpoint, by tree size
    witness/N-NAME.txt    checkpoints with the cosignature of a witness
    timestamps/N-NAME.tsr answers of time-stamp authorities (RFC 3161) over checkpoints/N.txt
    handover/N.txt        notes by which one key of the log took over from another
    key.txt               the public key of the log, as an outsider was given it before
    verify_log.py         the small verifier, of the standard library alone
    README.txt            how to check it

Records are canonical JSON, which holds no line break, so a line is a leaf.  Writing and
reading stream: neither holds more than a record.  `write_bundle` and `read_bundle` are a
pair; `verify_bundle` needs nothing but the file and the public key.

Read next: `small_verifier.py`, `verify.py`.
"""

from __future__ import annotations

import base64
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509 import Certificate

from audit.attested import (
    COSIGNATURE,
    TIMESTAMP,
    Attested,
    answer_of,
    check_attested,
    cosigned_notes,
    notes_by_size,
)
from audit.checkpoint import VerifierKey, parse_key
from audit.cosignature import CosignerKey
from audit.errors import LogTamperedError
from audit.key_chain import chain_of, read_handover
from audit.merkle import HASH_SIZE, leaf_hash
from audit.ports import Attestation, StoredCheckpoint, StoredLeaf
from audit.tombstone import decode, is_tombstone
from audit.verify import Summary, verify_records

RECORDS, HASHES, KEY = "records.ndjson", "hashes.bin", "key.txt"
CHECKPOINTS, WITNESS, STAMPS = "checkpoints/", "witness/", "timestamps/"
HANDOVERS = "handover/"
VERIFIER, GUIDE = "verify_log.py", "README.txt"
_TIME = (1980, 1, 1, 0, 0, 0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_RECORD = 1 << 20
_GROUP = 512
_CHUNK = 1 << 20

_README = """The audit log of one site, to be checked by anybody.

    python3 verify_log.py THIS_FILE --key KEY [--anchor NOTE ...]

needs Python 3.9 or newer and nothing else.  KEY is the public key of the log as you were
given it before: do not trust the one in this file for that.  NOTE is a checkpoint that you
or a witness kept earlier: with it, a log that was cut or written anew is found too.
--witness KEY, repeated, wants the cosignature of a witness that you trust.

    openssl ts -verify -data checkpoints/N.txt -in timestamps/N-NAME.tsr -CAfile CA.pem

checks a time-stamp, after unpacking this file.
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle; `leaves` streams the records."""

    path: Path
    key_text: str
    checkpoints: Mapping[int, str]
    cosigned: tuple[str, ...]
    stamps: tuple[Attestation, ...]
    handovers: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Return every signed checkpoint in the bundle."""
        return (*self.checkpoints.values(), *self.cosigned)

    def leaves(self) -> Iterator[StoredLeaf]:
        """Yield the records in the order of the file.

        Raises
        ------
        LogTamperedError : a line is too long, or the file ends in the middle of one.
        """
        with (
            zipfile.ZipFile(self.path) as archive,
            archive.open(RECORDS) as lines,
            archive.open(HASHES) as hashes,
        ):
            index, rest = 0, b""
            while chunk := lines.read(_CHUNK):
                *whole, rest = (rest + chunk).split(b"\n")
                kept = hashes.read(HASH_SIZE * len(whole))
                for number, line in enumerate(whole):
                    at = number * HASH_SIZE
                    yield _leaf(index, line, kept[at : at + HASH_SIZE])
                    index += 1
                if len(rest) > _LONGEST_RECORD:
                    raise LogTamperedError(f"expected record {index} in one line, found no end")
            if rest:
                raise LogTamperedError(f"expected record {index} to end with a line break")


def write_bundle(
    path: Path,
    leaves: Iterable[StoredLeaf],
    checkpoints: Iterable[StoredCheckpoint],
    key: VerifierKey,
    attestations: Iterable[Attestation] = (),
    handovers: Iterable[str] = (),
) -> int:
    """Write a bundle and return the number of records.

    Parameters
    ----------
    leaves : records in tree order.
    attestations : cosignatures and time-stamps of others.
    handovers : notes by which one key of the log took over from another.

    Raises
    ------
    LogTamperedError : a stored record has a line break, so it was never canonical JSON.
    """
    building = path.with_name(f".{path.name}.part")
    notes = notes_by_size(checkpoints)
    try:
        with zipfile.ZipFile(building, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            _put(archive, GUIDE, _README.encode())
            for size, note in notes.items():
                _put(archive, f"{CHECKPOINTS}{size}.txt", note.encode())
            _put(archive, KEY, f"{key.text()}\n".encode())
            for note in handovers:
                size = read_handover(note).checkpoint.size
                _put(archive, f"{HANDOVERS}{size}.txt", note.encode())
            hashes = _put_records(archive, leaves)
            _put(archive, HASHES, hashes)
            _put(archive, VERIFIER, small_verifier())
            for name, content in attestation_members(notes, attestations):
                _put(archive, name, content)
        building.replace(path)
    finally:
        building.unlink(missing_ok=True)
    return len(hashes) // HASH_SIZE


def read_bundle(path: Path) -> Bundle:
    """Open a bundle; what it says is checked by `verify_bundle`.

    Raises
    ------
    LogTamperedError : the file is no bundle.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names):
                raise LogTamperedError("expected every part of the bundle once, found one twice")
            for name in (RECORDS, HASHES):
                archive.getinfo(name)
            return Bundle(
                path,
                archive.read(KEY).decode().strip(),
                {
                    int(name.removeprefix(CHECKPOINTS).removesuffix(".txt")): text
                    for name, text in _texts(archive, CHECKPOINTS)
                },
                tuple(text for _, text in _texts(archive, WITNESS)),
                tuple(_stamp(archive, name) for name in names if name.startswith(STAMPS)),
                tuple(text for _, text in _texts(archive, HANDOVERS)),
            )
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise LogTamperedError(
            f"expected a bundle of an audit log, found a fault: {type(error).__name__}"
        ) from error


def check_bundle_attested(
    bundle: Bundle,
    anchors: Iterable[str] = (),
    witnesses: Sequence[CosignerKey] = (),
    authorities: Sequence[Certificate] = (),
) -> Attested:
    """Return who vouches for how much of a bundle; raises as `audit.attested` does."""
    seen = [*bundle.notes, *anchors]
    return check_attested(seen, bundle.checkpoints, bundle.stamps, witnesses, authorities)


def verify_bundle(
    path: Path, key: VerifierKey | None = None, anchors: Iterable[str] = ()
) -> Summary:
    """Check a bundle against the public key; records are streamed, in any number.

    Parameters
    ----------
    key : a public key of the log as the reader has it, the one in force or one that signed
        handovers join to it; without it the bundle's own is used, which shows only that the
        bundle agrees with itself.
    anchors : signed checkpoints kept elsewhere.

    Raises
    ------
    LogTamperedError : names the first record that is not what was signed.
    """
    bundle = read_bundle(path)
    trusted = key or parse_key(bundle.key_text)
    keys = chain_of(trusted, bundle.handovers)
    if bundle.key_text not in {span.key.text() for span in keys.spans}:
        raise LogTamperedError("expected the key that you were given, found another in the bundle")
    kept = tuple(anchors)
    if not bundle.notes and not kept:
        raise LogTamperedError("expected a signed checkpoint, found none in the bundle")
    seen = (*bundle.notes, *bundle.handovers)
    return verify_records(bundle.leaves(), seen, keys, kept, own_columns=True)


def small_verifier() -> bytes:
    """Return the source of the small verifier that travels with every bundle."""
    return (Path(__file__).with_name("small_verifier.py")).read_bytes()


def _put_records(archive: zipfile.ZipFile, leaves: Iterable[StoredLeaf]) -> bytes:
    """Write the records and return their kept leaf hashes, one behind the other."""
    hashes = bytearray()
    with archive.open(_entry(RECORDS), "w", force_zip64=True) as sink:
        waiting: list[bytes] = []
        for number, leaf in enumerate(leaves):
            if b"\n" in leaf.leaf:
                raise LogTamperedError(f"expected record {number} in one line, found several")
            hashes += leaf.kept_hash or _hash_of(leaf.leaf)
            waiting.append(leaf.leaf + b"\n")
            if len(waiting) == _GROUP:
                sink.write(b"".join(waiting))
                waiting = []
        sink.write(b"".join(waiting))
    return bytes(hashes)


def attestation_members(
    notes: Mapping[int, str], attestations: Iterable[Attestation]
) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of what others said of trees; `notes` are the checkpoints by size."""
    for item in attestations:
        name = f"{item.tree_size}-{re.sub(r'[^A-Za-z0-9.-]', '-', item.name)}"
        if item.kind == COSIGNATURE:
            (note,) = cosigned_notes(notes, [item])
            yield f"{WITNESS}{name}.txt", note.encode()
        elif item.kind == TIMESTAMP:
            yield f"{STAMPS}{name}.tsr", answer_of(item)


def _texts(archive: zipfile.ZipFile, folder: str) -> list[tuple[str, str]]:
    names = [name for name in archive.namelist() if name.startswith(folder)]
    return [(name, archive.read(name).decode()) for name in names]


def _stamp(archive: zipfile.ZipFile, name: str) -> Attestation:
    size, _, authority = name.removeprefix(STAMPS).removesuffix(".tsr").partition("-")
    content = base64.b64encode(archive.read(name)).decode("ascii")
    return Attestation(int(size), authority, TIMESTAMP, content, _EPOCH)


def _hash_of(leaf: bytes) -> bytes:
    """Return the leaf hash of a record, or the one that its tombstone keeps."""
    return decode(leaf).leaf_hash if is_tombstone(leaf) else leaf_hash(leaf)


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_entry(name), content)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.create_system = 3
    entry.external_attr = 0o100444 << 16
    return entry


def _leaf(index: int, line: bytes, kept_hash: bytes) -> StoredLeaf:
    """Return a record with its columns read from its own bytes."""
    try:
        stated = json.loads(line)
        event_id, kind, run_id = stated["event_id"], stated["kind"], stated.get("run_id")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LogTamperedError(f"expected a record at index {index}, found other bytes") from error
    return StoredLeaf(index, index, event_id, kind, run_id, _EPOCH, line, kept_hash)
