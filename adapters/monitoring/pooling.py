"""Give the evidence of a release away without a case, signed and on record; pool that of sites.

    osteon monitor export RELEASE --to EU -o FILE      at each site, by month
    osteon monitor pool FILE...                        at one of them, or at the manufacturer

What is given is recomputed from the runs each time and only ever grows by whole blocks.  A pinned
site refuses another region at the export, on record; the pool refuses it once more.

Read next: `governance/monitoring/pooling.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.governance.persons import Person
from adapters.keys import signing_key
from adapters.monitoring.plans import PLANNERS, plan_of, window_of
from adapters.monitoring.reading import BATCH, SETTLED, observed
from audit import canonical
from audit.errors import ConfigurationError, RefusalError, SuiteError
from audit.kinds import NOT_EVALUATED
from governance.monitoring import plan as plans
from governance.monitoring.plan import Item
from governance.monitoring.pooling import (
    LEAST_PATIENTS,
    Block,
    Case,
    Pooled,
    blocks,
    can_be_pooled,
    histogram,
    pool,
)
from governance.monitoring.reference import Observation, ReferenceWindow
from governance.monitoring.strata import NOT_KNOWN, key
from governance.monitoring.watch import Watch, build, value_of
from governance.regions import Region, require_may_leave
from governance.release import digest_of
from governance.sealed import Sealer, open_sealed, seal
from governance.signing import TrustedKey

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

SCHEMA = "osteon.pms_aggregate/1"
PURPOSE = "plan"
_MONTH = "%Y-%m"


@dataclass(frozen=True, slots=True)
class Given:
    """What one site gave, after its signature, form and region were looked at."""

    site: str
    release_digest: str
    by: str
    items: Mapping[str, tuple[Item, tuple[Block, ...]]]


@dataclass(frozen=True, slots=True)
class Result:
    """What an item says pooled, and each site's own evidence over the same threshold."""

    item: Item
    pooled: Pooled
    alone: Mapping[str, Pooled]


def region_of(site: Site) -> Region:
    """Return where a site stands."""
    section = site.configuration.site
    return Region(section.region, section.region_pinned)


def export_aggregate(site: Site, release_digest: str, person: Person, to: str) -> bytes:
    """Return the evidence of a release, signed by this site; that it leaves is on record.

    Parameters
    ----------
    to : region of the place where it is pooled.

    Raises
    ------
    RefusalError : the role may not (ROLE_NOT_PERMITTED), or the region is pinned (REGION_PINNED);
        a refusal is on record, too.
    """
    if person.role not in PLANNERS:
        raise RefusalError(
            f"expected a role of {', '.join(PLANNERS)}, found {person.role}",
            reasons=("ROLE_NOT_PERMITTED",),
        )
    try:
        require_may_leave(region_of(site), to)
    except RefusalError as refusal:
        _on_record(site, person, to, 0, NOT_EVALUATED, refusal.reasons[0])
        raise
    content = aggregate(site, release_digest, to)
    sealer = Sealer(*signing_key(site.home, PURPOSE, site.now()))
    raw = canonical.encode(seal(content, sealer, site.now(), PURPOSE))
    given = sum(len(item["blocks"]) for item in content["items"])
    _on_record(site, person, to, given, digest_of(raw))
    return raw


def _on_record(
    site: Site, person: Person, to: str, count: int, digest: str, reason: str = ""
) -> None:
    body = {
        "what": "monitoring-aggregate", "format": "json", "purpose": "peer-monitoring",
        "count": count, "sha256": digest, "filters": {"region": to},
    }  # fmt: skip
    with site.database.transaction() as transaction:
        site.journal.export(transaction, body, person.account_id, reason)
    site.seal()


def aggregate(site: Site, release_digest: str, to: str) -> dict[str, Any]:
    """Return what may leave of a release, as JSON values without a case."""
    row = site.registry.row(release_digest)
    window = window_of(site, release_digest)
    region, by = region_of(site), site.configuration.monitoring.pool_by
    present = f"{site.now():{_MONTH}}"
    with site.database.reading() as transaction:
        plan = plan_of(site, transaction, row.plugin, release_digest)
        items = [item for item in plan.items if can_be_pooled(item)]
        kept = {item.name: list(_cases(site, transaction, release_digest, item)) for item in items}
    given: list[dict[str, Any]] = []
    for item in items:
        watch = build(item, window)
        if watch.is_blind:
            continue
        cases = [_case(watch, by, *one) for one in kept[item.name]]
        own = blocks(watch.detectors, cases, present)
        given.append({"item": plans.stated(item), "blocks": [asdict(one) for one in own]})
    found = {
        "schema": SCHEMA,
        "site": site.configuration.site.name,
        "region": region.name,
        "pinned": region.is_pinned,
        "to": to,
        "plugin": row.plugin,
        "version": row.version,
        "release_digest": release_digest,
        "by": by,
        "until": present,
        "least_patients": LEAST_PATIENTS,
        "items": given,
        "histograms": _histograms(window, present, [one for own in kept.values() for one in own]),
    }
    return dict(canonical.decode(canonical.encode(json.loads(json.dumps(found)))))


def _cases(
    site: Site, transaction: Transaction, release_digest: str, item: Item
) -> Iterator[tuple[str, str, Observation]]:
    """Yield month, patient and case of every closed run that an item takes."""
    cursor: tuple[datetime | None, str] = (None, "")
    while runs := transaction.closed_runs(release_digest, cursor, site.now() - SETTLED, BATCH):
        studies = transaction.studies_of(run.run_id for run in runs)
        for run in runs:
            case = observed(item.metric, run)
            if case is not None:
                patient = site.pseudonyms.subject(studies[run.run_id])
                own = studies[run.run_id] if patient == NOT_EVALUATED else patient
                yield f"{run.closed_at:{_MONTH}}", own, case
        cursor = (runs[-1].closed_at, runs[-1].run_id)


def _case(watch: Watch, by: str, month: str, patient: str, case: Observation) -> Case:
    values = {}
    for name, detector in watch.detectors.items():
        found = value_of(watch, detector, name, case)
        if found is not None:
            values[name] = np.asarray(found, dtype=np.float64)
    return Case(month, patient, key(by, case.categories.get(by, NOT_KNOWN)), values)


def _histograms(
    window: ReferenceWindow | None, present: str, cases: Sequence[tuple[str, str, Observation]]
) -> dict[str, Any]:
    """Return each number of the reference window as shares of months that are over."""
    once = {case.case: (patient, case) for month, patient, case in cases if month < present}
    found: dict[str, Any] = {}
    for name, reference in ({} if window is None else window.numbers).items():
        pairs = [(c.numbers[name], p) for p, c in once.values() if name in c.numbers]
        told = histogram([v for v, _ in pairs], [p for _, p in pairs], reference)
        if told is not None:
            n, edges, shares = told
            found[name] = {"n": n, "edges": list(edges), "shares": list(shares)}
    return found


def read_given(raw: bytes, trust: tuple[TrustedKey, ...], region: str) -> Given:
    """Return what a site gave.

    Raises
    ------
    SignatureError, KeyUntrustedError : it is not signed by a plan key that counts here.
    RefusalError : it is bound to another region (REGION_PINNED).
    ConfigurationError : it is not such a document.
    """
    try:
        document = json.loads(raw)
        if not isinstance(document, Mapping):
            raise ValueError("no object")
    except ValueError as error:
        raise ConfigurationError("expected the figures of a site, found no JSON object") from error
    content = open_sealed(document, trust, PURPOSE)
    try:
        if content["schema"] != SCHEMA or content["least_patients"] < LEAST_PATIENTS:
            raise ValueError("schema")
        require_may_leave(Region(str(content["region"]), bool(content["pinned"])), region)
        items = {}
        for given in content["items"]:
            plan = {"schema": plans.SCHEMA, "plugin": content["plugin"], "items": [given["item"]]}
            (item,) = plans.decode(plan).items
            items[item.name] = (item, tuple(map(_read_block, given["blocks"])))
        return Given(
            str(content["site"]), str(content["release_digest"]), str(content["by"]), items
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError("expected the figures of a site, found another form") from error


def _read_block(given: Mapping[str, Any]) -> Block:
    lists = {
        part: {str(n): tuple(map(float, v)) for n, v in given[part].items()}
        for part in ("log_products", "log_sums")
    }
    if lists["log_products"].keys() != lists["log_sums"].keys():
        raise ValueError("names")
    n = int(given["n"])
    if n < LEAST_PATIENTS:
        raise ValueError("n")
    return Block(str(given["stratum"]), str(given["month"]), n, **lists)


def pool_given(
    given: Sequence[Given], window: ReferenceWindow | None, since: str = ""
) -> tuple[Result, ...]:
    """Return what every item that all sites share says pooled.

    Parameters
    ----------
    window : of the release; without it only stated rates are pooled.
    since : only blocks of later months count (a decision on an alarm).

    Raises
    ------
    RefusalError : they are not about one release along one dimension, or a site gave twice.
    """
    if not given:
        raise ConfigurationError("expected figures of at least one site, found none")
    alike = {(one.release_digest, one.by) for one in given}
    names = [one.site for one in given]
    if len(alike) > 1 or len(set(names)) < len(names):
        reason = "SITE_TWICE" if len(alike) == 1 else "POOL_DIFFERS"
        raise RefusalError(
            "expected one release, one dimension, and each site once", reasons=(reason,),
            advice="Take the newest figures of each site, of the same release.",
        )  # fmt: skip
    found = []
    for name, (item, _) in sorted(given[0].items.items()):
        if any(one.items.get(name, (None, ()))[0] != item for one in given):
            continue  # another plan there: not the same question
        watch = build(item, window)
        if watch.is_blind:
            continue
        sites = {one.site: [b for b in one.items[name][1] if b.month > since] for one in given}
        has_window = watch.reference is not None
        try:
            together = pool(watch.detectors, item.limit, sites, has_window=has_window)
            alone = {
                site: pool(watch.detectors, item.limit, {site: own}, has_window=has_window)
                for site, own in sites.items()
            }
        except SuiteError as error:
            raise ConfigurationError(f"{name}: {error}") from error
        found.append(Result(item, together, alone))
    return tuple(found)
