"""The menu: which pages there are, and which of them the reader is on.

Read next: `shell.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.web.access import ROUTES

_PAGES = (
    ("/", "overview_page"),
    ("/runs", "runs"),
    ("/patients", "patients"),
    ("/releases", "releases"),
    ("/validation", "validation"),
    ("/oversight", "oversight"),
    ("/monitoring", "monitoring"),
    ("/alarms", "alarms"),
    ("/audit", "audit"),
    ("/incidents", "incidents"),
    ("/history", "history"),
    ("/technical-files", "technical_files"),
    ("/evidence", "evidence_page"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the menu."""

    href: str
    key: str
    is_current: bool


def menu(path: str, role: str) -> tuple[Entry, ...]:
    """Return the pages that a role may open; those that are not built are left out."""
    return tuple(
        Entry(href, key, _is_within(path, href)) for href, key in _PAGES if _may_open(href, role)
    )


def _may_open(href: str, role: str) -> bool:
    roles = ROUTES.get(("GET", href))
    return isinstance(roles, frozenset) and role in roles


def _is_within(path: str, href: str) -> bool:
    """Return whether a path is a page or one below it; a technical file is none of a release."""
    if path.endswith("/technical-file"):
        return href == "/technical-files"
    return path == href or (href != "/" and path.startswith(f"{href}/"))
