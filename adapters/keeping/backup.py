"""Backup: one file that holds a site as it was at one moment, under a passphrase, signed.

    manifest.json   what is in it: every member with size and digest, the log's size and root
    manifest.sig    a note over the manifest, signed by the log's key
    content.bin     the members as a tar stream, sealed (`sealed_stream.py`)

Members are the databases (site, engine, vault), everything in the home but staging, locks and
logins, and the configuration; keys only with ``with_keys``.  The site database is copied first
and the outbox after it, so that no row names a file that is not there.  The file appears whole,
or not at all.

An embedded archive in the home is an archive: it is not in the backup of the suite.

Read next: `restoring.py`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from adapters.engine.serving import settings_of
from adapters.keeping.dumps import dump, kind_of
from adapters.keeping.sealed_stream import Sealing
from audit import canonical
from audit.checkpoint import verify

if TYPE_CHECKING:
    from adapters.compose import Site

SCHEMA = "osteon.backup/1"
MANIFEST, SIGNATURE, CONTENT = "manifest.json", "manifest.sig", "content.bin"
DATABASES = ("site", "engine", "vault")
CONFIGURATION = "osteon.toml"
_LEFT_OUT = ("staging", "pacs")
_PUBLIC_KEYS = ("trust.json", "log.origin")
_NEVER = ("login.token",)


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was made: its file, the digest of its manifest, what the log was then."""

    path: Path
    sha256: str
    tree_size: int
    member_count: int


@dataclass(slots=True)
class _Packing:
    """A tar stream that notes the digest of everything that goes in."""

    tar: tarfile.TarFile
    members: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, path: Path) -> None:
        """Put a file in under a name; one that went away meanwhile is left out."""
        try:
            source = path.open("rb")
        except FileNotFoundError:
            return
        with source:
            status = os.fstat(source.fileno())
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = status.st_size, stat.S_IMODE(status.st_mode)
            reading = _Hashing(source, status.st_size)
            self.tar.addfile(entry, cast("IO[bytes]", reading))
        self.members[name] = {"size": entry.size, "sha256": reading.digest.hexdigest()}


class _Hashing:
    """Reads at most so many bytes of a file and hashes them."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source, self._left = source, size
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        data = self._source.read(min(size, self._left))
        self._left -= len(data)
        self.digest.update(data)
        return data


def urls_of(site: Site) -> dict[str, str]:
    """Return the URL of each database of a site."""
    section = site.configuration.database
    vault = section.vault_url.get_secret_value()
    engine = settings_of(site).url
    if engine.startswith("postgresql://"):
        engine = engine.replace("postgresql://", "postgresql+psycopg://", 1)
    return {
        "site": site.database.url,
        "engine": engine,
        "vault": vault or f"sqlite:///{site.home.file('vault.db')}",
    }


def back_up(
    site: Site,
    path: Path,
    passphrase: str,
    person: str,
    *,
    with_keys: bool = True,
    configuration: Path | None = None,
) -> BackedUp:
    """Write a backup of a site that may be at work, and record it.

    Raises
    ------
    ConfigurationError : the passphrase is too short, or pg_dump is missing.
    """
    site.log_read("backup", person)
    site.seal(force=True)
    building = path.with_name(f".{path.name}.part")
    try:
        descriptor = os.open(building, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                packed = _pack(site, archive, passphrase, with_keys, configuration)
                manifest = _manifest(site, packed)
                archive.writestr(MANIFEST, canonical.encode(manifest))
                digest = hashlib.sha256(canonical.encode(manifest)).hexdigest()
                archive.writestr(SIGNATURE, site.keys.log.sign_note(signed_text(digest)))
            file.flush()
            os.fsync(file.fileno())
        building.replace(path)
    finally:
        building.unlink(missing_ok=True)
    size = int(manifest["log"]["tree_size"])
    body = {
        "what": "backup", "format": "osteon-backup", "purpose": "backup", "count": size,
        "sha256": f"sha256:{digest}", "filters": {},
    }  # fmt: skip
    with site.database.transaction() as transaction:
        site.journal.export(transaction, body, person)
    site.seal()
    return BackedUp(path, f"sha256:{digest}", size, len(packed["members"]))


def signed_text(digest: str) -> str:
    """Return the text of the note that is signed over a manifest."""
    return f"{SCHEMA}\n{digest}\n"


def _pack(
    site: Site,
    archive: zipfile.ZipFile,
    passphrase: str,
    with_keys: bool,
    configuration: Path | None,
) -> dict[str, Any]:
    """Write the sealed content; return members, kinds of database, and the log's checkpoint."""
    kinds: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory(dir=site.home.root, prefix=".backup-") as temporary,
        archive.open(CONTENT, "w", force_zip64=True) as sink,
    ):
        sealing = Sealing(cast("Any", sink), passphrase)
        with tarfile.open(fileobj=cast("Any", sealing), mode="w|") as tar:
            packing = _Packing(tar)
            checkpoint = ""
            for name, url in urls_of(site).items():
                target = Path(temporary) / name
                if name == "site":
                    checkpoint = _checkpoint(site)
                if dump(url, target):
                    kinds[name] = kind_of(url)
                    packing.add(f"databases/{name}", target)
                    target.unlink()
            for relative, file in _files(site.home.root, with_keys):
                packing.add(f"home/{relative}", file)
            if configuration is not None and f"home/{CONFIGURATION}" not in packing.members:
                packing.add(f"home/{CONFIGURATION}", configuration)
        sealing.close()
    return {"members": packing.members, "databases": kinds, "checkpoint": checkpoint}


def _checkpoint(site: Site) -> str:
    with site.database.reading() as transaction:
        last = transaction.last_checkpoint()
    return "" if last is None else last.note


def _files(root: Path, with_keys: bool) -> Iterator[tuple[str, Path]]:
    """Yield (name in the home, file) of what is kept, in order of names."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        first = relative.parts[0]
        if not path.is_file() or path.is_symlink() or first in _LEFT_OUT or first.startswith("."):
            continue
        if len(relative.parts) == 1 and first != CONFIGURATION:
            continue  # databases with their logs, locks
        is_secret = first == "keys" and path.name not in _PUBLIC_KEYS
        if is_secret and (path.name in _NEVER or not with_keys):
            continue
        yield relative.as_posix(), path


def _manifest(site: Site, packed: dict[str, Any]) -> dict[str, Any]:
    note = packed["checkpoint"]
    signed = verify(note, site.keys.log.verifier) if note else None
    with_keys = "home/keys/log.key" in packed["members"]
    return {
        "schema": SCHEMA,
        "made_at": site.now().isoformat(),
        "site": site.configuration.site.name,
        "node": site.node,
        "home": str(site.home.root),
        "with_keys": with_keys,
        "databases": packed["databases"],
        "log": {
            "origin": site.log.origin,
            "key": site.keys.log.verifier.text(),
            "tree_size": signed.size if signed else 0,
            "root_sha256": signed.root_hash.hex() if signed else "",
            "checkpoint": note,
        },
        "members": packed["members"],
    }
