"""What a site knows when a change comes: baseline, plan, ledger, stops; the releases compared.

Read next: `acts.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapters.change.evidence import Brought
from audit.errors import NotFoundError, SignatureError
from governance.change.chain import is_certified
from governance.change.classification import (
    ChangeCase,
    Classification,
    Standing,
    classify,
)
from governance.change.ledger import PLAN, baseline_of, ledger
from governance.change.plan import ChangePlan
from governance.change.plan_signing import check_plan
from governance.change.stops import known_stops, snapshots_kept
from governance.difference import difference
from governance.ports import GovernedStore
from governance.release import Release, open_release
from governance.signing import TrustedKey

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.registry import ReleaseRegistry


def named_release(registry: ReleaseRegistry, name: str) -> Release:
    """Return a release from a ``.osteon`` file, or one that lies at the site."""
    path = Path(name)
    if path.is_file() or path.suffix == ".osteon":
        return open_release(path)
    row = registry.find(name)
    return open_release(Path(row.path), row.digest)


def plan_in_force(
    documents: GovernedStore, plugin: str, trust: tuple[TrustedKey, ...]
) -> ChangePlan | None:
    """Return the plan of a plugin when its signatures still hold; None where there is none."""
    document = documents.governed(PLAN, plugin)
    if document is None:
        return None
    try:
        return check_plan(document.content, trust).plan
    except SignatureError:
        return None  # its key was revoked since: the plan covers nothing any more


def standing_of(site: Site, documents: GovernedStore, plugin: str, target: str = "") -> Standing:
    """Return what the site knows of a plugin now, and of the release that is to come."""
    baseline = baseline_of(documents, plugin)
    plan = plan_in_force(documents, plugin, site.registry.trust())
    window = plan.budget.min_days_between if plan else 0
    return Standing(
        site=site.configuration.site.name,
        baseline=baseline,
        plan=plan,
        ledger=ledger(documents, plugin),
        target_certified=is_certified(documents, plugin, target, site.now()),
        stops=known_stops(documents, plugin, baseline, site.now(), window),
        evidence_snapshot_done=snapshots_kept(documents, plugin),
    )


def classified(site: Site, old: Release, new: Release, brought: Brought) -> Classification:
    """Return the class of the change between two releases, as the site stands now."""
    plugin = str(new.manifest["plugin"])
    with site.database.reading() as transaction:
        standing = standing_of(site, transaction, plugin, new.digest)
    found = difference(old, new)
    from_baseline = None
    if standing.baseline is not None:
        base = _baseline_release(site, standing.baseline.release_digest, old, new)
        from_baseline = difference(base, new) if base is not None else None
    case = ChangeCase(found, from_baseline, old.manifest, new.manifest)
    return classify(case, brought.declaration, standing, site.now())


def _baseline_release(site: Site, digest: str, *at_hand: Release) -> Release | None:
    for release in at_hand:
        if release.digest == digest:
            return release
    try:
        return open_release(Path(site.registry.row(digest).path), digest)
    except NotFoundError:
        return None
