"""Which releases the geometry test is made with, when, and what it leads to.

A release that outlines the phantom's lesion is tried before it enters clinical use
(`PluginGeometryGate`) and once a day while it is in use; what misplaces stops its plugin in
clinical mode.  A process tries a release once for a gate: the same bytes answer the same.

Read next: `phantom_roles.py`, `plugin_geometry.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import structlog

from adapters.governance.persons import GUARDIAN
from adapters.governance.stopping import stop
from adapters.phantom_roles import outlines_the_phantom
from adapters.registry import ReleaseRegistry
from governance.canary import COURSE_STATES
from governance.known_answer import PLUGIN_FAILED, PluginAnswer
from governance.stops import stop_of
from plugins.host.manifest import Manifest
from plugins.host.runner import ReleaseWorkers

if TYPE_CHECKING:
    from adapters.compose import Site

DAY = timedelta(days=1)
_PATIENCE = 5.0
_tried: dict[str, PluginAnswer] = {}
_lock = Lock()
_log = structlog.get_logger(__name__)


def try_release(releases: Path, digest: str, manifest: Manifest) -> PluginAnswer:
    """Return where a release that lies unpacked puts the lesions of all presentations."""
    from adapters.plugin_geometry import examine_plugin, presentations

    with ReleaseWorkers(releases, patience=_PATIENCE) as workers:
        return PluginAnswer(examine_plugin(manifest, digest, workers, presentations()))


def known_geometry(
    registry: ReleaseRegistry, releases: Path
) -> Callable[[str], PluginAnswer | None]:
    """Return the test of a release by its digest; None where it outlines no such lesion."""

    def test(digest: str) -> PluginAnswer | None:
        manifest = registry.manifest(digest)
        if not outlines_the_phantom(manifest):
            return None
        with _lock:
            if digest not in _tried:
                _tried[digest] = try_release(releases, digest, manifest)
            return _tried[digest]

    return test


def watch_releases(
    site: Site, test: Callable[[str], PluginAnswer | None] | None = None
) -> tuple[str, ...]:
    """Try every release in use whose last test is a day old; return those that misplace.

    The first look at a release only notes the time: its activation has just tried it.
    """
    failed = []
    for digest, plugin in _due(site):
        manifest = site.registry.manifest(digest)
        if test is None and not outlines_the_phantom(manifest):
            continue
        found = test(digest) if test else try_release(site.home.releases, digest, manifest)
        if found is None or found.passed:
            continue
        failed.append(digest)
        _log.error("release misplaces", plugin=plugin, found=found.words)
        with site.database.reading() as transaction:
            stopped = stop_of(transaction, plugin) is not None
        if site.configuration.site.mode == "clinical" and not stopped:
            stop(site, plugin, GUARDIAN, PLUGIN_FAILED)
    return tuple(failed)


def _due(site: Site) -> list[tuple[str, str]]:
    """Return digest and plugin of releases to be tried now, and note that they are."""
    now, due = site.now(), []
    with site.database.transaction() as transaction:
        for item in transaction.deployments():
            if item.state not in COURSE_STATES:
                continue
            name = f"geometry:{item.release_digest}"
            last = transaction.cursor(name)
            if last and now - datetime.fromisoformat(last) < DAY:
                continue
            transaction.set_cursor(name, now.isoformat())
            if last:
                due.append((item.release_digest, item.plugin))
    return due
