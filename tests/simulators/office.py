"""The office in memory: deployments and governed documents as the ports ask for, certificates.

Read next: `released_plugins.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import canonical
from governance.certificate import Certificate, issue
from governance.ports import Deployment, GovernedDocument
from governance.release import digest_of
from governance.signing import TrustedKey

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = TrustedKey("house", "certificate", KEY.public_key().public_bytes_raw(), NOW)


class Office:
    """Deployments and governed documents in lists; fulfils both stores."""

    def __init__(self) -> None:
        self.rows: list[Deployment] = []
        self.documents: list[GovernedDocument] = []

    def deployments(self, plugin: str | None = None) -> tuple[Deployment, ...]:
        """Return the newest row of every release."""
        newest = {(row.site, row.release_digest): row for row in self.rows}
        return tuple(row for row in newest.values() if plugin in (None, row.plugin))

    def deployment_history(self, plugin: str) -> tuple[Deployment, ...]:
        """Return every row of the plugin."""
        return tuple(row for row in self.rows if row.plugin == plugin)

    def put_deployment(self, deployment: Deployment) -> None:
        """Add a row."""
        self.rows.append(deployment)

    def governed(self, kind: str, name: str) -> GovernedDocument | None:
        """Return the newest revision."""
        history = self.governed_history(kind, name)
        return history[-1] if history else None

    def governed_all(self, kind: str) -> tuple[GovernedDocument, ...]:
        """Return the newest revision of every document of a kind."""
        newest = {item.name: item for item in self.documents if item.kind == kind}
        return tuple(newest[name] for name in sorted(newest))

    def governed_history(self, kind: str, name: str) -> tuple[GovernedDocument, ...]:
        """Return every revision."""
        return tuple(item for item in self.documents if (item.kind, item.name) == (kind, name))

    def put_governed(
        self, kind: str, name: str, content: Mapping[str, Any], person: str, at: datetime
    ) -> GovernedDocument:
        """Add a revision."""
        raw = canonical.encode(dict(content))
        revision = len(self.governed_history(kind, name)) + 1
        document = GovernedDocument(
            kind, name, revision, digest_of(raw), canonical.decode(raw), at, person
        )
        self.documents.append(document)
        return document


def certificate_for(release_digest: str, **changes: Any) -> Certificate:
    """Return a certificate that holds at `NOW`."""
    certificate = Certificate(
        certificate_id="cert-1",
        release_digest=release_digest,
        cohort_digest="sha256:" + "c" * 64,
        criteria_digest="sha256:" + "d" * 64,
        criteria_recorded_at=NOW - timedelta(days=20),
        evaluated_at=NOW - timedelta(days=10),
        metric_pack="osteon-metrics-1",
        method="held-out",
        strata=(),
        verdict="pass",
        report_digest="sha256:" + "e" * 64,
        issued_at=NOW - timedelta(days=5),
        expires_at=NOW + timedelta(days=300),
    )
    return replace(certificate, **changes)


def issued(release_digest: str, **changes: Any) -> bytes:
    """Return the attachment of a certificate signed by the trusted key."""
    return issue(certificate_for(release_digest, **changes), KEY, "house", NOW)
