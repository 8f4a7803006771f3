"""Collects what a pack holds and writes it; the export is itself on record before it leaves.

Read next: `audit/pack.py`, `index_page.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.documents.report_html import report_html
from adapters.evidence.index_page import index_report
from adapters.evidence.reports import report_files
from adapters.log_key import handovers
from audit import canonical
from audit.errors import ConfigurationError
from audit.pack import INDEX, Contents, write_pack
from audit.ports import StoredLeaf
from audit.tombstone import is_tombstone
from governance.evidence import ARTICLES, QUOTED, chosen, kinds_of
from governance.ports import GovernedDocument
from governance.report import Language

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.database import Transaction

PAGE = 1000
SHOWN = 200
"""How many records of an article the index lists; all of them are in the file."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pack is asked for.

    Parameters
    ----------
    articles : numbers; empty means all.
    since, until : aware UTC; None is from the beginning, to the end.
    """

    articles: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    language: Language = "en"


@dataclass(frozen=True, slots=True)
class Packed:
    """A pack that was written."""

    path: Path
    count: int
    tree_size: int
    sha256: str


@dataclass(slots=True)
class Tally:
    """What was put into a pack: how many records of each kind, and the first of each article."""

    kinds: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)


def pack_evidence(site: Site, path: Path, asked: Asked, person: str) -> Packed:
    """Write an evidence pack, on record, and return what is in it.

    Raises
    ------
    ConfigurationError : an article is not known, or the window ends before it begins.
    """
    articles = chosen(asked.articles)
    if asked.since and asked.until and asked.until <= asked.since:
        raise ConfigurationError("expected a window that ends after it begins")
    with site.database.transaction() as transaction:
        site.journal.access(transaction, "audit-log", "evidence", person)
    site.seal(force=True)
    building = path.with_name(f".{path.name}.building")
    try:
        with site.database.reading() as transaction:
            checkpoint = transaction.last_checkpoint()
            size = checkpoint.tree_size if checkpoint else 0
            count = _write(site, transaction, building, (asked, articles, size, person))
        digest = _digest(building)
        _record(site, asked, articles, (count, digest, person))
        building.replace(path)
    finally:
        building.unlink(missing_ok=True)
    return Packed(path, count, size, digest)


def _write(
    site: Site,
    transaction: Transaction,
    path: Path,
    what: tuple[Asked, tuple[str, ...], int, str],
) -> int:
    asked, articles, size, person = what
    kinds = kinds_of(articles)
    tally = Tally()
    taken = _taken(transaction.leaves(0, size), asked, kinds)
    for leaf in taken:  # once to know what the index says, once to write
        _count(tally, leaf, articles)
    documents = transaction.governed_newest()
    files = {**report_files(site, transaction, asked.since, asked.until)}
    files |= _documents(documents, articles)
    stated = _stated(site, asked, articles, size, person)
    report = index_report(stated, tally.kinds, tally.first, documents, asked.language)
    files[INDEX] = report_html(report).encode()
    signed = [item for item in transaction.checkpoints() if item.tree_size <= size]
    contents = Contents(
        stated=stated,
        leaves=_taken(transaction.leaves(0, size), asked, kinds),
        hashes=transaction.leaf_hashes(size),
        checkpoints=signed,
        attestations=transaction.attestations(),
        files=files,
        handovers=handovers(transaction),
    )
    return write_pack(path, contents, site.keys.log)


def _taken(
    leaves: Iterator[StoredLeaf], asked: Asked, kinds: frozenset[str]
) -> Iterator[StoredLeaf]:
    whole = asked.since is None and asked.until is None
    for leaf in leaves:
        inside = (asked.since is None or leaf.recorded_at >= asked.since) and (
            asked.until is None or leaf.recorded_at < asked.until
        )
        if inside and leaf.kind in kinds and (whole or not is_tombstone(leaf.leaf)):
            yield leaf


def _count(tally: Tally, leaf: StoredLeaf, articles: tuple[str, ...]) -> None:
    tally.kinds[leaf.kind] += 1
    for name in articles:
        wanted = ARTICLES[name].kinds
        listed = tally.first.setdefault(name, [])
        if (not wanted or leaf.kind in wanted) and len(listed) < SHOWN:
            at = leaf.recorded_at.strftime("%Y-%m-%d %H:%M:%S")
            listed.append((leaf.leaf_index or 0, at, leaf.kind))


def _documents(
    documents: tuple[GovernedDocument, ...], articles: tuple[str, ...]
) -> dict[str, bytes]:
    """Return the documents that speak for the articles, quoted where that is right."""
    wanted = {kind for name in articles for kind in ARTICLES[name].documents}
    files: dict[str, bytes] = {}
    for item in documents:
        if item.kind in wanted:
            stated = asdict(item) | {"recorded_at": item.recorded_at.isoformat()}
            if item.kind not in QUOTED:
                stated["content"] = "not quoted"
            name = hashlib.sha256(item.name.encode()).hexdigest()[:12]
            files[f"documents/{item.kind}-{name}-{item.revision}.json"] = canonical.encode(stated)
    return files


def _stated(
    site: Site, asked: Asked, articles: tuple[str, ...], size: int, person: str
) -> dict[str, Any]:
    return {
        "site": site.configuration.site.name,
        "origin": site.keys.log.verifier.name,
        "tree_size": size,
        "from": asked.since.isoformat() if asked.since else "",
        "to": asked.until.isoformat() if asked.until else "",
        "made_at": site.now().isoformat(),
        "made_by": person,
        "articles": {
            name: {
                "title": ARTICLES[name].title[0],
                "kinds": list(ARTICLES[name].kinds) or ["*"],
                "documents": list(ARTICLES[name].documents),
                "reports": [f"reports/{item}.json" for item in ARTICLES[name].reports],
            }
            for name in articles
        },
    }


def _record(
    site: Site, asked: Asked, articles: tuple[str, ...], done: tuple[int, str, str]
) -> None:
    count, digest, person = done
    filters: Mapping[str, Any] = {
        "articles": list(articles),
        "since": asked.since.isoformat() if asked.since else "",
        "until": asked.until.isoformat() if asked.until else "",
    }
    body = {
        "what": "evidence-pack",
        "format": "evidence",
        "purpose": "evidence",
        "count": count,
        "sha256": digest,
        "filters": json.loads(json.dumps(filters)),
    }
    with site.database.transaction() as transaction:
        site.journal.export(transaction, body, person)
    site.seal()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
