"""Governed documents of the site, revision by revision; fulfils `governance.ports.GovernedStore`.

A revision is added and never changed.  Whoever puts one writes its audit record in the same
transaction: `SiteRecords.governed`.

Read next: `site_records.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, select

from adapters.database.schema import GOVERNED
from adapters.database.session import Session
from audit import canonical
from governance.ports import GovernedDocument
from governance.release import digest_of


class Governed(Session):
    """Governed documents of a transaction."""

    def governed(self, kind: str, name: str) -> GovernedDocument | None:
        """Return the newest revision, None when there is no such document."""
        history = self.governed_history(kind, name)
        return history[-1] if history else None

    def governed_all(self, kind: str) -> tuple[GovernedDocument, ...]:
        """Return the newest revision of every document of a kind, by name."""
        newest = (
            select(GOVERNED.c.name, func.max(GOVERNED.c.revision).label("revision"))
            .where(GOVERNED.c.kind == kind)
            .group_by(GOVERNED.c.name)
            .subquery()
        )
        query = select(GOVERNED).join(
            newest,
            (GOVERNED.c.name == newest.c.name) & (GOVERNED.c.revision == newest.c.revision),
        )
        return self._documents(query.where(GOVERNED.c.kind == kind).order_by(GOVERNED.c.name))

    def governed_newest(self) -> tuple[GovernedDocument, ...]:
        """Return the newest revision of every document, by kind and name."""
        kinds = self.connection.scalars(select(GOVERNED.c.kind).distinct()).all()
        return tuple(item for kind in sorted(kinds) for item in self.governed_all(str(kind)))

    def governed_everything(self) -> tuple[GovernedDocument, ...]:
        """Return every revision of every document, in the order of kind, name and revision."""
        order = (GOVERNED.c.kind, GOVERNED.c.name, GOVERNED.c.revision)
        return self._documents(select(GOVERNED).order_by(*order))

    def governed_history(self, kind: str, name: str) -> tuple[GovernedDocument, ...]:
        """Return every revision, oldest first."""
        query = select(GOVERNED).where(GOVERNED.c.kind == kind, GOVERNED.c.name == name)
        return self._documents(query.order_by(GOVERNED.c.revision))

    def put_governed(
        self, kind: str, name: str, content: Mapping[str, Any], person: str, at: datetime
    ) -> GovernedDocument:
        """Add a revision; the content of the newest one again adds nothing and returns it.

        Raises
        ------
        RecordError : the content is not made of JSON values; nothing was written.
        """
        raw = canonical.encode(dict(content))
        known = self.governed(kind, name)
        if known is not None and known.digest == digest_of(raw):
            return known
        revision = 1 if known is None else known.revision + 1
        document = GovernedDocument(
            kind, name, revision, digest_of(raw), canonical.decode(raw), at, person
        )
        self.connection.execute(
            GOVERNED.insert().values(
                kind=kind,
                name=name,
                revision=revision,
                digest=document.digest,
                content=raw.decode(),
                recorded_at=at,
                recorded_by=person,
            )
        )
        return document

    def _documents(self, query: Select[Any]) -> tuple[GovernedDocument, ...]:
        return tuple(_document(row) for row in self.connection.execute(query))


def _document(row: Row[Any]) -> GovernedDocument:
    return GovernedDocument(
        kind=row.kind,
        name=row.name,
        revision=row.revision,
        digest=row.digest,
        content=canonical.decode(row.content.encode()),
        recorded_at=row.recorded_at,
        recorded_by=row.recorded_by,
    )
