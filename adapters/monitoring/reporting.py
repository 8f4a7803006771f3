"""Make the periodic reports of a release from the log up to a size, the same bytes each time.

What counts is what the first N records of the log say: runs that closed, assessments, revisions
of alarms and of the plan (`log_reading.py`).  The numbers of a study come from its stored
statistics, which never change and whose digest is in the record.  The signature bears the time of
the last record.  JSON, HTML and PDF are the same bytes again; the PDF with the same fonts.

Read next: `governance/monitoring/periodic.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.documents.report_html import report_html
from adapters.documents.report_pdf import report_pdf
from adapters.monitoring.chains import fed_counts
from adapters.monitoring.log_reading import LogReading, read_log
from adapters.monitoring.outcomes import KIND as OUTCOMES
from adapters.monitoring.performance import performance_of
from adapters.monitoring.plans import plan_of
from adapters.writing import write_whole
from audit import canonical
from audit.errors import NotFoundError
from audit.merkle import read_frontier
from governance.monitoring import plan as plans
from governance.monitoring.fatigue import episodes, fatigue
from governance.monitoring.periodic import POST_MARKET, Evidence, facts, report
from governance.monitoring.plan import INPUT, Plan
from governance.monitoring.reevaluation import KIND, OPEN
from governance.monitoring.state import chosen
from governance.ports import GovernedDocument
from governance.sealed import seal, unsealed
from plugins.host.observation import stored

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

UPSTREAM_ALARM = ("item", "reason", "state", "decision", "opened_at")
NAMES = {POST_MARKET: "report"}
"""File names of reports that are not called like their kind."""


def make_report(
    site: Site,
    release_digest: str,
    size: int | None = None,
    *,
    kind: str = POST_MARKET,
    after: int = 0,
) -> dict[str, Any]:
    """Return the sealed facts of a release from the first ``size`` records; all without.

    Parameters
    ----------
    kind : one of `governance.monitoring.periodic.KINDS`.
    after : records of earlier periods; what they say of runs, reviews and acts is left out.

    Raises
    ------
    NotFoundError : the log has no record yet, or fewer than asked for.
    """
    site.seal()
    with site.database.reading() as transaction:
        whole = transaction.tree_size()
        size = whole if size is None else size
        if not 0 <= after < size <= whole:
            raise NotFoundError(
                f"expected 1 to {whole} records of the log, found {after} to {size}"
            )
        row = site.registry.row(release_digest)
        found = read_log(transaction, release_digest, size, after)
        assert found.until is not None
        plan = _plan(site, transaction, row.plugin, release_digest, found.governed)
        about = {
            "site": site.configuration.site.name,
            "plugin": row.plugin,
            "version": row.version,
            "release_digest": release_digest,
            "log": {
                "size": size,
                "after": after,
                "root_hash": read_frontier(size, transaction.nodes).root().hex(),
                "until": found.until.isoformat(),
            },
        }
        content = facts(about, plan, _evidence(transaction, release_digest, plan, found), kind)
    plain = canonical.decode(canonical.encode(json.loads(json.dumps(content))))
    return seal(plain, site.keys.sealer, found.until)


def write_report(
    document: Mapping[str, Any], folder: Path, *, pdf: bool = False
) -> tuple[Path, ...]:
    """Write a report as signed JSON and as a page, with ``pdf`` printed too; return the files.

    Raises
    ------
    ConfigurationError : WeasyPrint is not installed; JSON and page are written.
    """
    name = NAMES.get(str(document["kind"]), str(document["kind"]))
    html = report_html(report(unsealed(document)))
    paths = folder / f"{name}.json", folder / f"{name}.html"
    write_whole(paths[0], canonical.encode(dict(document)), make_folder=True)
    write_whole(paths[1], html.encode())
    if not pdf:
        return paths
    printed = folder / f"{name}.pdf"
    write_whole(printed, report_pdf(html))
    return (*paths, printed)


def _evidence(
    transaction: Transaction, release_digest: str, plan: Plan, found: LogReading
) -> Evidence:
    assert found.until is not None
    alarms = [
        alarm
        for alarm in _alarms(transaction, release_digest, found.governed)
        if found.from_at is None
        or alarm[0].recorded_at > found.from_at
        or alarm[-1].content["state"] == OPEN
    ]
    since = found.since if found.from_at is None else found.from_at
    return Evidence(
        runs=[(month, status) for _, month, status in found.runs],
        alarms=[alarm[-1].content for alarm in alarms],
        fatigue=fatigue(alarms, found.until, since),
        figures=found.figures,
        numbers=_numbers(transaction, plan, found),
        overrides=found.overrides,
        subjects=found.subjects,
        incidents=sorted(found.incidents.values()),
        acts=found.acts,
        chain=_chain(transaction, found),
        performance=_performance(transaction, release_digest, plan, found),
    )


def _alarms(
    transaction: Transaction, release_digest: str, recorded: set[str]
) -> list[tuple[GovernedDocument, ...]]:
    """Return the alarms of a release, each as far as the log tells it, oldest first."""
    found: list[tuple[GovernedDocument, ...]] = []
    for item in transaction.governed_all(KIND):
        if item.content["release_digest"] == release_digest:
            history = transaction.governed_history(KIND, item.name)
            found += episodes([one for one in history if one.digest in recorded])
    return sorted(found, key=lambda alarm: (alarm[0].recorded_at, alarm[0].name))


def _chain(transaction: Transaction, found: LogReading) -> list[dict[str, Any]]:
    """Return the releases that fed the runs of the log, with their alarms as the log has them."""
    runs = transaction.given_of([run_id for run_id, _, _ in found.runs])
    return [
        {
            "plugin": plugin,
            "release_digest": digest,
            "runs": dict(sorted(ways.items())),
            "alarms": [
                {key: alarm[-1].content.get(key, "") for key in UPSTREAM_ALARM}
                for alarm in _alarms(transaction, digest, found.governed)
            ],
        }
        for (plugin, digest), ways in sorted(fed_counts(transaction, runs, found.feeding).items())
    ]


def _performance(
    transaction: Transaction, release_digest: str, plan: Plan, found: LogReading
) -> list[dict[str, Any]]:
    """Return the labelled performance by the outcomes whose import the log knows."""
    assert found.until is not None
    files = {
        str(document.content["sha256"])
        for item in transaction.governed_all(OUTCOMES)
        for document in transaction.governed_history(OUTCOMES, item.name)
        if document.digest in found.governed
    }
    told = performance_of(transaction, release_digest, plan, found.until, files)
    return [
        {
            "item": one.item,
            "known": len(one.arrivals.cases),
            "waiting": one.arrivals.waiting,
            "missing": one.arrivals.missing,
            "blocks": [asdict(block) for block in one.blocks],
        }
        for one in told
    ]


def _plan(
    site: Site, transaction: Transaction, plugin: str, release_digest: str, recorded: set[str]
) -> Plan:
    history = transaction.governed_history(plans.KIND, release_digest)
    told = [document for document in history if document.digest in recorded]
    if told:
        return plans.decode(told[-1].content)
    return plan_of(site, transaction, plugin, release_digest, shipped=True)


def _numbers(transaction: Transaction, plan: Plan, log: LogReading) -> dict[str, list[float]]:
    patterns = [name for item in plan.items if item.metric == INPUT for name in item.data]
    found: dict[str, list[float]] = {}
    for run_id, _, _ in log.runs:
        for row in transaction.statistics(run_id):
            numbers = stored(run_id, json.loads(row.statistics)).numbers
            for name in chosen(tuple(numbers), patterns):
                found.setdefault(name, []).append(float(numbers[name]))
    return found
