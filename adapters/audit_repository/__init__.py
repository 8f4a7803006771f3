"""Delivery of the audit log to repositories: IHE ITI-20 by syslog over TLS, and by FHIR.

Every record goes, in the order of the tree, from a durable place in the site database; while a
repository does not answer the records wait where they are, and nothing is lost.

Read next: `feeder.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from adapters.audit_repository.fhir_feed import FhirFeed
from adapters.audit_repository.repository import Repository, Transport
from adapters.audit_repository.syslog_tls import SyslogTls
from adapters.config_audit import AuditRepositorySection


def build_repositories(sections: Iterable[AuditRepositorySection]) -> tuple[Repository, ...]:
    """Return the configured repositories; nothing is connected yet."""
    kinds: dict[str, Callable[[AuditRepositorySection], Transport]]
    kinds = {"syslog-tls": SyslogTls, "fhir": FhirFeed}
    return tuple(Repository(item, kinds[item.kind](item)) for item in sections)
