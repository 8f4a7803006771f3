"""Restore: a home that is whole and verified, or none.

1. The manifest's signature and the digest of the sealed content are held against the log's key:
   the one that is given, else the backup's own, which shows only that it agrees with itself.
2. Everything is unpacked into a folder beside the home; each member must be what the manifest
   says, and nothing may be missing or more.
3. Keys come from the backup or from a folder that is given; without them there is no log to go
   on with.
4. PostgreSQL databases must be empty, and are filled each in one transaction.
5. Paths in the tables are brought to the new home.  The log is verified record by record, and
   must have the size and root of the manifest.
6. The restore becomes a record of the restored log, and the folder becomes the home.

What was recorded after the backup is gone from this home, and that can be seen: a checkpoint
that a witness or an anchor kept since is larger than the log, so neither accepts what it signs
from here on (`audit verify --anchor`).  An erasure since then has to be made again.

Read next: `backup.py`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from sqlalchemy import Table, create_engine, update
from sqlalchemy.sql import func

from adapters.compose import Site, open_site
from adapters.config import load
from adapters.database.schema import DELIVERY, DOCUMENT, RELEASE
from adapters.home import Home
from adapters.keeping import dumps
from adapters.keeping.backup import (
    CONFIGURATION,
    CONTENT,
    MANIFEST,
    SCHEMA,
    SIGNATURE,
    signed_text,
)
from adapters.keeping.sealed_stream import Unsealing
from audit import canonical
from audit.checkpoint import VerifierKey, parse_key, verify_note
from audit.errors import (
    ConfigurationError,
    EvidenceTamperedError,
    LogTamperedError,
    RecordError,
)

_LARGEST_MANIFEST = 256 * 1024 * 1024
_BLOCK = 1 << 20
_PATHS: tuple[Table, ...] = (RELEASE, DOCUMENT, DELIVERY)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a backup gave back.

    Parameters
    ----------
    made_at : when the backup was made; nothing after it is in this home.
    tree_size, root_sha256 : of the log as it was then, verified.
    is_key_given : whether the log's key came from elsewhere than the backup.
    """

    made_at: str
    sha256: str
    tree_size: int
    root_sha256: str
    member_count: int
    is_key_given: bool


def read_manifest(path: Path, key: VerifierKey | None = None) -> tuple[dict[str, Any], str]:
    """Return the manifest of a backup and its digest, its signature and content checked.

    Raises
    ------
    EvidenceTamperedError : it is no backup, or not as it was signed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(MANIFEST).file_size > _LARGEST_MANIFEST:
                raise EvidenceTamperedError("expected a manifest of a backup, found a larger file")
            raw = archive.read(MANIFEST)
            note = archive.read(SIGNATURE).decode()
            archive.getinfo(CONTENT)
        manifest = canonical.decode(raw)
        if manifest["schema"] != SCHEMA:
            raise EvidenceTamperedError("expected a backup of this suite, found another schema")
        trusted = key or parse_key(manifest["log"]["key"])
        digest = hashlib.sha256(raw).hexdigest()
        if verify_note(note, trusted) != signed_text(digest):
            raise EvidenceTamperedError("expected the signature of this backup, found another")
    except (
        zipfile.BadZipFile, KeyError, TypeError, UnicodeDecodeError, OSError, RecordError,
        LogTamperedError, ConfigurationError,
    ) as error:  # fmt: skip
        raise EvidenceTamperedError(
            f"expected a whole, signed backup, found a fault: {type(error).__name__}"
        ) from error
    return manifest, digest


def restore(
    path: Path,
    root: Path,
    passphrase: str,
    *,
    key: VerifierKey | None = None,
    keys: Path | None = None,
    configuration: Path | None = None,
) -> Restored:
    """Put a backup into an empty home.

    Parameters
    ----------
    key : public key of the log, as it is known from elsewhere.
    keys : folder with the secret keys, where the backup has none.
    configuration : for the restored site, instead of the one in the backup.

    Raises
    ------
    ConfigurationError : the home or a database is not empty, or there are no keys.
    EvidenceTamperedError, AuthenticationError, LogTamperedError : the backup is not what was
        made, or not under this passphrase.  Nothing was put in place.
    """
    _require_empty(root)
    manifest, digest = read_manifest(path, key)
    building = root.with_name(f".{root.name}.restoring")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700, parents=True)
    try:
        _unpack(path, passphrase, manifest, building)
        _put_keys(building / "home", keys)
        _put_databases(building, manifest, digest, configuration)
        restored = _finish(building / "home", root, manifest, digest, configuration, key)
        if root.exists():
            root.rmdir()
        (building / "home").rename(root)
        _release(root, configuration)
        return restored
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _require_empty(root: Path) -> None:
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigurationError(
            f"expected an empty or new home {root}, found files",
            advice="Restore into a new folder; a home is never overwritten.",
        )


def _unpack(path: Path, passphrase: str, manifest: Mapping[str, Any], building: Path) -> None:
    """Unpack every member, each as the manifest says; nothing missing, nothing more."""
    members: Mapping[str, Mapping[str, Any]] = manifest["members"]
    left = set(members)
    try:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(CONTENT) as content,
            tarfile.open(
                fileobj=cast("Any", Unsealing(cast("Any", content), passphrase)), mode="r|"
            ) as tar,
        ):
            for entry in tar:
                if entry.name not in left or not entry.isreg() or not _is_plain(entry.name):
                    raise EvidenceTamperedError(
                        f"expected the members of the manifest, found {entry.name[:80]!r}"
                    )
                left.discard(entry.name)
                source = tar.extractfile(entry)
                assert source is not None  # isreg
                _write(source, building / entry.name, entry.mode, members[entry.name])
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise EvidenceTamperedError("expected a whole backup, found it damaged") from error
    if left:
        raise EvidenceTamperedError(f"expected {len(left)} more members in the backup, found none")


def _write(source: IO[bytes], target: Path, mode: int, stated: Mapping[str, Any]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o700 or 0o600)
    with os.fdopen(descriptor, "wb") as sink:
        while block := source.read(_BLOCK):
            digest.update(block)
            size += len(block)
            sink.write(block)
        sink.flush()
        os.fsync(sink.fileno())
    if (digest.hexdigest(), size) != (stated["sha256"], stated["size"]):
        raise EvidenceTamperedError(f"expected member {target.name} as it was, found it changed")


def _put_keys(home: Path, keys: Path | None) -> None:
    """Bring the keys of a folder to those of the backup; there must be the log's in the end."""
    if keys is not None:
        (home / "keys").mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in sorted(keys.iterdir()):
            if file.is_file() and not (home / "keys" / file.name).exists():
                shutil.copy2(file, home / "keys" / file.name)
    if not (home / "keys" / "log.key").exists():
        raise ConfigurationError(
            "expected the keys of the site, found none in the backup",
            advice="Name the folder in which they were kept: `osteon restore --keys FOLDER`.",
        )


def _put_databases(
    building: Path, manifest: Mapping[str, Any], digest: str, configuration: Path | None
) -> None:
    home = building / "home"
    filled = _urls(home, configuration)
    for name, kind in manifest["databases"].items():
        source, url = building / "databases" / name, filled[name]
        if dumps.kind_of(url) != kind:
            raise ConfigurationError(
                f"expected the {name} database on {kind} as in the backup, found another kind"
            )
        if kind == dumps.SQLITE:
            shutil.move(source, dumps.file_of(url))
        else:
            dumps.load(source, url, f"the {name} database", digest)


def _urls(home: Path, configuration: Path | None) -> dict[str, str]:
    """Return where the databases of the site that is being restored lie."""
    found = configuration or (home / CONFIGURATION if (home / CONFIGURATION).exists() else None)
    section = load(found).database
    urls = {
        "site": section.url.get_secret_value() or f"sqlite:///{home / 'site.db'}",
        "engine": section.engine_url.get_secret_value() or f"sqlite:///{home / 'engine.db'}",
        "vault": section.vault_url.get_secret_value() or f"sqlite:///{home / 'vault.db'}",
    }
    inside = [dumps.file_of(url) for url in urls.values() if dumps.kind_of(url) == dumps.SQLITE]
    if any(not file.is_relative_to(home) for file in inside):
        raise ConfigurationError("expected SQLite databases inside the home, found one outside")
    return urls


def _finish(
    home: Path,
    root: Path,
    manifest: Mapping[str, Any],
    digest: str,
    configuration: Path | None,
    key: VerifierKey | None,
) -> Restored:
    """Verify the log, move the paths, and write the restore down; the site is closed again."""
    _move_paths(_urls(home, configuration)["site"], str(manifest["home"]), str(root))
    stated = manifest["log"]
    chosen = configuration or (home / CONFIGURATION if (home / CONFIGURATION).exists() else None)
    with open_site(Home(home), chosen, archives={}, targets=()) as site:
        _check_log(site, stated)
        body = {
            "backup_sha256": f"sha256:{digest}",
            "made_at": manifest["made_at"],
            "tree_size": stated["tree_size"],
            "root_sha256": stated["root_sha256"],
        }
        with site.database.transaction() as transaction:
            site.journal.restore(transaction, body, f"service:{site.node}")
        site.seal(force=True)
        site.database.scrub()
    return Restored(
        manifest["made_at"],
        f"sha256:{digest}",
        stated["tree_size"],
        stated["root_sha256"],
        len(manifest["members"]),
        key is not None,
    )


def _check_log(site: Site, stated: Mapping[str, Any]) -> None:
    """Hold the restored log against the checkpoint that the manifest carries, record by record."""
    if site.keys.log.verifier.text() != stated["key"]:
        raise ConfigurationError("expected the log's key of the backup, found another")
    site.verify_log([stated["checkpoint"]] if stated["checkpoint"] else [])


def _move_paths(url: str, old: str, new: str) -> None:
    """Bring absolute paths inside the home to where it lies now."""
    if old == new:
        return
    engine = create_engine(url, hide_parameters=True)
    try:
        with engine.begin() as connection:
            for table in _PATHS:
                inside = table.c.path.startswith(f"{old}/", autoescape=True)
                moved = new + func.substr(table.c.path, len(old) + 1)
                connection.execute(update(table).where(inside).values(path=moved))
    finally:
        engine.dispose()


def _release(root: Path, configuration: Path | None) -> None:
    for url in _urls(root, configuration).values():
        if dumps.kind_of(url) == dumps.POSTGRESQL:
            dumps.release(url)


def _is_plain(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not name.startswith("/") and ".." not in parts and parts[0] in ("home", "databases")
