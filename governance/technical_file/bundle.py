"""One signed bundle of the technical file: deterministic, so that its digest names its content.

The zip holds the file, both indexes, the readable pages, the instructions for use, the log
guide, the model cards, the risk register with its trace, the declaration, and a copy of every
textual source under its digest.  The same sources give the same bytes; no time is in it.  The
signature stands beside it.  What was built is kept as the governed document ``technical_file``
of the release digest, sealed: the gate reads that.

Source: REGULATORY.md AIA-8.2, AIA-11.1.

Read next: `gates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit import canonical
from governance.release import digest_of, pack_zip
from governance.technical_file.fields import SUBGROUPS
from governance.technical_file.file import TechnicalFile, encode
from governance.technical_file.sources import Sources

KIND = "technical_file"
"""Governed document by release digest: what was built last."""
SCHEMA = "osteon.technical_file_record/1"
BUNDLE, SIGNATURE = "technical-file.zip", "technical-file.zip.sig.json"


def pack_bundle(documents: Mapping[str, bytes], sources: Sources) -> bytes:
    """Return the zip of the documents and of every source that is text or JSON.

    A source whose bytes are one of the documents already is not packed a second time.
    """
    content = dict(documents)
    known = {digest_of(raw) for raw in content.values()}
    for source in sources.found.values():
        raw = source_bytes(source.content)
        if raw is None or source.live or digest_of(raw) in known:
            continue
        known.add(digest_of(raw))
        ending = "md" if isinstance(source.content, str) else "json"
        content[f"sources/{digest_of(raw).removeprefix('sha256:')[:16]}.{ending}"] = raw
    return pack_zip(content)


def source_bytes(content: Any) -> bytes | None:
    """Return the bytes of a source: text as it is, JSON canonically; None for neither."""
    if isinstance(content, str):
        return content.encode()
    return canonical.encode(content) if isinstance(content, (Mapping, list)) else None


def record_of(file: TechnicalFile, bundle: bytes, person: tuple[str, str]) -> dict[str, Any]:
    """Return what is kept of a built file: digests, counts, gaps and sources; yet unsealed.

    Parameters
    ----------
    person : account id and role of who built it.
    """
    return {
        "schema": SCHEMA,
        "plugin": file.plugin,
        "version": file.version,
        "release_digest": file.release_digest,
        "bundle_sha256": digest_of(bundle),
        "file_sha256": digest_of(canonical.encode(encode(file))),
        "counts": file.counts(),
        "missing": list(file.missing()),
        "subgroups_missing": SUBGROUPS in file.missing(),
        "sources": dict(file.sources),
        "author": person[0],
        "role": person[1],
    }


def stale_sources(record: Mapping[str, Any], current: Mapping[str, str]) -> tuple[str, ...]:
    """Return the sources that changed, came or went since a file was built, by name."""
    before = record.get("sources", {})
    return tuple(
        sorted(name for name in {*before, *current} if before.get(name) != current.get(name))
    )
