"""The routes of the pages, each guarded by the table in `access.py`.

Security headers on every answer: a content security policy that allows our own style sheet
and pictures and nothing else, no framing, no referrer, no caching of pages.

Source: OWASP Secure Headers; W3C Content Security Policy Level 3.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Form, Request
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse
from starlette.responses import Response

from adapters.web import access, metrics, pages
from adapters.web.access import COOKIE, ROUTES
from adapters.web.shell import HERE, Pages, csrf_holds
from adapters.web.sign_in import account_routes, sign_in_routes
from adapters.web.texts import LANGUAGES
from audit.errors import NotFoundError

if TYPE_CHECKING:
    from adapters.compose import Site

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
    sign_in_routes(app, view)
    account_routes(app, view)
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
        if not csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        try:
            view.act(action, run_id, request.state.session.account_id)
        except NotFoundError:
            return view.message(request, 404, "not_found")
        return RedirectResponse(f"/runs/{run_id}", 303)
