"""A release as the hall uses it: its manifest, its code, its weights, all verified.

`load_release_folder` reads an unpacked release (``releases/<digest hex>/`` of the home);
`ReleaseFolders` is all of them; `ReleaseArtifact` is what a plugin's ``load`` receives.

Read next: `released_code.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.errors import HostApiError, ReleaseError
from governance.release import Release, folder_name, open_unpacked, verify_unpacked
from plugins.host import HOST_API
from plugins.host.manifest import Manifest, decode

CODE = "code/"
WEIGHTS = "weights/"
SUITE_ROOMS = ("adapters", "validation", "governance", "audit", "plugins.host")
_ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class LoadedRelease:
    """One release of which every byte was verified.

    Parameters
    ----------
    entry_point : ``package.module:Class`` of the plugin inside the released code.
    pins : distribution name -> version that the release was built with.
    """

    digest: str
    manifest: Manifest
    entry_point: str
    pins: Mapping[str, str]
    release: Release

    def sources(self) -> dict[str, bytes]:
        """Return the released code: path below ``code/`` -> verified bytes."""
        names = [name for name in self.release.members if name.startswith(CODE)]
        return {name.removeprefix(CODE): self.release.member(name) for name in names}


def load_release_folder(folder: Path) -> LoadedRelease:
    """Return the release in ``folder`` after reading and verifying every byte of it.

    Raises
    ------
    NotFoundError : there is no such folder.
    ReleaseTamperedError : a byte differs from the manifest; the member is named.
    HostApiError : the release was built for another host interface.
    ReleaseError : the manifest does not describe a plugin that this host can run.
    """
    return _loaded(verify_unpacked(folder))


def check_host_api(release: Release) -> None:
    """Return when this suite can run the release; say in plain words why it cannot.

    Raises
    ------
    HostApiError : the release was built for another host interface, or states none.
    """
    found = release.manifest.get("host_api")
    if found == HOST_API and not isinstance(found, bool):
        return
    plugin, version = release.manifest["plugin"], release.manifest["version"]
    built_by = release.manifest.get("built_by", "an unknown suite")
    if not isinstance(found, int) or isinstance(found, bool):
        words, advice = "it states none", "Build the release again with this suite."
    elif found > HOST_API:
        words = "it is newer than this suite"
        advice = f"Install a suite that offers host interface {found}; {built_by} built it."
    else:
        words = "this suite has moved on"
        advice = "Build the plugin again with this suite, as a new version; or keep the old suite."
    raise HostApiError(
        f"release {release.digest} ({plugin} {version}) was built for host interface {found} "
        f"and this suite offers {HOST_API}: {words}",
        advice=advice,
    )


def _loaded(release: Release) -> LoadedRelease:
    document = release.manifest
    check_host_api(release)
    entry_point = document.get("entry_point")
    if not isinstance(entry_point, str) or not _ENTRY_POINT.fullmatch(entry_point):
        raise ReleaseError(f"release {release.digest}: expected an entry point, found none")
    pins = _pins(document.get("runtime"))
    loaded = LoadedRelease(release.digest, decode(document), entry_point, pins, release)
    for name in release.members:
        room = name.removeprefix(CODE).replace("/", ".")
        if name.startswith(CODE) and room.startswith(tuple(f"{own}." for own in SUITE_ROOMS)):
            raise ReleaseError(f"release {release.digest}: member {name} belongs to the suite")
    return loaded


def _pins(runtime: Any) -> dict[str, str]:
    pins = runtime.get("pins", {}) if isinstance(runtime, Mapping) else {}
    return {str(name): str(version) for name, version in pins.items()}


class ReleaseFolders:
    """The unpacked releases of a home; fulfils the port `Releases`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, release_digest: str) -> Path:
        """Return where the release lies, or would lie."""
        return self._root / folder_name(release_digest)

    def manifest(self, release_digest: str) -> Manifest:
        """Return the plugin manifest of a release; NotFoundError if unknown.

        Only manifest.json is verified here; the worker verifies the rest before it loads.
        """
        return decode(open_unpacked(self.folder(release_digest)).manifest)

    def load(self, release_digest: str) -> LoadedRelease:
        """Return the release with every byte verified."""
        return load_release_folder(self.folder(release_digest))

    def digests(self) -> tuple[str, ...]:
        """Return the digests of all releases here, sorted."""
        if not self._root.is_dir():
            return ()
        names = (path.name for path in self._root.iterdir())
        return tuple(sorted(f"sha256:{n}" for n in names if re.fullmatch(r"[0-9a-f]{64}", n)))


class ReleaseArtifact:
    """The release as its own code sees it; fulfils the protocol `Artifact`."""

    def __init__(self, loaded: LoadedRelease) -> None:
        self.digest = loaded.digest
        self._release = loaded.release

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Return the release's whole manifest as JSON values, to be read only."""
        return self._release.manifest

    def weights(self, name: str) -> bytes:
        """Return the verified bytes of one weight file that the manifest lists."""
        return self._release.member(WEIGHTS + name)
