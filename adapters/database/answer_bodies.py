"""The bodies of records about answers that are no result: refusals.

Read next: `bodies.py`, whose rules for text from outside hold here too.
"""

from __future__ import annotations

from collections.abc import Iterable

from adapters.database.bodies import PseudonymOf, document, reason, reason_code
from plugins.host.ports import Document, Json


def refusal(
    reasons: Iterable[str],
    documents: Iterable[Document],
    unwritten: str,
    pseudonym: PseudonymOf,
) -> Json:
    """Return why a study was refused, and the objects that tell it or why there are none."""
    return {
        "reasons": [reason(item) for item in reasons],
        "documents": [document(item, pseudonym) for item in documents],
        "unwritten": reason_code(unwritten) if unwritten else "",
    }
