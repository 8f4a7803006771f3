"""What is new on a server that has no change feed: compare two lists of studies.

The cursor holds, for every known study, a short signature: how many instances and series it
had, and 16 bits of a digest of the patient's number (enough to see that it became another,
too few to find out which).  A study whose signature is new or another has changed; one that is
gone was deleted.  The cursor is compressed text: about 40 bytes for each study.

What this cannot see: an instance that was replaced by another one of the same study
between two polls, on a server that counts but has no dates of arrival.  The inputs of answers
are read again for that (`../corrections.py`).

Read next: `pacs.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime

from adapters.pacs import Change, ChangeBatch
from audit.errors import RejectedError

_VERSION = "q1:"


def signature(study_uid: str, instances: int, series: int | None, patient_id: str) -> str:
    """Return what is kept of a study as the server lists it."""
    digest = hashlib.sha256(f"{study_uid}|{patient_id}".encode()).hexdigest()[:4]
    return f"{instances}/{'' if series is None else series}@{digest}"


def _parts(signature: str) -> tuple[list[str], list[str]]:
    """Return counts and patients of a signature; of an older cursor the patients are not known."""
    parts = [part.partition("@") for part in signature.split("+")]
    return [counts for counts, _, _ in parts], [patient for _, _, patient in parts if patient]


def encode(known: Mapping[str, str]) -> str:
    """Return the signatures by Study Instance UID as a cursor; inverse of `decode`."""
    text = json.dumps(known, sort_keys=True, separators=(",", ":"))
    return _VERSION + base64.b85encode(zlib.compress(text.encode(), 6)).decode()


def decode(cursor: str | None) -> dict[str, str]:
    """Return the signatures that a cursor holds; None holds nothing."""
    if cursor is None:
        return {}
    try:
        if not cursor.startswith(_VERSION):
            raise ValueError
        found = json.loads(zlib.decompress(base64.b85decode(cursor[len(_VERSION) :])))
    except (ValueError, zlib.error) as error:
        raise RejectedError("expected a cursor of a DICOMweb server, found another text") from error
    return dict(found)


def compare(
    cursor: str | None,
    present: Mapping[str, str],
    is_gone: Callable[[str], bool],
    now: datetime,
    limit: int,
) -> ChangeBatch:
    """Return one change for each study that differs from what the cursor holds.

    Parameters
    ----------
    present : Study Instance UID -> signature, as the server lists them now.
    is_gone : asks the server for one study that the list does not hold (the list may be
        limited to a window of dates, or have shifted while it was read).
    limit : at most this many changes; the rest stays for the next call.
    """
    known = decode(cursor)
    changed = [uid for uid, signature in present.items() if known.get(uid) != signature]
    missing = [uid for uid in known if uid not in present]
    changes = []
    for uid in changed[:limit]:
        is_new = uid not in known
        before, known[uid] = known.get(uid, ""), present[uid]
        (counts, patients), (counted, listed) = _parts(before), _parts(present[uid])
        if is_new or counts != counted:
            changes.append(Change("changed", uid, now))
        if patients and patients != listed:
            changes.append(Change("patient", uid, now))
    room = limit - len(changes)
    gone = [uid for uid in missing[:room] if is_gone(uid)] if room > 0 else []
    for uid in gone:
        del known[uid]
        changes.append(Change("deleted", uid, now))
    return ChangeBatch(tuple(changes), encode(known), more=len(changed) > limit)
