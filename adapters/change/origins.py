"""Where a release comes from: its publisher, or somebody here who changed the publisher's.

The publisher's are the releases that come with the suite and those that a trusted release
key other than this site's own has signed.  Any other release of a plugin that has a
publisher is compared with the publisher's nearest release that lies here.

Read next: `governance/provider_shift.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.change.acts import keep as keep_document
from adapters.database import Transaction
from adapters.database.deployments import ReleaseRow
from adapters.governance.persons import Person
from adapters.release_builder import published
from adapters.release_members import package_folder
from audit.errors import NotFoundError, RefusalError, SuiteError
from governance.difference import difference
from governance.ports import GovernedDocument
from governance.provider_shift import (
    KIND,
    Origin,
    decode,
    encode,
    findings,
    parameter_edits,
)
from governance.release import MANIFEST, Release, digest_of, open_release
from governance.signing import FOLDER, TrustedKey, verify_signature
from plugins.host.discovery import find_plugin

if TYPE_CHECKING:
    from datetime import datetime

    from adapters.compose import Site
    from adapters.registry import ReleaseRegistry


OF_THE_CASE = ("seed_point", "prescription", "members", "recall")
RUNS_LOOKED_AT = 1000


@dataclass(frozen=True, slots=True)
class Sources:
    """What an origin is judged by.

    Parameters
    ----------
    trust : of the keys of this site's own none vouches for anybody else.
    rows : every release that lies here.
    """

    trust: tuple[TrustedKey, ...]
    rows: Sequence[ReleaseRow]


def origin_of(release: Release, sources: Sources, now: datetime) -> Origin:
    """Return where a release comes from, compared with the publisher's where it is not its own."""
    plugin = str(release.manifest["plugin"])
    if _is_publishers(release, plugin, sources):
        return Origin(plugin, True, "", (), now)
    theirs = list(_publishers_releases(release, plugin, sources))
    if not theirs and not published_digests(plugin):
        return Origin(plugin, True, "", (), now)  # nobody but this site makes this plugin
    if not theirs:
        return Origin(plugin, False, "", ("LOCAL_UNCOMPARED",), now)
    nearest = max(theirs, key=lambda row: (row.version == release.manifest["version"], _order(row)))
    base = open_release(Path(nearest.path), nearest.digest)
    found = findings(difference(base, release))
    return Origin(plugin, not found, nearest.digest, found, now)


def published_digests(plugin: str) -> frozenset[str]:
    """Return the digests of the plugin's releases that come with the suite."""
    try:
        folder = package_folder(find_plugin(plugin).package) / "releases"
        versions = published(plugin)
    except NotFoundError:
        return frozenset()
    return frozenset(digest_of((folder / name / MANIFEST).read_bytes()) for name in versions)


def look(registry: ReleaseRegistry, release_digest: str) -> Origin:
    """Compare a release that lies here with its publisher's."""
    row = registry.row(release_digest)
    release = open_release(Path(row.path), row.digest)
    with registry.database.reading() as transaction:
        rows = transaction.releases(row.plugin)
        edited = _edited_runs(transaction, row)
    found = origin_of(release, Sources(registry.trust(), rows), registry.now())
    if not edited:
        return found
    codes = tuple(sorted((*found.findings, "LOCAL_RUN_PARAMETERS")))
    return replace(found, publisher=False, findings=codes)


def _edited_runs(transaction: Transaction, row: ReleaseRow) -> bool:
    """Tell whether one of the last clinical runs used parameters that the release does not state.

    A seed point, and members that never saw the patient, belong to the case.
    """
    stated = json.loads(row.manifest).get("parameters", {})
    return any(
        parameter_edits(stated, run.request.parameters, OF_THE_CASE)
        for run in transaction.runs(plugin=row.plugin, limit=RUNS_LOOKED_AT)
        if run.request.release_digest == row.digest and run.request.mode == "clinical"
    )


def compare(site: Site, release_digest: str, person: str) -> Origin:
    """Compare a release that lies here with its publisher's; keep on record what differs.

    Of a release that is the publisher's nothing is kept, unless it once seemed not to be.  A
    declaration that was made for the same findings is kept.
    """
    found = look(site.registry, release_digest)
    with site.database.reading() as transaction:
        document = transaction.governed(KIND, release_digest)
    known = decode(document.content) if document else None
    if known is None and found.publisher:
        return found
    if known is not None and _same(known, found):
        return known
    keep(site, release_digest, found, person)
    return found


def _same(known: Origin, found: Origin) -> bool:
    """Tell whether two origins say the same, whenever they were looked at and declared."""
    return replace(known, recorded_at=found.recorded_at, declared_by="") == found


def site_findings(site: Site, release_digest: str) -> tuple[str, ...]:
    """Return what is on record of a release that is not its publisher's."""
    with site.database.reading() as transaction:
        known = transaction.governed(KIND, release_digest)
    return decode(known.content).findings if known else ()


def declare_provider(site: Site, release_digest: str, person: Person) -> Origin:
    """Declare this site the provider of a release that it changed (Art. 25(1)).

    Raises
    ------
    RefusalError : the role may not, or there is nothing to declare.
    """
    found = compare(site, release_digest, person.account_id)
    if person.role != "approver" or not found.findings:
        raise RefusalError(
            "expected an approver and a release that is not the publisher's",
            reasons=("ROLE_NOT_PERMITTED" if found.findings else "NOTHING_TO_DECLARE",),
            advice="Compare it first: `osteon change origin`.",
        )
    declared = replace(found, declared_by=person.account_id)
    keep(site, release_digest, declared, person.account_id)
    return declared


def keep(site: Site, release_digest: str, origin: Origin, person: str) -> GovernedDocument:
    """Keep the origin of a release, and record it."""
    return keep_document(site, KIND, release_digest, encode(origin), person)


def _is_publishers(release: Release, plugin: str, sources: Sources) -> bool:
    if release.digest in published_digests(plugin):
        return True
    return any(not key.own for key in _signers(release, sources.trust))


def _signers(release: Release, trust: tuple[TrustedKey, ...]) -> Iterator[TrustedKey]:
    """Yield the trusted keys whose signature on the release holds."""
    for name in release.attachments:
        if name.startswith(FOLDER):
            try:
                yield verify_signature(release.attachment(name), release.digest, trust)
            except SuiteError:
                continue  # a signature that does not hold vouches for nothing


def _publishers_releases(release: Release, plugin: str, sources: Sources) -> Iterator[ReleaseRow]:
    for row in sources.rows:
        if row.plugin != plugin or row.digest == release.digest:
            continue
        shipped = row.digest in published_digests(plugin)
        if shipped or _is_publishers(open_release(Path(row.path), row.digest), plugin, sources):
            yield row


def _order(row: ReleaseRow) -> tuple[int, ...]:
    parts = str(json.loads(row.manifest)["version"]).split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
