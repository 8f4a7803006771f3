"""Quotations from a model card: its parts by title, as the author of the plugin wrote them.

A card is Markdown: ``## Title`` opens a part, and so does ``**Title.**`` or ``**Title**:`` at
the head of a paragraph.  Nothing is rephrased; marks of emphasis are dropped.

Read next: `contents_release.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LEAD = re.compile(r"\*\*([^*]{2,60}?)[.:]?\*\*[:.]?\s+(?=\S)")
_MARKS = re.compile(r"[*`]{1,2}(?=\S)|(?<=\S)[*`]{1,2}")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def parts(card: str) -> dict[str, str]:
    """Return title in lower case -> text, paragraphs parted by an empty line.

    Examples
    --------
    >>> parts("**Data.** None. **Limits.** Contrast\\nmedium.")
    {'data': 'None.', 'limits': 'Contrast medium.'}
    """
    found: dict[str, list[str]] = {}
    title = ""
    for paragraph in re.split(r"\n\s*\n", _COMMENT.sub("", card)):
        for name, text in _pieces(paragraph.strip()):
            title = name or title
            if text:
                found.setdefault(title, []).append(text)
    return {name: "\n\n".join(texts) for name, texts in found.items() if name}


def part(card: str | None, *titles: str) -> str:
    """Return the first part that the card has under one of these titles, else an empty text."""
    known = parts(card or "")
    return next((known[title] for title in titles if title in known), "")


def items(text: str) -> tuple[str, ...]:
    """Return the list items of a part, or its paragraphs where it has no list."""
    if re.search(r"^- ", text, re.MULTILINE):
        rows = re.split(r"^- ", text, flags=re.MULTILINE)
        return tuple(" ".join(row.split()) for row in rows if row.strip())
    return tuple(" ".join(row.split()) for row in text.split("\n\n") if row.strip())


def _pieces(paragraph: str) -> Iterator[tuple[str, str]]:
    """Yield (title, text) of a paragraph; the title is empty where it goes on with the last."""
    if paragraph.startswith("#"):
        head, _, rest = paragraph.partition("\n")
        yield head.lstrip("# ").strip().lower(), _plain(rest)
        return
    if paragraph.startswith("|"):
        return  # tables are figures, and those come from their report
    if paragraph.startswith("- "):
        yield "", _plain(paragraph, keep_lines=True)
        return
    places = list(_LEAD.finditer(paragraph))
    if not places or places[0].start() > 0:
        yield "", _plain(paragraph[: places[0].start()] if places else paragraph)
    for index, place in enumerate(places):
        end = places[index + 1].start() if index + 1 < len(places) else len(paragraph)
        yield place.group(1).strip().lower(), _plain(paragraph[place.end() : end])


def _plain(text: str, *, keep_lines: bool = False) -> str:
    bare = _MARKS.sub("", text)
    if not keep_lines:
        return " ".join(bare.split())
    return "\n".join(line.rstrip() for line in bare.splitlines())
