"""The shell of every page: templates, language, the reader's session.

Read next: `app.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from adapters.web.access import Session
from adapters.web.texts import LANGUAGES, translator

if TYPE_CHECKING:
    from adapters.compose import Site

HERE = Path(__file__).parent


class Pages:
    """Renders pages in the shell for one site."""

    def __init__(self, site: Site, act: Callable[[str, str, str], object]) -> None:
        self.site = site
        self.act = act
        self.environment = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
        )

    def render(
        self, request: Request, template: str, status: int = 200, **context: Any
    ) -> Response:
        """Return a page in the language and session of the request."""
        language = language_of(request)
        t = translator(language)
        mode = self.site.configuration.site.mode
        html = self.environment.get_template(template).render(
            t=t,
            language=language,
            other_language="de" if language == "en" else "en",
            session=getattr(request.state, "session", None),
            notice=t["clinical" if mode == "clinical" else "research"],
            **context,
        )
        return HTMLResponse(html, status_code=status)

    def message(self, request: Request, status: int, key: str) -> Response:
        """Return a page with one sentence."""
        text = translator(language_of(request))[key]
        return self.render(request, "message.html", status, heading=str(status), message=text)


def language_of(request: Request) -> str:
    """Return the language that the reader chose, else the browser's, else English."""
    chosen = request.cookies.get("osteon_language", "")
    if chosen in LANGUAGES:
        return chosen
    return "de" if request.headers.get("accept-language", "").lower().startswith("de") else "en"


def csrf_holds(request: Request, csrf: str) -> bool:
    """Return whether a form carries the token of the reader's own session."""
    session: Session | None = request.state.session
    return session is not None and secrets.compare_digest(session.csrf, csrf)
