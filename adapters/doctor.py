"""The self-test of a site: every connection and part, with what to do about faults.

Each check catches everything, because a fault of one must not hide the others.

Read next: `plugins/host/sandbox.py`, for what the sandbox line means.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from audit.errors import ConfigurationError, DiskFullError, SuiteError

if TYPE_CHECKING:
    from adapters.audit_repository.repository import Repository
    from adapters.compose import Site
    from governance.ports import Deployment

MEBIBYTE = 2**20
QUARTER_DAYS = 92
WEAK = {
    "audit-hook": "a Python hook that stops honest code only",
    "unrestricted": "not restricted: this kernel has no Landlock",
}
"""What `plugins.host.sandbox.confine` reports where the kernel gave nothing better."""


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


def _geometry() -> str:
    from adapters.known_answer import examine_geometry

    found = examine_geometry()
    if not found.passed:
        raise ConfigurationError(f"expected the known geometry back, found {found.words}")
    return found.words


def _checks(site: Site) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "disk", lambda: _disk(site)
    yield "database", site.database.check
    yield "engine database", lambda: _engine(site)
    yield "audit log", lambda: _log(site)
    yield "geometry", _geometry
    for name, archive in sorted(site.archives.items()):
        yield f"pacs {name}", archive.check
    for target in site.targets:
        check = getattr(target, "check", None)
        if check is not None:
            yield f"target {target.name}", check
    for repository in site.repositories:
        yield f"audit repository {repository.name}", partial(_repository, site, repository)
    if site.configuration.incidents.contacts or site.configuration.site.mode == "clinical":
        yield "incident contacts", lambda: _contacts(site)
    if site.configuration.monitoring.named().accounts:
        yield "alarm duties", lambda: _duties(site)
    yield "monitors", lambda: _monitors(site)
    yield "releases", lambda: _releases(site)
    yield "worker", lambda: _worker(site)
    yield "sandbox", lambda: _sandbox(site)


def _disk(site: Site) -> str:
    free = shutil.disk_usage(site.home.root).free // MEBIBYTE
    wanted = site.configuration.limits.free_space_mb
    if free < wanted:
        raise DiskFullError(f"expected at least {wanted} MB free in the home, found {free} MB")
    return f"{free} MB free"


def _log(site: Site) -> str:
    site.log_read("self-test")
    summary = site.verify_log()
    return f"{summary.tree_size} records verified, root {summary.root_hash[:16]}"


def _repository(site: Site, repository: Repository) -> str:
    """Return what the repository says of itself, and how many records wait for it."""
    from adapters.audit_repository.feeder import progress

    said = repository.transport.check()
    (found,) = (item for item in progress(site) if item.name == repository.name)
    return f"{said}; {found.behind} records wait"


def _contacts(site: Site) -> str:
    """Return how many contacts were verified in the last quarter (REGULATORY.md AIA-26.5)."""
    contacts = site.configuration.incidents.contacts
    today = site.now().date()
    old = [
        contact.name
        for contact in contacts
        if contact.verified_on is None or (today - contact.verified_on).days > QUARTER_DAYS
    ]
    if old or not any(contact.role == "provider" for contact in contacts):
        raise ConfigurationError(
            "expected a provider among the incident contacts, and each verified within "
            f"{QUARTER_DAYS} days; not verified: {', '.join(old) or 'none'}",
            advice="Call each contact, then set verified_on in [[incidents.contacts]].",
        )
    return f"{len(contacts)} verified within {QUARTER_DAYS} days"


def _monitors(site: Site) -> str:
    """Return how many items of monitoring plans ran within their window; a fault if one did not."""
    from adapters.monitoring.running import stopped, watched

    found = watched(site)
    late = [item.name for release in found for item in stopped(site, release, site.now())]
    if late:
        raise ConfigurationError(
            f"expected every monitor to have run within its window, found: {', '.join(late)}",
            advice="`osteon serve` runs them each minute; `osteon monitor run` does so once.",
        )
    return f"{sum(len(release.plan.items) for release in found)} items within their window"


def _duties(site: Site) -> str:
    from adapters.monitoring.telling import check_duties

    return check_duties(site)


def _engine(site: Site) -> str:
    """Return whose engine database answers; a file that is not there yet is made by serving."""
    from sqlalchemy import create_engine, inspect, make_url
    from sqlalchemy.exc import SQLAlchemyError

    from adapters.database.faults import translate
    from adapters.engine.serving import settings_of

    try:
        url = make_url(settings_of(site).url)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        name = url.get_backend_name()
        if name == "sqlite" and not Path(url.database or "").exists():
            return "sqlite, made when the site is first served"
        patience = {"connect_timeout": 10} if name == "postgresql" else {}
        engine = create_engine(url, connect_args=patience)
        try:
            with engine.connect() as connection:
                schema = "dbos" if name == "postgresql" else None
                made = inspect(connection).has_table("workflow_status", schema=schema)
        finally:
            engine.dispose()
    except SQLAlchemyError as error:
        raise translate(error) from error
    return f"{name} answers" + ("" if made else "; its tables are made when the site is served")


def _active(site: Site) -> tuple[Deployment, ...]:
    from governance.deployment import active_releases

    section = site.configuration.site
    with site.database.reading() as transaction:
        return active_releases(
            transaction, section.name, site.now(), mode=section.mode,
            certified=site.registry.certified(transaction),
        )  # fmt: skip


def _releases(site: Site) -> str:
    active = _active(site)
    if not active:
        raise ConfigurationError(
            "expected at least one active release, found none",
            advice="Add one (`osteon release add`) and activate it (`osteon governance waive`).",
        )
    return ", ".join(f"{item.plugin} {item.release_digest[7:19]}" for item in active)


def _worker(site: Site) -> str:
    from governance.release import folder_name, verify_unpacked

    active = _active(site)
    for item in active:
        verify_unpacked(site.home.releases / folder_name(item.release_digest))
    return f"{len(active)} active releases verified member by member"


def _sandbox(site: Site) -> str:
    """Start the worker of one active release and return what the kernel holds of it."""
    from plugins.host.runner import ReleaseWorkers

    active, workers = _active(site), site.house.workers
    if not active or not isinstance(workers, ReleaseWorkers):
        return "not examined: no release is active"
    held = workers.protection(active[0].release_digest)
    words = (
        f"{key}: {WEAK.get(held[key], held[key])}" for key in ("network", "files", "processes")
    )
    return f"worker of {active[0].plugin} started; " + ", ".join(words)
