"""What the technical file of a release is made from: every artefact by name, with its digest.

Members of the release, its attachments, governed documents of the site, and what the site
itself states (interfaces, versions) are brought into one map.  A field names the sources that
it used; when the digest of one of them changes, the file is stale.

A *live* source (acknowledgements of the instructions for use) is listed and quoted but does
not make the file stale: it changes with every user.

Read next: `contents.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from audit import canonical
from audit.errors import SignatureError, SuiteError
from governance import accuracy, classification, declaration, risk, risk_trace
from governance.ports import GovernedDocument, GovernedStore
from governance.provider import PLACING, PROVIDER, QMS, SITE, STANDARDS
from governance.release import MANIFEST, Release, digest_of
from governance.sealed import open_sealed
from governance.signing import TrustedKey
from governance.technical_file.fields import FIELDS
from governance.technical_file.statements import KIND as STATEMENT
from governance.technical_file.statements import name_of

CARD, CRITERIA, SBOM, CERTIFICATE = "card.md", "criteria.json", "sbom.json", "certificate.json"
MONITORING, OVERSEERS, PLAN, CHANGE = (
    *("monitoring_plan", "overseers", "change_plan", "change_request"),
)
ACKNOWLEDGED = "ifu_acknowledgement"
INTERFACES, VERSIONS = "interfaces", "versions"
_OF_RELEASE = (accuracy.KIND, risk_trace.EVIDENCE_KIND, declaration.KIND, CHANGE)
_OF_PLUGIN = (risk.KIND, classification.KIND, MONITORING, OVERSEERS, PLAN, PLACING)
_OF_SITE = (PROVIDER, STANDARDS, QMS)
_SEALED = (classification.KIND, declaration.KIND, risk_trace.ACCEPTANCE_KIND)
_MEMBERS = (CARD, CRITERIA, SBOM)


@dataclass(frozen=True, slots=True)
class Source:
    """One artefact.

    Parameters
    ----------
    content : decoded JSON, or text.
    author : account that recorded it; empty for what came with the release.
    at : when it was recorded, ISO 8601; empty for what came with the release.
    """

    name: str
    digest: str
    content: Any
    author: str = ""
    at: str = ""
    live: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that is known of one release at one site.

    Parameters
    ----------
    on : the day on which expiries are judged.
    """

    plugin: str
    version: str
    release_digest: str
    on: date
    found: Mapping[str, Source] = field(default_factory=dict)

    def get(self, name: str) -> Source | None:
        """Return a source, None when it is not there."""
        return self.found.get(name)

    def content(self, name: str) -> Any:
        """Return the content of a source, None when it is not there."""
        source = self.found.get(name)
        return None if source is None else source.content

    def digests(self) -> dict[str, str]:
        """Return the digest of every source that can make the file stale, by name."""
        return {name: item.digest for name, item in sorted(self.found.items()) if not item.live}


def nothing(on: date) -> Sources:
    """Return the sources of an empty site."""
    return Sources("", "", "", on)


def collect(
    release: Release,
    documents: GovernedStore,
    site: Mapping[str, Any],
    trust: tuple[TrustedKey, ...],
    on: date,
) -> Sources:
    """Return the sources of a release at a site.

    Parameters
    ----------
    site : what the site states of itself as JSON values, by name: interfaces, versions.
    trust : the keys that count; a sealed document that was changed is there without content.
    """
    plugin = str(release.manifest["plugin"])
    rows = [
        Source(MANIFEST, release.digest, release.manifest),
        *_members(release),
        *_attached(release),
        *_governed(release.digest, plugin, documents),
        *_statements(release.digest, documents),
        *_acceptances(plugin, documents),
        *_acknowledged(plugin, documents),
        *(Source(name, _digest(value), value) for name, value in site.items()),
    ]
    found = {row.name: _counted(row, trust) for row in rows}
    return Sources(plugin, str(release.manifest["version"]), release.digest, on, found)


def _members(release: Release) -> Iterator[Source]:
    for name in _MEMBERS:
        if name in release.manifest["members"]:
            raw = release.member(name)
            yield Source(name, digest_of(raw), _decoded(name, raw))


def _attached(release: Release) -> Iterator[Source]:
    for name in release.attachments:
        raw = release.attachment(name)
        if name == CERTIFICATE or name.startswith("signatures/"):
            yield Source(name, digest_of(raw), _decoded(name, raw))


def _governed(release_digest: str, plugin: str, documents: GovernedStore) -> Iterator[Source]:
    wanted = [(kind, release_digest) for kind in _OF_RELEASE]
    wanted += [(kind, plugin) for kind in _OF_PLUGIN] + [(kind, SITE) for kind in _OF_SITE]
    for kind, name in wanted:
        document = documents.governed(kind, name)
        if document is not None:
            yield _of(kind, document)


def _statements(release_digest: str, documents: GovernedStore) -> Iterator[Source]:
    known = {item.name: item for item in documents.governed_all(STATEMENT)}
    for rule in FIELDS:
        document = known.get(name_of(rule, release_digest))
        if document is not None:
            yield _of(f"{STATEMENT}/{rule.path}", document)


def _acceptances(plugin: str, documents: GovernedStore) -> Iterator[Source]:
    for document in documents.governed_all(risk_trace.ACCEPTANCE_KIND):
        if document.name.startswith(f"{plugin}/"):
            yield _of(f"{risk_trace.ACCEPTANCE_KIND}/{document.name.partition('/')[2]}", document)


def _acknowledged(plugin: str, documents: GovernedStore) -> Iterator[Source]:
    found: Sequence[GovernedDocument] = [
        item
        for item in documents.governed_all(ACKNOWLEDGED)
        if item.content.get("plugin", plugin) == plugin
    ]
    if found:
        rows = [{"name": item.name, "sha256": item.digest} for item in found]
        yield Source(ACKNOWLEDGED, _digest(rows), rows, live=True)


def _counted(source: Source, trust: tuple[TrustedKey, ...]) -> Source:
    """Return a source, without its content where a seal was asked for and does not hold."""
    if source.name.partition("/")[0] not in _SEALED:
        return source
    try:
        open_sealed(source.content, trust)
    except SignatureError:
        return replace(source, content=None)
    return source


def _of(name: str, document: GovernedDocument) -> Source:
    at = document.recorded_at.isoformat()
    return Source(name, document.digest, document.content, document.recorded_by, at)


def _decoded(name: str, raw: bytes) -> Any:
    """Return JSON values or text; what is neither is None, as if it were not there."""
    try:
        return json.loads(raw) if name.endswith(".json") else raw.decode("utf-8")
    except (ValueError, SuiteError):
        return None


def _digest(value: Any) -> str:
    return digest_of(canonical.encode(value))
