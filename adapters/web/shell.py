"""The shell of every page: templates, language, the reader's session.

Read next: `app.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from adapters.web.access import Session, same_text
from adapters.web.navigation import menu
from adapters.web.texts import LANGUAGES, translator
from adapters.web.throttle import Throttle
from audit.errors import ConfigurationError, NotFoundError, RefusalError, SuiteError

if TYPE_CHECKING:
    from adapters.compose import Site

HERE = Path(__file__).parent


class Act(Protocol):
    """What a person does with a run; `adapters.hand.act` of a site does it."""

    def __call__(self, action: str, run_id: str, person: str, detail: str = "") -> object:
        """Do it; ``detail`` is the seed point ``x,y,z`` (LPS, mm) for the action ``seed``.

        Raises
        ------
        ConfigurationError : the run's state does not permit it; nothing was changed.
        NotFoundError : no such run or action.
        """
        ...


class Pages:
    """Renders pages in the shell for one site."""

    def __init__(self, site: Site, act: Act) -> None:
        self.site = site
        self.act = act
        self.throttle = Throttle()
        self.environment = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
        )

    def render(
        self, request: Request, template: str, status: int = 200, **context: Any
    ) -> Response:
        """Return a page in the language and session of the request."""
        language = language_of(request)
        session: Session | None = getattr(request.state, "session", None)
        t = translator(language)
        mode = self.site.configuration.site.mode
        html = self.environment.get_template(template).render(
            t=t,
            language=language,
            other_language="de" if language == "en" else "en",
            session=session,
            menu=menu(request.url.path, session.role) if session else (),
            notice=t["clinical" if mode == "clinical" else "research"],
            **context,
        )
        return HTMLResponse(html, status_code=status)

    def message(self, request: Request, status: int, key: str, detail: str = "") -> Response:
        """Return a page with one sentence; ``detail`` is English, from an error of the suite."""
        text = translator(language_of(request))[key]
        return self.render(
            request, "message.html", status, heading=str(status), message=text, detail=detail
        )

    def fault(self, request: Request, error: SuiteError) -> Response:
        """Return the page that says what an error means to the reader."""
        if isinstance(error, NotFoundError):
            return self.message(request, 404, "not_found")
        if isinstance(error, RefusalError):
            return self.message(request, 409, "refused", f"{error}. {error.advice}")
        if isinstance(error, ConfigurationError):
            return self.message(request, 409, "not_permitted", f"{error}. {error.advice}")
        return self.message(request, 503, "unavailable", f"{error.code}: {error.advice}")


def language_of(request: Request) -> str:
    """Return the language that the reader chose, else the browser's, else English."""
    chosen = request.cookies.get("osteon_language", "")
    if chosen in LANGUAGES:
        return chosen
    return "de" if request.headers.get("accept-language", "").lower().startswith("de") else "en"


def csrf_holds(request: Request, csrf: str) -> bool:
    """Return whether a form carries the token of the reader's own session."""
    session: Session | None = request.state.session
    return session is not None and same_text(session.csrf, csrf)
