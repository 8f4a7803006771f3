"""Acceptance criteria on record: fixed once, by digest, with the moment that counts.

A document is kept as a governed document under the digest of its content, so that what is
changed afterwards is another document with a younger moment.

Read next: `asking.py`; `validation/criteria` judges by them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from audit.errors import NotFoundError
from validation.criteria.reading import digest_of_document, read_criteria

if TYPE_CHECKING:
    from adapters.compose import Site

ACCEPTANCE = "acceptance-criteria"
"""Kind of the governed document; its name is the digest of what it says."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Criteria that are on record: their digest, and since when."""

    digest: str
    recorded_at: datetime | None


def fix_criteria(site: Site, raw: bytes, person: str) -> Fixed:
    """Put criteria on record and return their digest; the same twice keeps the first moment.

    Raises
    ------
    CriteriaError : the document states no criteria.
    """
    read_criteria(raw)
    digest = digest_of_document(raw)
    with site.database.transaction() as transaction:
        if transaction.governed(ACCEPTANCE, digest) is None:
            document = transaction.put_governed(
                ACCEPTANCE, digest, json.loads(raw), person, site.now()
            )
            site.journal.governed(transaction, document)
    site.seal()
    return fixed_criteria(site, digest)


def fixed_criteria(site: Site, named: str) -> Fixed:
    """Return criteria by digest or by file; without a moment where they are on no record.

    Raises
    ------
    NotFoundError : neither a digest nor a file.
    """
    digest = named
    if not named.startswith("sha256:"):
        path = Path(named)
        if not path.is_file():
            raise NotFoundError(f"expected a digest or a file of criteria, found {path.name}")
        digest = digest_of_document(path.read_bytes())
    with site.database.reading() as transaction:
        document = transaction.governed(ACCEPTANCE, digest)
    return Fixed(digest, None if document is None else document.recorded_at)
