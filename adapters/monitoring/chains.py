"""Chains: where one plugin's runs were fed by another, the second shows how the first stands.

A run was fed by another where one of its input objects is that run's, or is what a person approved
in its place (a drift that people stopped correcting passes through an approval).  What a manifest
declares (`from_plugin`) counts before there is a run.

What it cannot see: an object that came by another way, such as a copy with new UIDs.

Source: Regulation (EU) 2024/1689 Art. 72(2) (interaction with other AI systems); REGULATORY.md
row AIA-72.1 (A's error surfaces in B's report).

Read next: `standing.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.database.chains import Given, given
from adapters.monitoring.running import AT_WORK
from adapters.monitoring.standing import Line, lines_of
from audit.errors import NotFoundError
from governance.monitoring.reevaluation import KIND, OPEN
from governance.monitoring.state import ALARMED
from governance.ports import GovernedDocument

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction
    from plugins.host.ports import RunRequest

LOOKED_AT = 200
"""Newest runs of the second plugin whose inputs are looked at."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A release that feeds another, and how it stands.

    Parameters
    ----------
    runs : (way, number of runs of the second release that it fed so).
    alarms : its open re-evaluation items.
    lines : its monitors; those that alarmed or stopped come first.
    """

    plugin: str
    release_digest: str
    runs: tuple[tuple[str, int], ...]
    alarms: tuple[GovernedDocument, ...]
    lines: tuple[Line, ...]

    @property
    def is_drifting(self) -> bool:
        """Return whether an alarm of it is open or a monitor of it has alarmed."""
        return bool(self.alarms) or any(line.condition == ALARMED for line in self.lines)


def upstream_of(site: Site, release_digest: str) -> tuple[Upstream, ...]:
    """Return every release that feeds a release here, by what its newest runs were given."""
    with site.database.reading() as transaction:
        counted = fed_counts(transaction, transaction.newest_given(release_digest, LOOKED_AT))
        for plugin in declared(site, release_digest):
            for one in transaction.deployments(plugin):
                is_here = one.state in AT_WORK and one.site == site.configuration.site.name
                if is_here and one.release_digest != release_digest:
                    counted.setdefault((plugin, one.release_digest), Counter())
    return _standings(site, counted)


def feeding(site: Site, request: RunRequest) -> tuple[Upstream, ...]:
    """Return the releases that fed one run, and how they stand now."""
    with site.database.reading() as transaction:
        counted = fed_counts(transaction, [given(request)])
    return _standings(site, counted)


def fed_counts(
    transaction: Transaction,
    runs: Sequence[Given],
    known: Collection[tuple[str, str]] | None = None,
) -> dict[tuple[str, str], Counter[str]]:
    """Return for each release how many of some runs it fed, by way.

    Parameters
    ----------
    known : (run id, way) of what may count as feeding; all without.
    """
    counted: dict[tuple[str, str], Counter[str]] = {}
    for run_id, fed in transaction.fed_by(runs).items():
        seen = {
            (one.plugin, one.release_digest, one.how)
            for one in fed
            if one.run_id != run_id and (known is None or (one.run_id, one.how) in known)
        }
        for plugin, digest, how in seen:
            counted.setdefault((plugin, digest), Counter())[how] += 1
    return counted


def declared(site: Site, release_digest: str) -> tuple[str, ...]:
    """Return the plugins that a release says it takes results of."""
    try:
        manifest = site.registry.manifest(release_digest)
    except NotFoundError:
        return ()
    return tuple(sorted({item.from_plugin for item in manifest.inputs if item.from_plugin}))


def _standings(site: Site, counted: Mapping[tuple[str, str], Counter[str]]) -> tuple[Upstream, ...]:
    return tuple(
        _standing(site, plugin, digest, tuple(sorted(ways.items())))
        for (plugin, digest), ways in sorted(counted.items())
    )


def _standing(site: Site, plugin: str, digest: str, ways: tuple[tuple[str, int], ...]) -> Upstream:
    with site.database.reading() as transaction:
        alarms = [
            item
            for item in transaction.governed_all(KIND)
            if item.content["state"] == OPEN and item.content["release_digest"] == digest
        ]
    try:
        lines = lines_of(site, digest)
    except NotFoundError:  # the release is not registered here any more
        lines = ()
    ordered = sorted(lines, key=lambda line: (line.condition != ALARMED, -line.nearest))
    alarms.sort(key=lambda item: item.name)
    return Upstream(plugin, digest, ways, tuple(alarms), tuple(ordered))
