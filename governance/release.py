"""The release: one immutable bundle of a plugin, named by the digest of its manifest.

``NAME-VERSION.osteon`` is a zip (APPNOTE 6.3: stored, sorted, fixed times) of
``manifest.json``, the members that the manifest lists, and ``attachments/``, which came
after the build and stand outside the digest.  ``manifest.json`` is canonical JSON
(RFC 8785); the release digest is the SHA-256 of its bytes, and since the manifest holds
the SHA-256 of every member, the digest names every byte that runs.

`build` and `open_release` are inverses, and so are `unpack` and `open_unpacked`.

Read next: `signing.py`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import struct
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import canonical
from audit.errors import NotFoundError, RecordError, ReleaseError, ReleaseTamperedError

SCHEMA = "osteon.release/1"
MANIFEST = "manifest.json"
ATTACHMENTS = "attachments/"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
# zipfile documents the first; hostile headers also lead it into the others.
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError),
    *(struct.error, zlib.error),
)


@dataclass(frozen=True, slots=True)
class Release:
    """A release that was opened: its manifest is checked, its members are checked as read.

    Parameters
    ----------
    digest : ``sha256:<hex>`` of the bytes of manifest.json.
    manifest : the decoded manifest.json.
    attachments : names below ``attachments/``, sorted.
    source : returns the raw bytes under a name of the bundle.
    """

    digest: str
    manifest: Mapping[str, Any]
    attachments: tuple[str, ...]
    source: Callable[[str], bytes]

    @property
    def members(self) -> tuple[str, ...]:
        """Return the names of all members, sorted."""
        return tuple(sorted(self.manifest["members"]))

    @property
    def file_name(self) -> str:
        """Return ``NAME-VERSION.osteon``."""
        return f"{self.manifest['plugin']}-{self.manifest['version']}.osteon"

    def member(self, name: str) -> bytes:
        """Return the bytes of one member.

        Raises
        ------
        NotFoundError : the manifest does not list the member.
        ReleaseTamperedError : the bytes are missing or differ from the manifest.
        """
        expected = self.manifest["members"].get(name)
        if expected is None:
            raise NotFoundError(f"expected a member of release {self.digest}, found {name!r}")
        try:
            content = self.source(name)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise ReleaseTamperedError(
                f"member {name} of release {self.digest} cannot be read: {type(error).__name__}"
            ) from error
        if digest_of(content) != expected:
            raise ReleaseTamperedError(
                f"member {name} of release {self.digest}: expected {expected}, "
                f"found {digest_of(content)}"
            )
        return content

    def attachment(self, name: str) -> bytes:
        """Return the bytes of one attachment; what it says must be checked by its signature."""
        if name not in self.attachments:
            raise NotFoundError(f"expected an attachment of {self.digest}, found {name!r}")
        return self.source(ATTACHMENTS + name)

    def verify(self) -> None:
        """Read every member; raise ReleaseTamperedError, naming the first that differs."""
        for name in self.members:
            self.member(name)


def digest_of(content: bytes) -> str:
    """Return ``sha256:<hex>`` of bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def build(
    declaration: Mapping[str, Any],
    members: Mapping[str, bytes],
    attachments: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return the bytes of a bundle; the same input gives the same bytes.

    Parameters
    ----------
    declaration : JSON values; at least ``plugin`` and ``version``.  ``schema`` and
        ``members`` are added.
    members, attachments : content by name (slashes between folders).

    Raises
    ------
    ReleaseError : a name is not allowed, or plugin or version is missing.
    """
    for key in ("plugin", "version"):
        if not isinstance(declaration.get(key), str):
            raise ReleaseError(f"expected {key} in the declaration of a release, found none")
    digests = {name: digest_of(content) for name, content in members.items()}
    manifest = {**declaration, "schema": SCHEMA, "members": digests}
    return pack(_encoded(manifest), members, attachments or {})


def pack(manifest: bytes, members: Mapping[str, bytes], attachments: Mapping[str, bytes]) -> bytes:
    """Return the zip of manifest, members and attachments, byte for byte reproducible."""
    content = {MANIFEST: manifest, **members}
    content.update({ATTACHMENTS + name: value for name, value in attachments.items()})
    for name in content:
        _check_name(name)
    return pack_zip(content)


def pack_zip(content: Mapping[str, bytes]) -> bytes:
    """Return a zip with stored entries, sorted names, fixed times and rights."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, _FIXED_TIME)
            entry.create_system = 3
            entry.external_attr = 0o100444 << 16
            archive.writestr(entry, content[name])
    return sink.getvalue()


def unpack_zip(raw: bytes, label: str) -> dict[str, bytes]:
    """Return what `pack_zip` packed; ReleaseTamperedError unless it is exactly such a zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > len(raw):
                raise zipfile.BadZipFile("entries that are larger than their archive")
            content = {entry.filename: archive.read(entry) for entry in entries}
    except _ZIP_ERRORS as error:
        named = _named_in(str(error))
        raise ReleaseTamperedError(
            f"{label}{named} cannot be read: {type(error).__name__}"
        ) from error
    if pack_zip(content) != raw:
        raise ReleaseTamperedError(f"{label}: expected the canonical zip, found another container")
    return content


def open_release(path: Path, expected_digest: str | None = None) -> Release:
    """Return the release in a ``.osteon`` file; every byte of the container is checked.

    Raises
    ------
    NotFoundError : there is no such file.
    ReleaseTamperedError : the file is not a canonical bundle, has a member too few or too
        many, or is not the one that ``expected_digest`` names.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"expected a release at {path.name}, found no file") from error
    content = unpack_zip(raw, f"release file {path.name}")
    return _release(content.keys(), content.__getitem__, path.name, expected_digest)


def open_unpacked(folder: Path) -> Release:
    """Return the release in an unpacked folder, whose name must be the digest.

    Members are verified as they are read; `verify_unpacked` verifies them all.
    """
    if not folder.is_dir():
        raise NotFoundError(f"expected an unpacked release {folder.name}, found no folder")
    names = [str(p.relative_to(folder)) for p in sorted(folder.rglob("*")) if not p.is_dir()]

    def source(name: str) -> bytes:
        return (folder / name).read_bytes()

    return _release(names, source, folder.name, f"sha256:{folder.name}")


def verify_unpacked(folder: Path) -> Release:
    """Return the unpacked release after reading every byte of it; call before every load.

    Raises
    ------
    ReleaseTamperedError : one byte anywhere differs, or a file was added or removed; the
        message names it.
    """
    release = open_unpacked(folder)
    release.verify()
    return release


def attach(path: Path, name: str, content: bytes) -> None:
    """Add an attachment to a bundle on disk, or replace it; the digest stays the same.

    Raises
    ------
    OSError : it cannot be written; the bundle is as it was, and nothing lies beside it.
    """
    release = open_release(path)
    members = {member: release.member(member) for member in release.members}
    attachments = {other: release.attachment(other) for other in release.attachments}
    raw = pack(release.source(MANIFEST), members, {**attachments, name: content})
    building = path.with_name(path.name + ".new")
    try:
        building.unlink(missing_ok=True)  # of a process that died: it may not be written over
        _write(building, raw)
        building.replace(path)
    except OSError:
        with suppress(OSError):
            building.unlink(missing_ok=True)
        raise


def unpack(release: Release, folder: Path) -> Path:
    """Put the release into ``folder``, whose name is the digest's hex, and return it.

    Nothing is visible before everything is written and verified; doing it twice does it
    once, and adds attachments that came since.
    """
    if folder.name != folder_name(release.digest):
        raise ReleaseError(f"expected a folder named after {release.digest}, found {folder.name}")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".unpack-", dir=folder.parent))
        try:
            _write(building / MANIFEST, release.source(MANIFEST))
            for name in release.members:
                _write(building / name, release.member(name))
            building.chmod(0o755)
            _sync(building)
            building.rename(folder)
        except OSError:
            if not folder.exists():  # else another process unpacked the same release first
                raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
        _sync(folder.parent)
    for name in release.attachments:
        if read_attachment(folder, name) is None:
            put_attachment(folder, name, release.attachment(name))
    verify_unpacked(folder)
    return folder


def read_attachment(folder: Path, name: str) -> bytes | None:
    """Return an attachment of an unpacked release; None where it has none."""
    _check_name(name)
    try:
        return (folder / ATTACHMENTS / name).read_bytes()
    except FileNotFoundError:
        return None


def put_attachment(folder: Path, name: str, content: bytes) -> None:
    """Put an attachment beside an unpacked release, or replace it, in one step."""
    _check_name(name)
    place = folder / ATTACHMENTS / name
    arriving = folder.parent / f".attach-{os.getpid()}-{threading.get_ident()}"
    _write(arriving, content)
    place.parent.mkdir(parents=True, exist_ok=True)
    arriving.replace(place)


def folder_name(digest: str) -> str:
    """Return the folder's name for a release digest: its 64 hex digits."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise NotFoundError(f"expected a release digest sha256:<hex>, found {digest[:80]!r}")
    return digest.removeprefix("sha256:")


def read_manifest(raw: bytes, label: str) -> dict[str, Any]:
    """Return the decoded manifest; ReleaseTamperedError unless it is canonical and complete."""
    try:
        manifest = canonical.decode(raw)
    except RecordError as error:
        raise ReleaseTamperedError(f"{MANIFEST} of {label}: expected canonical JSON") from error
    kinds = {"members": dict, "plugin": str, "version": str, "schema": str}
    typed = isinstance(manifest, dict) and all(
        isinstance(manifest.get(key), kind) for key, kind in kinds.items()
    )
    if not typed or manifest["schema"] != SCHEMA:
        raise ReleaseTamperedError(f"{MANIFEST} of {label}: expected {SCHEMA}")
    return dict(manifest)


def _release(
    names: Any, source: Callable[[str], bytes], label: str, expected_digest: str | None
) -> Release:
    """Check manifest, digest and the list of names; members are checked when read."""
    found = set(names)
    if MANIFEST not in found:
        raise ReleaseTamperedError(f"{MANIFEST} of {label} is missing")
    raw = source(MANIFEST)
    digest = digest_of(raw)
    if expected_digest is not None and digest != expected_digest:
        raise ReleaseTamperedError(
            f"{MANIFEST} of {label}: expected {expected_digest}, found {digest}"
        )
    manifest = read_manifest(raw, label)
    attached = {name for name in found if name.startswith(ATTACHMENTS)}
    wanted = set(manifest["members"]) | {MANIFEST}
    for name in sorted(wanted ^ (found - attached)):
        state = "is missing" if name in wanted else "is not in the manifest"
        raise ReleaseTamperedError(f"member {name} of {label} {state}")
    for name in wanted | attached:
        _check_name(name)
    short = tuple(sorted(name.removeprefix(ATTACHMENTS) for name in attached))
    return Release(digest, manifest, short, source)


def _encoded(manifest: Mapping[str, Any]) -> bytes:
    try:
        return canonical.encode(manifest)
    except RecordError as error:
        raise ReleaseError(f"expected JSON values in the declaration: {error}") from error


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ReleaseError(f"expected a relative member name without '..', found {name[:80]!r}")


def _named_in(message: str) -> str:
    """Return the entry that zipfile complains about: ``Bad CRC-32 for file 'card.md'``."""
    match = re.search(r"for file '([^']*)'", message)
    return f", member {match.group(1)}," if match else ""


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o444)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
