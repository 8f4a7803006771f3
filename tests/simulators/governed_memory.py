"""Governed documents in a list, as the port asks for: for rules that need no database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit import canonical
from governance.ports import GovernedDocument
from governance.release import digest_of


class GovernedMemory:
    """Fulfils `governance.ports.GovernedStore`."""

    def __init__(self) -> None:
        self.rows: list[GovernedDocument] = []

    def governed(self, kind: str, name: str) -> GovernedDocument | None:
        """Return the newest revision, None when there is no such document."""
        history = self.governed_history(kind, name)
        return history[-1] if history else None

    def governed_all(self, kind: str) -> tuple[GovernedDocument, ...]:
        """Return the newest revision of every document of a kind, by name."""
        newest = {row.name: row for row in self.rows if row.kind == kind}
        return tuple(newest[name] for name in sorted(newest))

    def governed_history(self, kind: str, name: str) -> tuple[GovernedDocument, ...]:
        """Return every revision, oldest first."""
        return tuple(row for row in self.rows if (row.kind, row.name) == (kind, name))

    def put_governed(
        self, kind: str, name: str, content: Mapping[str, Any], person: str, at: datetime
    ) -> GovernedDocument:
        """Add a revision; the content of the newest one again adds nothing and returns it."""
        raw = canonical.encode(dict(content))
        known = self.governed(kind, name)
        if known is not None and known.digest == digest_of(raw):
            return known
        row = GovernedDocument(
            kind,
            name,
            len(self.governed_history(kind, name)) + 1,
            digest_of(raw),
            canonical.decode(raw),
            at,
            person,
        )
        self.rows.append(row)
        return row
