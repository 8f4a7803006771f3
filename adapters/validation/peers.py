"""Give the aggregate of a run away, signed and on record; pool what several sites gave.

Read next: `validation/pooling/aggregate.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.governance.persons import Person
from adapters.validation.kept_runs import KeptRun
from adapters.validation.reporting import CERTIFIERS, read_report
from audit import canonical
from audit.errors import RefusalError
from governance.release import digest_of
from governance.sealed import seal
from governance.signing import TrustedKey
from validation.pooling.aggregate import aggregate
from validation.pooling.pooled import pool_reports, read_site_report

if TYPE_CHECKING:
    from adapters.compose import Site


def export_report(site: Site, run: KeptRun, person: Person, name: str = "") -> bytes:
    """Return the aggregate of a run, signed by this site; that it leaves is on record.

    Parameters
    ----------
    name : what the site is called among its peers; else its own name.

    Raises
    ------
    RefusalError : the role may not (ROLE_NOT_PERMITTED).
    ReportTamperedError : the report is not the one on record.
    """
    if person.role not in CERTIFIERS:
        raise RefusalError(
            f"expected a role of {', '.join(CERTIFIERS)}, found {person.role}",
            reasons=("ROLE_NOT_PERMITTED",),
        )
    document = read_report(site, run)
    content = aggregate(name or site.configuration.site.name, run.results, document)
    raw = canonical.encode(seal(content, site.keys.sealer, site.now()))
    body = {
        "what": "site-report", "format": "json", "purpose": "peer-evaluation",
        "count": len(content["figures"]), "sha256": digest_of(raw), "filters": {},
    }  # fmt: skip
    with site.database.transaction() as transaction:
        site.journal.export(transaction, body, person.account_id)
    site.seal()
    return raw


def pool_files(paths: Sequence[Path], trust: tuple[TrustedKey, ...]) -> dict[str, Any]:
    """Return what the reports of several sites show together.

    Raises
    ------
    SignatureError, PoolingError : one of them does not count, or is of another thing.
    """
    return pool_reports([read_site_report(path.read_bytes(), trust) for path in paths])
