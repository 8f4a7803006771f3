"""What is on record here under the signature of a key: the list that is closed when it goes.

Signatures stand in governed documents (certificates, sealed documents, plans), each with the
time at which this site recorded it, and beside releases, which have the time at which they
were registered.  Only what verifies now is counted.

Read next: `key_changes.py`; KEYS.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.database import Transaction
from audit import canonical
from audit.errors import ReleaseError, SignatureError
from governance.certificate import ATTACHMENT
from governance.release import open_release
from governance.signing import FOLDER, TrustedKey, verify_signature

_PARTS = {"key_id", "purpose", "digest", "signed_at", "signature"}


def on_record(
    transaction: Transaction, key: TrustedKey, before: datetime | None = None
) -> frozenset[str]:
    """Return the digests that this key signed and that were recorded here, in time.

    Parameters
    ----------
    before : only what was recorded before this moment counts; None: everything.
    """
    trust = (replace(key, revoked_at=None, valid_until=None, kept=None),)
    found = set()
    for recorded_at, statement in _statements(transaction):
        if (statement["key_id"], statement["purpose"]) != (key.key_id, key.purpose):
            continue
        if before is not None and recorded_at >= before:
            continue
        digest = str(statement["digest"])
        try:
            verify_signature(canonical.encode(dict(statement)), digest, trust, key.purpose)
        except SignatureError:
            continue  # what does not verify was never under this key
        found.add(digest)
    return frozenset(found)


def _statements(transaction: Transaction) -> Iterator[tuple[datetime, Mapping[str, Any]]]:
    """Yield every signature that lies here, with when this site recorded it."""
    for document in transaction.governed_everything():
        for statement in _inside(document.content):
            yield document.recorded_at, statement
    for row in transaction.releases():
        since = [
            item.since
            for item in transaction.deployment_history(row.plugin)
            if item.release_digest == row.digest
        ]
        if not since:
            continue
        for content in _attached(Path(row.path), row.digest):
            for statement in _inside(content):
                yield min(since), statement


def _attached(path: Path, digest: str) -> Iterator[Any]:
    try:
        release = open_release(path, digest)
        for name in release.attachments:
            if name.startswith(FOLDER) or name == ATTACHMENT:
                yield json.loads(release.attachment(name))
    except (ReleaseError, ValueError):
        return  # damaged: nothing in it vouches for anything


def _inside(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the signatures inside a decoded document, also those that are kept as text."""
    if isinstance(value, Mapping):
        if set(value) == _PARTS:
            yield value
        for item in value.values():
            yield from _inside(item)
    elif isinstance(value, list):
        for item in value:
            yield from _inside(item)
    elif isinstance(value, str) and value.startswith("{") and '"signature"' in value:
        try:
            yield from _inside(json.loads(value))
        except ValueError:
            return
