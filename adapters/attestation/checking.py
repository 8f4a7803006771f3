"""How far others vouch for the log as it lies in the site's database.

Read next: `audit/attested.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.attestation.building import trusted
from adapters.attestation.sections import LogSection
from adapters.database import Database
from audit.attested import Attested, check_attested, cosigned_notes, notes_by_size, stamps_of


def attested_site(database: Database, section: LogSection, anchors: Sequence[str] = ()) -> Attested:
    """Return for how much the configured witnesses and authorities vouch.

    Raises
    ------
    LogTamperedError : one of their statements is wrong, or one has seen nothing of this log.
    """
    witnesses, authorities = trusted(section)
    with database.reading() as transaction:
        notes = notes_by_size(transaction.checkpoints())
        said = transaction.attestations()
    seen = [*notes.values(), *cosigned_notes(notes, said), *anchors]
    return check_attested(seen, notes, stamps_of(said), witnesses, authorities)
