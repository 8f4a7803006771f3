"""Governed documents in memory, as the port asks for; for rules that only read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from audit import canonical
from governance.ports import GovernedDocument
from governance.release import digest_of


class GovernedMemory:
    """Fulfils `governance.ports.GovernedStore`."""

    def __init__(self) -> None:
        self.rows: list[GovernedDocument] = []

    def governed(self, kind: str, name: str) -> GovernedDocument | None:
        """Return the newest revision."""
        history = self.governed_history(kind, name)
        return history[-1] if history else None

    def governed_all(self, kind: str) -> tuple[GovernedDocument, ...]:
        """Return the newest revision of every name, by name."""
        newest = {row.name: row for row in self.rows if row.kind == kind}
        return tuple(newest[name] for name in sorted(newest))

    def governed_history(self, kind: str, name: str) -> tuple[GovernedDocument, ...]:
        """Return every revision, oldest first."""
        return tuple(row for row in self.rows if (row.kind, row.name) == (kind, name))

    def put_governed(
        self,
        kind: str,
        name: str,
        content: Mapping[str, Any],
        person: str = "anna",
        at: datetime = datetime(2026, 11, 25, tzinfo=UTC),
    ) -> GovernedDocument:
        """Add a revision; the content of the newest one again adds nothing."""
        raw = canonical.encode(dict(content))
        known = self.governed(kind, name)
        if known is not None and known.digest == digest_of(raw):
            return known
        revision = len(self.governed_history(kind, name)) + 1
        row = GovernedDocument(
            kind, name, revision, digest_of(raw), canonical.decode(raw), at, person
        )
        self.rows.append(row)
        return row
