"""The page of evidence: one click writes a signed pack, and an outsider checks it alone.

A pack is read-only work (a GET): compliance may ask for it, and it changes nothing but the log,
which says that it was made.

Read next: `adapters/evidence/packing.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.responses import Response

from adapters.database.search import Wanted
from adapters.evidence.packing import Asked, pack_evidence
from adapters.web.formats import moment, read_moment
from adapters.web.shell import Pages, language_of
from governance.evidence import ARTICLES

if TYPE_CHECKING:
    from adapters.compose import Site


@dataclass(frozen=True, slots=True)
class ArticleLine:
    """One article that a pack can speak for."""

    number: str
    title: tuple[str, str]
    demands: tuple[str, str]


@dataclass(frozen=True, slots=True)
class EvidencePage:
    """What can be packed, and the packs that were made."""

    articles: tuple[ArticleLine, ...]
    zone: str
    key: str
    tree_size: int
    made: tuple[tuple[int, str, str], ...]


def evidence_page(site: Site) -> EvidencePage:
    """Return the articles, the key that an outsider needs, and the last exports."""
    zone = site.configuration.site.time_zone
    with site.database.reading() as transaction:
        exports = transaction.search_records(Wanted(kind="export"), limit=10)
        size = transaction.tree_size()
    return EvidencePage(
        articles=tuple(
            ArticleLine(number, item.title, item.demands) for number, item in ARTICLES.items()
        ),
        zone=zone,
        key=site.keys.log.verifier.text(),
        tree_size=size,
        made=tuple(
            (row.leaf_index, moment(row.recorded_at, zone), row.actor.removeprefix("account:"))
            for row in exports
        ),
    )


def evidence_routes(app: FastAPI, view: Pages) -> None:
    """Add the page of evidence and the pack itself."""

    @app.get("/evidence")
    def evidence(request: Request) -> Response:
        return view.render(request, "evidence.html", page=evidence_page(view.site))

    @app.get("/evidence/pack")
    def pack(
        request: Request,
        article: Annotated[list[str] | None, Query()] = None,
        since: str = "",
        until: str = "",
    ) -> Response:
        site, zone = view.site, view.site.configuration.site.time_zone
        asked = Asked(
            articles=tuple(article or ()),
            since=read_moment(since, zone),
            until=read_moment(until, zone),
            language="de" if language_of(request) == "de" else "en",
        )
        person = f"account:{request.state.session.account_id}"
        with _folder(site) as (folder, leave):
            path = folder / f"evidence-{site.now():%Y%m%dT%H%M%SZ}.zip"
            pack_evidence(site, path, asked, person)
            leave.append(True)
        return FileResponse(
            path,
            media_type="application/zip",
            filename=path.name,
            background=BackgroundTask(_remove, path),
        )


@contextmanager
def _folder(site: Site) -> Iterator[tuple[Path, list[bool]]]:
    """Give a folder for one pack; it goes again unless the pack is on its way."""
    leave: list[bool] = []
    exports = site.home.root / "exports"
    exports.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="pack-", dir=exports))
    try:
        yield folder, leave
    finally:
        if not leave:
            _remove(folder / "none")


def _remove(path: Path) -> None:
    """Remove a pack that was sent, with its folder."""
    for item in path.parent.iterdir():
        item.unlink(missing_ok=True)
    path.parent.rmdir()
