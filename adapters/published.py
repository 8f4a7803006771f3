"""Releases that come with the suite, and the waiver that makes one active in research mode.

A published version is frozen in the repository; it is assembled again bit for bit, signed
with this site's release key (who installed the suite trusts what it shipped) and added.

Read next: `release_builder.py`, `governance/deployment.py`.
"""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.change.origins import compare
from adapters.governance.acts import waive
from adapters.governance.persons import DEMONSTRATOR
from adapters.keys import SiteKeys
from adapters.release_builder import assemble, published_version
from adapters.release_members import package_folder
from adapters.writing import writing
from governance.ports import Deployment
from governance.release import MANIFEST, attach, digest_of, folder_name, open_release
from governance.signing import FOLDER, sign
from plugins.host.discovery import find_plugin

if TYPE_CHECKING:
    from adapters.compose import Site

DEMO_WAIVER = timedelta(days=30)


def sign_bundle(keys: SiteKeys, bundle: Path, now: datetime) -> Path:
    """Add this site's signature to a bundle, outside its digest, and return its path.

    Raises
    ------
    StorageError : the bundle cannot be written; it is as it was.
    """
    release = open_release(bundle)
    release.verify()
    signature = sign(release.digest, keys.release, keys.release_key_id, "release", now)
    with writing(bundle):
        attach(bundle, f"{FOLDER}{keys.release_key_id}.json", signature)
    return bundle


def add_newest(
    site: Site, plugin: str, bundle: Path | None = None, *, person: str = "service:osteon"
) -> str:
    """Add the newest published release of a plugin, the published one that is named with its
    version (``contouring-0.1.1``), or a given bundle; return its digest."""
    if bundle is not None:
        digest = site.registry.add(bundle, person=person).digest
        compare(site, digest, person)
        return digest
    plugin, version = published_version(plugin)
    digest = published_digest(plugin, version)
    if _lies_here(site, plugin, digest):
        return digest
    with tempfile.TemporaryDirectory() as folder:
        path = sign_bundle(site.keys, assemble(plugin, version, Path(folder)), site.now())
        site.registry.add(path, person=person)
    compare(site, digest, person)
    return digest


def published_digest(plugin: str, version: str) -> str:
    """Return the release digest of a published version, without assembling it."""
    folder = package_folder(find_plugin(plugin).package) / "releases" / version
    return digest_of((folder / MANIFEST).read_bytes())


def _lies_here(site: Site, plugin: str, digest: str) -> bool:
    """Tell whether a release is registered under this site's name and unpacked in its home."""
    with site.database.reading() as transaction:
        names = {
            item.site
            for item in transaction.deployments(plugin)
            if item.release_digest == digest and transaction.release(digest) is not None
        }
    unpacked = (site.home.releases / folder_name(digest)).is_dir()
    return unpacked and site.configuration.site.name in names


def activate_newest(site: Site, plugin: str, *, reason: str) -> Deployment:
    """Add the newest published release and make it active by a recorded waiver."""
    digest = add_newest(site, plugin)
    with site.database.reading() as transaction:
        for item in transaction.deployments(plugin):
            if item.release_digest == digest and item.state == "active":
                return item
    return waive(site, digest, DEMONSTRATOR, reason, DEMO_WAIVER)
