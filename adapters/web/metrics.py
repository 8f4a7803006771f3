"""Health and metrics: what an operator's monitoring reads.

Metric names follow the Prometheus conventions (base units, ``_total`` for counters); they
carry plugin and status, never a patient.
"""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from adapters.audit_repository.feeder import progress
from adapters.monitoring.standing import standing
from audit.errors import SuiteError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from adapters.compose import Site

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def token_matches(request: Request, token: SecretStr) -> bool:
    """Return whether a request carries the configured bearer token; no token, no metrics."""
    wanted = token.get_secret_value()
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return bool(wanted) and secrets.compare_digest(wanted.encode(), given.encode())


def health(site: Site) -> Response:
    """Return the health of this process: 503 when the database does not answer."""
    try:
        with site.database.reading() as transaction:
            transaction.tree_size()
    except SuiteError:
        return JSONResponse({"status": "database"}, 503)
    free_mb = shutil.disk_usage(site.home.root).free // 2**20
    enough = free_mb >= site.configuration.limits.free_space_mb
    failing = {
        item.name: {"behind": item.behind, "since": f"{item.failing_since:%FT%TZ}"}
        for item in progress(site)
        if item.failing_since is not None
    }
    status = "disk-low" if not enough else "audit-repository" if failing else "ok"
    found: dict[str, object] = {"status": status, "mode": site.configuration.site.mode}
    return JSONResponse(found | ({"audit_repositories": failing} if failing else {}))


def exposition(site: Site) -> Response:
    """Return the metrics in the Prometheus text format; 503 when the database is silent."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_SiteCollector(site))
    try:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE)
    except SuiteError as error:
        return PlainTextResponse(f"{error.code}\n", 503)


class _SiteCollector:
    """Reads the metrics from the site database, so that every process tells the same."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        with self.site.database.reading() as transaction:
            counts = transaction.run_counts()
            versions = {row.digest: row.version for row in transaction.releases()}
            tree_size = transaction.tree_size()
            states = transaction.delivery_counts()
        runs = GaugeMetricFamily(
            "osteon_runs",
            "Runs by plugin, release and status.",
            labels=("plugin", "version", "status"),
        )
        run_counts: Counter[tuple[str, str, str]] = Counter()
        spent: dict[str, float] = {}
        for (plugin, digest, status), (count, spent_s) in counts.items():
            run_counts[(plugin, versions.get(digest, "unknown"), status)] += count
            spent[plugin] = spent.get(plugin, 0.0) + spent_s
        for labels, count in sorted(run_counts.items()):
            runs.add_metric(labels, count)
        yield runs
        seconds = CounterMetricFamily(
            "osteon_worker_seconds", "Time spent in workers by plugin.", labels=("plugin",)
        )
        for plugin, total in sorted(spent.items()):
            seconds.add_metric((plugin,), total)
        yield seconds
        deliveries = GaugeMetricFamily(
            "osteon_deliveries", "Documents by target and state.", labels=("target", "state")
        )
        for (target, state), count in sorted(states.items()):
            deliveries.add_metric((target, state), count)
        yield deliveries
        yield GaugeMetricFamily("osteon_audit_tree_size", "Records in the audit tree.", tree_size)
        yield from _repositories(self.site)
        yield from _monitors(self.site)
        free = shutil.disk_usage(self.site.home.root).free
        yield GaugeMetricFamily("osteon_disk_free_bytes", "Free space of the home.", free)


def _repositories(site: Site) -> Iterator[Metric]:
    """Yield how far each audit repository is behind."""
    from prometheus_client.core import GaugeMetricFamily

    behind = GaugeMetricFamily(
        "osteon_audit_repository_behind_records",
        "Records that an audit repository is not known to have.",
        labels=("repository",),
    )
    failures = GaugeMetricFamily(
        "osteon_audit_repository_failures",
        "Attempts in a row that failed, by audit repository.",
        labels=("repository",),
    )
    for item in progress(site):
        behind.add_metric((item.name,), item.behind)
        failures.add_metric((item.name,), item.failures)
    yield behind
    yield failures


def _monitors(site: Site) -> Iterator[Metric]:
    """Yield how the items of the monitoring plans stand, and how many alarms are open."""
    from prometheus_client.core import GaugeMetricFamily

    found = standing(site)
    items = GaugeMetricFamily(
        "osteon_monitor_items",
        "Items of monitoring plans by plugin and condition; not-run and stopped see nothing.",
        labels=("plugin", "condition"),
    )
    for labels, count in sorted(Counter((i.plugin, i.condition) for i in found.lines).items()):
        items.add_metric(labels, count)
    yield items
    alarms = GaugeMetricFamily(
        "osteon_alarms_open", "Alarms of monitors without a decision.", labels=("plugin",)
    )
    opened = Counter(str(item.content["plugin"]) for item in found.open_items)
    for plugin in sorted({line.plugin for line in found.lines} | set(opened)):
        alarms.add_metric((plugin,), opened[plugin])
    yield alarms
