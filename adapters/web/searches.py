"""Searches that a reader keeps: in the reader's own browser, so that nothing here changes.

A compliance officer reads everything and writes nothing; a kept search is a cookie that only
this site gets back, with names and queries as the reader typed them.

Read next: `audit.py`.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

COOKIE = "osteon_searches"
MOST = 12
LONGEST_NAME, LONGEST_QUERY = 40, 300
_KEPT_S = 400 * 86400


def kept_searches(request: Request) -> tuple[tuple[str, str], ...]:
    """Return (name, query) of the searches that the reader keeps."""
    try:
        stated = json.loads(urlsafe_b64decode(request.cookies.get(COOKIE, "")))
    except ValueError:
        return ()
    if not isinstance(stated, list):
        return ()
    return tuple(
        (str(item[0])[:LONGEST_NAME], _query(str(item[1])))
        for item in stated[:MOST]
        if isinstance(item, list) and len(item) == 2 and str(item[0]).strip()
    )


def search_routes(app: FastAPI) -> None:
    """Add keeping and dropping a search."""

    @app.get("/audit/searches/keep")
    def keep(request: Request, name: str = "", query: str = "") -> Response:
        title = " ".join(name.split())[:LONGEST_NAME]
        others = [item for item in kept_searches(request) if item[0] != title]
        kept = [*others, (title, _query(query))][-MOST:] if title else others
        return _answer(request, kept, _query(query))

    @app.get("/audit/searches/drop")
    def drop(request: Request, name: str = "") -> Response:
        return _answer(request, [item for item in kept_searches(request) if item[0] != name], "")


def _answer(request: Request, kept: list[tuple[str, str]], query: str) -> Response:
    response = RedirectResponse(f"/audit?{query}" if query else "/audit", 303)
    value = urlsafe_b64encode(json.dumps(kept).encode()).decode()
    response.set_cookie(
        COOKIE,
        value,
        max_age=_KEPT_S,
        samesite="strict",
        httponly=True,
        secure=request.url.scheme == "https",
        path="/audit",
    )
    return response


def _query(text: str) -> str:
    """Return a query without anything but filters, however it was typed."""
    from adapters.web.audit import FILTERS

    pairs = [(key, value) for key, value in parse_qsl(text[:LONGEST_QUERY]) if key in FILTERS]
    return urlencode(pairs)
