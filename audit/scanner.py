"""Looks for patient data in what was written: the guard's independent second look.

The guard refuses forms when a record is made; the scanner reads bytes that lie there, and
knows what to look for: the words of known patients in every spelling that software makes of
them, and the forms of identifiers.  Zero hits is what is expected of the log.

Read next: `guard.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

FORMS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    # PS3.5 6.2: components of a person's name are joined by a caret.
    ("person name", re.compile(rb"[^\W\d_]\^[^\W\d_]")),
    # A UID that is neither of the standard (PS3.6) nor made by us (2.25, PS3.5 B.2).
    (
        "unique identifier",
        re.compile(rb"(?<![\d.])(?!1\.2\.840\.10008\.)[012]\.(?!25\.)\d+(?:\.\d+){4,}"),
    ),
    ("date", re.compile(rb'"(?:19|20)\d\d-?(?:0\d|1[0-2])-?(?:[0-2]\d|3[01])"')),
    ("e-mail address", re.compile(rb"[\w.+-]+@[\w-]+\.[a-z]{2,}")),
    ("telephone number", re.compile(rb'"\+?\d{2,4}[ /-]\d{3,}[ -]?\d{2,}"')),
    ("sentence", re.compile(rb'"[A-Za-z]+(?: [A-Za-z,]+){3,}')),
)
_SHORTEST = 4


def scan(data: bytes, words: Iterable[str] = ()) -> Iterator[str]:
    """Yield what was found in one record: the name of a form, or ``known word``.

    Parameters
    ----------
    words : from `spellings`; they must be found in no record.
    """
    for name, form in FORMS:
        if form.search(data):
            yield name
    lower = data.decode("utf-8", "replace").lower()
    if any(word in lower for word in words):
        yield "known word"


def spellings(values: Iterable[str]) -> frozenset[str]:
    """Return the spellings of identifying values, in lower case; short ones cannot be told."""
    found: set[str] = set()
    for value in values:
        text = value.strip().lower()
        date = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)", text)
        found.add(text)
        found |= set(re.split(r"[\^\s,;=]+", text))
        if date:
            year, month, day = date.groups()
            found |= {f"{year}{month}{day}", f"{year}-{month}-{day}", f"{day}.{month}.{year}"}
            found |= {f"{month}/{day}/{year}", f"{day}/{month}/{year}"}
        if text.isdigit():
            found.add(text.lstrip("0"))
    return frozenset(
        spelt
        for text in found
        if len(text) >= _SHORTEST
        for spelt in (text, text.encode("unicode_escape").decode(), text.encode().hex())
    )
