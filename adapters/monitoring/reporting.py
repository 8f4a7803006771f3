"""Make the periodic report of a release from the log up to a size, the same bytes each time.

What counts is what the first N records of the log say: runs that closed, assessments, revisions
of alarms and of the plan.  The numbers of a study come from its stored statistics, which never
change and whose digest is in the record.  The signature bears the time of the last record.

Read next: `governance/monitoring/periodic.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.documents.report_html import report_html
from adapters.monitoring.plans import plan_of
from audit import canonical
from audit.errors import NotFoundError
from audit.merkle import read_frontier
from audit.record import decode
from governance.monitoring import plan as plans
from governance.monitoring.periodic import facts, report
from governance.monitoring.plan import INPUT, Plan
from governance.monitoring.reevaluation import KIND, fatigue
from governance.monitoring.watch import chosen
from governance.ports import GovernedDocument
from governance.sealed import seal, unsealed
from plugins.host.observation import stored

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

JSON_NAME, HTML_NAME = "report.json", "report.html"


@dataclass
class _Read:
    """What the log says of a release."""

    runs: list[tuple[str, str]] = field(default_factory=list)
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    governed: set[str] = field(default_factory=set)
    until: datetime | None = None


def make_report(site: Site, release_digest: str, size: int | None = None) -> dict[str, Any]:
    """Return the sealed facts of a release from the first ``size`` records; all without.

    Raises
    ------
    NotFoundError : the log has no record yet, or fewer than asked for.
    """
    site.seal()
    with site.database.reading() as transaction:
        whole = transaction.tree_size()
        size = whole if size is None else size
        if not 0 < size <= whole:
            raise NotFoundError(f"expected 1 to {whole} records of the log, found {size}")
        row = site.registry.row(release_digest)
        found = _read(transaction, release_digest, size)
        assert found.until is not None
        histories = _histories(transaction, release_digest, found.governed)
        plan = _plan(site, transaction, row.plugin, release_digest, found.governed)
        content = facts(
            {
                "site": site.configuration.site.name,
                "plugin": row.plugin,
                "version": row.version,
                "release_digest": release_digest,
                "log": {
                    "size": size,
                    "root_hash": read_frontier(size, transaction.nodes).root().hex(),
                    "until": found.until.isoformat(),
                },
            },
            plan,
            [status for _, status in found.runs],
            [history[-1].content for history in histories],
            fatigue(histories, found.until),
            found.figures,
            _numbers(transaction, plan, found.runs),
        )
    plain = canonical.decode(canonical.encode(json.loads(json.dumps(content))))
    return seal(plain, site.keys.sealer, found.until)


def write_report(document: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write a report as signed JSON and as a page, and return both files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / JSON_NAME, folder / HTML_NAME
    paths[0].write_bytes(canonical.encode(dict(document)))
    paths[1].write_text(report_html(report(unsealed(document))), "utf-8")
    return paths


def _read(transaction: Transaction, release_digest: str, size: int) -> _Read:
    found = _Read()
    for leaf in transaction.leaves(0, size):
        if leaf.kind not in ("run_closed", "assessment", "governed"):
            continue
        record = decode(leaf.leaf)
        if record.kind == "governed":
            found.governed.add(str(record.body["sha256"]))
        elif record.release_digest != release_digest:
            continue
        elif record.kind == "run_closed":
            found.runs.append((str(record.run_id), str(record.body["status"])))
        elif isinstance(record.body["figures"], Mapping):
            by_name = found.figures.setdefault(str(record.body["structure"]), {})
            for name, value in record.body["figures"].items():
                if isinstance(value, (int, float)):
                    by_name.setdefault(name, []).append(float(value))
    last = next(iter(transaction.leaves(size - 1, size)))
    found.until = decode(last.leaf).recorded_at
    return found


def _histories(
    transaction: Transaction, release_digest: str, recorded: set[str]
) -> list[list[GovernedDocument]]:
    """Return the re-evaluations of a release, each as far as the log tells it."""
    found = []
    for item in transaction.governed_all(KIND):
        if item.content["release_digest"] != release_digest:
            continue
        history = [
            document
            for document in transaction.governed_history(KIND, item.name)
            if document.digest in recorded
        ]
        if history:
            found.append(history)
    return sorted(found, key=lambda history: (history[0].recorded_at, history[0].name))


def _plan(
    site: Site, transaction: Transaction, plugin: str, release_digest: str, recorded: set[str]
) -> Plan:
    history = transaction.governed_history(plans.KIND, release_digest)
    told = [document for document in history if document.digest in recorded]
    if told:
        return plans.decode(told[-1].content)
    return plan_of(site, transaction, plugin, release_digest, shipped=True)


def _numbers(
    transaction: Transaction, plan: Plan, runs: list[tuple[str, str]]
) -> dict[str, list[float]]:
    patterns = [name for item in plan.items if item.metric == INPUT for name in item.data]
    found: dict[str, list[float]] = {}
    for run_id, _ in runs:
        for row in transaction.statistics(run_id):
            numbers = stored(run_id, json.loads(row.statistics)).numbers
            for name in chosen(tuple(numbers), patterns):
                found.setdefault(name, []).append(float(numbers[name]))
    return found
