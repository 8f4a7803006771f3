"""The self-test of a site: every connection and part, with what to do about faults.

Each check catches everything, because a fault of one must not hide the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit.errors import ConfigurationError, DiskFullError, SuiteError

if TYPE_CHECKING:
    from adapters.compose import Site

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the self-test."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


def examine(site: Site) -> tuple[Check, ...]:
    """Return the result of every check."""
    return tuple(_try(name, function) for name, function in _checks(site))


def _try(name: str, function: Callable[[], str]) -> Check:
    try:
        return Check(name, True, function())
    except SuiteError as error:
        return Check(name, False, f"{error.code}: {error}", error.advice)
    except Exception as error:  # broad: an unknown fault is a fault, and is shown as one
        return Check(name, False, type(error).__name__, "Send this to the maintainer.")


def _checks(site: Site) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "disk", lambda: _disk(site)
    yield "database", site.database.check
    yield "audit log", lambda: _log(site)
    for name, archive in sorted(site.archives.items()):
        yield f"pacs {name}", archive.check
    for target in site.targets:
        check = getattr(target, "check", None)
        if check is not None:
            yield f"target {target.name}", check
    yield "releases", lambda: _releases(site)
    yield "worker", lambda: _worker(site)


def _disk(site: Site) -> str:
    free = shutil.disk_usage(site.home.root).free // MEBIBYTE
    wanted = site.configuration.limits.free_space_mb
    if free < wanted:
        raise DiskFullError(f"expected at least {wanted} MB free in the home, found {free} MB")
    return f"{free} MB free"


def _log(site: Site) -> str:
    summary = site.verify_log()
    return f"{summary.tree_size} records verified, root {summary.root_hash[:16]}"


def _releases(site: Site) -> str:
    from governance.deployment import active_releases

    section = site.configuration.site
    with site.database.reading() as transaction:
        active = active_releases(transaction, section.name, site.now(), mode=section.mode)
    if not active:
        raise ConfigurationError(
            "expected at least one active release, found none",
            advice="Add one (`osteon release add`) and activate it (`osteon governance waive`).",
        )
    return ", ".join(f"{item.plugin} {item.release_digest[7:19]}" for item in active)


def _worker(site: Site) -> str:
    from governance.deployment import active_releases
    from governance.release import folder_name, verify_unpacked

    section = site.configuration.site
    with site.database.reading() as transaction:
        active = active_releases(transaction, section.name, site.now(), mode=section.mode)
    for item in active:
        verify_unpacked(site.home.releases / folder_name(item.release_digest))
    return f"{len(active)} active releases verified member by member"
