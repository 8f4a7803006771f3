"""Make releases: from a plugin's folder, and again from a frozen version.

    build_release:  working tree ─────────────→ NAME-VERSION.osteon
    publish:        NAME-VERSION.osteon ──────→ plugins/NAME/releases/VERSION/ (frozen)
    assemble:       frozen version + weights ─→ the same NAME-VERSION.osteon, bit for bit

A published version never changes: a change to the code afterwards needs a new version
(SEAMS: Release).

Read next: `release_members.py` (what goes in), `governance/release.py` (the bundle).
"""

from __future__ import annotations

import platform
import re
from importlib.metadata import version
from pathlib import Path

from adapters.release_members import (
    library_pins,
    package_folder,
    release_members,
    training_of,
    weight_folders,
)
from adapters.writing import write_whole
from audit.errors import NotFoundError, ReleaseError, ReleaseTamperedError
from governance.release import (
    MANIFEST,
    Release,
    build,
    digest_of,
    open_release,
    pack,
    pack_zip,
    read_manifest,
    unpack_zip,
)
from plugins.host.artifact import WEIGHTS
from plugins.host.discovery import find_plugin
from plugins.host.manifest import encode

CODE_ARCHIVE = "code.zip"
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def build_release(plugin: str, out: Path) -> Path:
    """Build ``NAME-VERSION.osteon`` from a plugin's working tree into ``out``.

    Raises
    ------
    NotFoundError : no such plugin is installed.
    ReleaseError : card or weights are missing, the version is not like 1.2.3, or the code
        imports something of the suite that the release does not carry.
    """
    installed = find_plugin(plugin)
    manifest = installed.load().manifest
    if not _VERSION.fullmatch(manifest.version):
        raise ReleaseError(f"expected a version like 1.2.3 of {plugin}, found {manifest.version}")
    members = release_members(installed, manifest)
    declaration = encode(manifest) | {
        "built_by": f"osteon {version('osteon')}",
        "entry_point": installed.entry_point,
        "runtime": {
            "python": ".".join(platform.python_version_tuple()[:2]),
            "pins": library_pins(members),
        },
        "training": training_of(manifest),
    }
    return _write_bundle(out, plugin, manifest.version, build(declaration, members))


def publish(bundle: Path) -> Path:
    """Freeze a built release as ``plugins/NAME/releases/VERSION/`` and return that folder.

    Doing it twice changes nothing.

    Raises
    ------
    ReleaseError : the version is frozen already with another content.
    """
    release = open_release(bundle)
    release.verify()
    installed = find_plugin(str(release.manifest["plugin"]))
    package = package_folder(installed.package)
    folder = package / "releases" / str(release.manifest["version"])
    manifest = release.source(MANIFEST)
    if (folder / MANIFEST).exists() and (folder / MANIFEST).read_bytes() != manifest:
        raise ReleaseError(
            f"{bundle.name} is published with another content",
            advice="A published version never changes: give the plugin a new version.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    _store_weights(release, weight_folders(installed, package)[0])
    names = [name for name in release.members if not name.startswith(WEIGHTS)]
    (folder / CODE_ARCHIVE).write_bytes(pack_zip({name: release.member(name) for name in names}))
    for name in release.attachments:
        place = folder / "attachments" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(release.attachment(name))
    (folder / MANIFEST).write_bytes(manifest)
    return folder


def assemble(plugin: str, plugin_version: str, out: Path) -> Path:
    """Make a published release again into ``out``; the same bytes as when it was published.

    Raises
    ------
    NotFoundError : the version was never published.
    ReleaseTamperedError : a frozen file or a weight file is not what the manifest says.
    """
    installed = find_plugin(plugin)
    package = package_folder(installed.package)
    folder = package / "releases" / plugin_version
    if not (folder / MANIFEST).is_file():
        known = ", ".join(published(plugin)) or "none"
        raise NotFoundError(
            f"expected {plugin} {plugin_version} to be published; published are: {known}"
        )
    label = f"{plugin}-{plugin_version}"
    raw = (folder / MANIFEST).read_bytes()
    manifest = read_manifest(raw, label)
    members = unpack_zip((folder / CODE_ARCHIVE).read_bytes(), f"{CODE_ARCHIVE} of {label}")
    for name, digest in manifest["members"].items():
        if name.startswith(WEIGHTS):
            members[name] = _stored_weight(name, digest, weight_folders(installed, package))
    places = sorted(path for path in (folder / "attachments").rglob("*") if path.is_file())
    attachments = {
        str(path.relative_to(folder / "attachments")): path.read_bytes() for path in places
    }
    path = _write_bundle(out, plugin, plugin_version, pack(raw, members, attachments))
    open_release(path, digest_of(raw)).verify()
    return path


def published(plugin: str) -> tuple[str, ...]:
    """Return the published versions of a plugin, oldest first."""
    releases = package_folder(find_plugin(plugin).package) / "releases"
    names = [path.parent.name for path in releases.glob(f"*/{MANIFEST}")]
    return tuple(sorted((n for n in names if _VERSION.fullmatch(n)), key=_version_key))


def newest_published(plugin: str) -> str:
    """Return the newest published version of a plugin; NotFoundError when there is none."""
    versions = published(plugin)
    if not versions:
        raise NotFoundError(
            f"expected a published version of {plugin}, found none",
            advice=f"Run `osteon release build {plugin} --publish`.",
        )
    return versions[-1]


def published_version(name: str) -> tuple[str, str]:
    """Return plugin and version that ``contouring`` or ``contouring-0.1.1`` names.

    A plugin alone is its newest published version.

    Raises
    ------
    NotFoundError : no such plugin, no published version, or not this one.
    """
    plugin, _, version = name.rpartition("-")
    if not plugin or not _VERSION.fullmatch(version):
        return name, newest_published(name)
    known = published(plugin)
    if version not in known:
        raise NotFoundError(
            f"expected a published version of {plugin} ({', '.join(known)}), found {version}"
        )
    return plugin, version


def _store_weights(release: Release, folder: Path) -> None:
    for name in release.members:
        if name.startswith(WEIGHTS):
            digest = str(release.manifest["members"][name]).removeprefix("sha256:")
            place = folder / f"{digest}{Path(name).suffix}"
            if not place.exists():
                folder.mkdir(parents=True, exist_ok=True)
                place.write_bytes(release.member(name))


def _stored_weight(name: str, digest: str, folders: tuple[Path, ...]) -> bytes:
    wanted = digest.removeprefix("sha256:") + Path(name).suffix
    for folder in folders:
        if (folder / wanted).is_file():
            return (folder / wanted).read_bytes()
    raise ReleaseTamperedError(f"expected weights {wanted} of member {name}, found no such file")


def _write_bundle(out: Path, plugin: str, plugin_version: str, raw: bytes) -> Path:
    path = out / f"{plugin}-{plugin_version}.osteon"
    write_whole(path, raw, make_folder=True)
    return path


def _version_key(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
