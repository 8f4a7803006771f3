"""That somebody reads the log is itself on record (GDPR Art. 32, IHE ATNA: Audit Log Used).

One record for each page that shows records, in the transaction before anything is shown; when
it cannot be written, nothing is shown.

Read next: `app.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request

from adapters.web.access import Session

if TYPE_CHECKING:
    from adapters.compose import Site


def note_access(
    site: Site,
    request: Request,
    what: str,
    purpose: str = "review",
    *,
    run_id: str | None = None,
    pseudonym: str = "",
) -> None:
    """Record that the reader of a request reads part of the log."""
    session: Session = request.state.session
    with site.database.transaction() as transaction:
        site.journal.access(
            transaction,
            what,
            purpose,
            f"account:{session.account_id}",
            run_id=run_id,
            pseudonym=pseudonym,
        )


def catch_up(site: Site, limit: int = 500) -> None:
    """Bring the lines that are searched up to the log, a few at most: a page must not wait."""
    with site.database.reading() as transaction:
        behind = transaction.tree_size() - transaction.line_count()
    if behind > 0:
        site.database.run(lambda transaction: transaction.catch_up(limit))
