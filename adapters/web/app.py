"""The routes of the pages, each guarded by the table in `access.py`.

Security headers on every answer: a content security policy that allows our own style sheet
and pictures and nothing else, no framing, no referrer, no caching of pages.

Source: OWASP Secure Headers; W3C Content Security Policy Level 3.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Form, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from adapters.passwords import change_password, check_password
from adapters.web import access, metrics, pages
from adapters.web.access import COOKIE, ROUTES, Session
from adapters.web.texts import LANGUAGES, translator
from audit.errors import AuthenticationError, NotFoundError, SuiteError

if TYPE_CHECKING:
    from adapters.compose import Site

HERE = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Next = Callable[[Request], Awaitable[Response]]


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


def build_app(site: Site, act: Callable[[str, str, str], object]) -> FastAPI:
    """Return the web application of a site.

    Parameters
    ----------
    act : called with (action, run_id, account_id) for retry and discard.
    """
    app = FastAPI(title="Osteon", docs_url=None, redoc_url=None, openapi_url=None)
    view = Pages(site, act)
    app.middleware("http")(_guard(view))
    _open_routes(app, view)
    _sign_in_routes(app, view)
    _run_routes(app, view)
    return app


def _guard(view: Pages) -> Callable[[Request, Next], Awaitable[Response]]:
    async def guard(request: Request, call_next: Next) -> Response:
        response = await _answer(view, request, call_next)
        response.headers.update(HEADERS)
        return response

    return guard


async def _answer(view: Pages, request: Request, call_next: Next) -> Response:
    key = view.site.keys.session
    session = access.decode(request.cookies.get(COOKIE, ""), key, view.site.now())
    request.state.session = session
    path = request.url.path
    rule = rule_for(request.method, path)
    if rule is None:
        return await call_next(request)
    if rule == "token":
        allowed = metrics.token_matches(request, view.site.configuration.web.metrics_token)
        return await call_next(request) if allowed else PlainTextResponse("token\n", 401)
    if session is None:
        return RedirectResponse("/sign-in", 303)
    if rule == "unknown":
        return view.message(request, 404, "not_found")
    if session.role not in rule:
        return view.message(request, 403, "forbidden")
    if session.must_change_password and path not in ("/account", "/sign-out"):
        return RedirectResponse("/account", 303)
    return await call_next(request)


def rule_for(method: str, path: str) -> frozenset[str] | str | None:
    """Return what the table says of a route: roles, "token", None for open, or "unknown"."""
    for (known, pattern), roles in ROUTES.items():
        if known == method and _matches(pattern, path):
            return roles
    return "unknown"


def _matches(pattern: str, path: str) -> bool:
    wanted, found = pattern.strip("/").split("/"), path.strip("/").split("/")
    if wanted[-1] == "{path:path}":
        return found[: len(wanted) - 1] == wanted[:-1]
    return len(wanted) == len(found) and all(
        part.startswith("{") or part == other for part, other in zip(wanted, found, strict=True)
    )


def _open_routes(app: FastAPI, view: Pages) -> None:
    @app.get("/health")
    def health() -> dict[str, str]:
        return metrics.health(view.site)

    @app.get("/metrics")
    def show_metrics() -> Response:
        return metrics.exposition(view.site)

    @app.get("/static/{path:path}")
    def static(path: str) -> Response:
        file = (HERE / "static" / path).resolve()
        if file.parent != HERE / "static" or not file.is_file():
            return PlainTextResponse("not found\n", 404)
        return FileResponse(file)

    @app.get("/language/{language}")
    def choose_language(language: str) -> Response:
        response = RedirectResponse("/", 303)
        if language in LANGUAGES:
            response.set_cookie("osteon_language", language, samesite="strict", httponly=True)
        return response


def _sign_in_routes(app: FastAPI, view: Pages) -> None:
    @app.get("/sign-in")
    def form(request: Request) -> Response:
        return _sign_in_form(view, request, "")

    @app.post("/sign-in")
    def sign_in(
        request: Request,
        account_id: Annotated[str, Form()],
        password: Annotated[str, Form()],
        csrf: Annotated[str, Form()],
    ) -> Response:
        if not secrets.compare_digest(csrf, request.cookies.get("osteon_form", "-")):
            return view.message(request, 403, "forbidden")
        try:
            account = check_password(view.site.database, account_id, password, view.site.now())
        except AuthenticationError:
            return _sign_in_form(view, request, translator(language_of(request))["wrong"], 401)
        session = access.open_session(
            account.account_id,
            account.role,
            view.site.now(),
            must_change_password=account.must_change_password,
        )
        response = RedirectResponse("/", 303)
        _set_session(request, response, access.encode(session, view.site.keys.session))
        return response

    @app.post("/sign-out")
    def sign_out(request: Request, csrf: Annotated[str, Form()]) -> Response:
        if not _csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE)
        return response

    @app.get("/account")
    def account(request: Request) -> Response:
        return _account_page(view, request)

    @app.post("/account")
    def change(
        request: Request,
        password: Annotated[str, Form()],
        new_password: Annotated[str, Form()],
        csrf: Annotated[str, Form()],
    ) -> Response:
        session: Session = request.state.session
        if not _csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        t = translator(language_of(request))
        try:
            change_password(
                view.site.database, session.account_id, password, new_password, view.site.now()
            )
        except AuthenticationError:
            return view.render(request, "account.html", 401, message=t["wrong"])
        except SuiteError:
            return view.render(request, "account.html", 400, message=t["password_short"])
        fresh = access.open_session(session.account_id, session.role, view.site.now())
        request.state.session = fresh
        response = view.render(request, "account.html", message=t["password_changed"])
        _set_session(request, response, access.encode(fresh, view.site.keys.session))
        return response


def _run_routes(app: FastAPI, view: Pages) -> None:
    @app.get("/")
    def runs(request: Request, offset: int = 0) -> Response:
        page = pages.runs_page(view.site, max(0, offset))
        return view.render(request, "runs.html", page=page)

    @app.get("/runs/{run_id}")
    def run(request: Request, run_id: str) -> Response:
        try:
            page = pages.run_page(view.site, run_id, request.state.session)
        except NotFoundError:
            return view.message(request, 404, "not_found")
        return view.render(request, "run.html", page=page)

    @app.get("/runs/{run_id}/overview.png")
    def overview(request: Request, run_id: str) -> Response:
        path = pages.overview_path(view.site, run_id)
        if path is None:
            return view.message(request, 404, "not_found")
        return FileResponse(path, media_type="image/png")

    @app.post("/runs/{run_id}/{action}")
    def act(request: Request, run_id: str, action: str, csrf: Annotated[str, Form()]) -> Response:
        if not _csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        try:
            view.act(action, run_id, request.state.session.account_id)
        except NotFoundError:
            return view.message(request, 404, "not_found")
        return RedirectResponse(f"/runs/{run_id}", 303)


def _sign_in_form(view: Pages, request: Request, message: str, status: int = 200) -> Response:
    # A browser asks for other addresses beside the form (favicon.ico); a fresh token for each
    # would make the form that is on the screen useless.
    known = request.cookies.get("osteon_form", "")
    token = known if len(known) >= 32 else secrets.token_urlsafe(24)
    response = view.render(request, "sign_in.html", status, message=message, csrf=token)
    secure = request.url.scheme == "https"
    response.set_cookie("osteon_form", token, samesite="strict", httponly=True, secure=secure)
    return response


def _account_page(view: Pages, request: Request) -> Response:
    t = translator(language_of(request))
    session: Session = request.state.session
    message = t["must_change"] if session.must_change_password else ""
    return view.render(request, "account.html", message=message)


def _csrf_holds(request: Request, csrf: str) -> bool:
    session: Session | None = request.state.session
    return session is not None and secrets.compare_digest(session.csrf, csrf)


def _set_session(request: Request, response: Response, cookie: str) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, cookie, samesite="strict", httponly=True, secure=secure, max_age=8 * 3600
    )
