"""Build the technical file of a release at a site: look, write, sign, record.

    1. collect the sources and build the file
    2. make every document and the bundle
    3. write them, each whole or not at all; print the pages where WeasyPrint is there
    4. sign the bundle, seal and record what was built

A process that dies on the way leaves files and no record; the next build writes the same files
again.  What was built is on record only when everything is written.

Read next: `documents.py`, `governance/technical_file/bundle.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from adapters.documents.report_pdf import report_pdf
from adapters.technical_file.acts import AUTHORS, draft_declaration, require
from adapters.technical_file.documents import PRINTED, documents
from adapters.technical_file.site_sources import SourceRoom
from adapters.writing import write_whole
from audit.errors import ConfigurationError
from governance import declaration
from governance.declaration import CeMarking, ce_marking
from governance.release import digest_of
from governance.sealed import PURPOSE, seal
from governance.signing import sign
from governance.technical_file.bundle import (
    BUNDLE,
    KIND,
    SIGNATURE,
    pack_bundle,
    record_of,
    stale_sources,
)
from governance.technical_file.file import TechnicalFile, build
from governance.technical_file.sources import Sources, nothing

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.governance.persons import Person

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Looked:
    """A technical file as it is now, with what it is made from.

    Parameters
    ----------
    record : what was built last; None when nothing was.
    stale : sources that changed since then.
    """

    file: TechnicalFile
    sources: Sources
    record: dict[str, Any] | None
    stale: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """What was written."""

    file: TechnicalFile
    folder: Path
    names: tuple[str, ...]
    bundle_sha256: str
    pdf_advice: str


def source_room(site: Site) -> SourceRoom:
    """Return where the sources of a site's releases are collected."""
    return SourceRoom(site.home, site.configuration, site.database, site.now)


def look(site: Site, digest: str) -> Looked:
    """Return the technical file of a release as its sources give it now."""
    room = source_room(site)
    with site.database.reading() as transaction:
        sources = room.sources(digest, transaction)
        document = transaction.governed(KIND, digest)
    record = None if document is None else dict(document.content)
    stale = () if record is None else stale_sources(record, sources.digests())
    return Looked(build(sources, room.trust()), sources, record, stale)


def look_at_nothing(site: Site) -> Looked:
    """Return the technical file of a site that has no release: everything is missing."""
    sources = nothing(site.now().date())
    return Looked(build(sources, ()), sources, None, ())


def write(
    site: Site, looked: Looked, folder: Path, person: Person | None, *, pdf: bool = True
) -> Built:
    """Write the technical file into a folder; with a person, sign and record it too.

    Raises
    ------
    RefusalError : the person's role may not build it; nothing was written.
    """
    if person is not None:
        require(person, AUTHORS)
    digest = looked.file.release_digest
    draft = draft_declaration(site, digest) if digest else None
    made = documents(looked.file, looked.sources, draft, marking_of(site, digest))
    bundle = pack_bundle(made, looked.sources)
    written = {**made, BUNDLE: bundle}
    advice = ""
    if pdf:
        printed, advice = _printed(made)
        written |= printed
    if person is not None and digest:
        keys = site.keys
        signature = sign(digest_of(bundle), keys.report, keys.report_key_id, PURPOSE, site.now())
        written[SIGNATURE] = signature
    for name, content in written.items():
        write_whole(folder / name, content, make_folder=True)
    if person is not None and digest:
        _record(site, looked.file, bundle, person)
    return Built(looked.file, folder, tuple(sorted(written)), digest_of(bundle), advice)


def marking_of(site: Site, digest: str) -> CeMarking | None:
    """Return the CE marking that may be shown for a release here, None where none may."""
    if not digest:
        return None
    with site.database.reading() as transaction:
        document = transaction.governed(declaration.KIND, digest)
    content = None if document is None else document.content
    mode = site.configuration.site.mode
    return ce_marking(content, digest, mode, source_room(site).trust())


def _printed(made: dict[str, bytes]) -> tuple[dict[str, bytes], str]:
    """Return the PDFs of the pages that are printed, or the advice why there are none."""
    found = {}
    try:
        for name in PRINTED:
            if name in made:
                found[name.removesuffix(".html") + ".pdf"] = report_pdf(made[name].decode())
    except ConfigurationError as error:
        _log.warning("no pdf", reason=str(error))
        return {}, error.advice
    return found, ""


def _record(site: Site, file: TechnicalFile, bundle: bytes, person: Person) -> None:
    content = record_of(file, bundle, (person.account_id, person.role))
    with site.database.transaction() as transaction:
        known = transaction.governed(KIND, file.release_digest)
        if known is not None and _same(known.content, content):
            return
        sealed = seal(content, site.keys.sealer, site.now())
        account = f"account:{person.account_id}"
        document = transaction.put_governed(KIND, file.release_digest, sealed, account, site.now())
        site.journal.governed(transaction, document)


def _same(known: Any, content: dict[str, Any]) -> bool:
    """Return whether a record says what was built now, whoever built it."""
    keys = ("bundle_sha256", "file_sha256", "sources", "missing")
    return all(known.get(key) == content[key] for key in keys)
