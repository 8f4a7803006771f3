"""The routes of the pages, each guarded by the table in `access.py`.

Security headers on every answer: a content security policy that allows our own style sheet
and pictures and nothing else, no framing, no referrer, no caching of pages.

Source: OWASP Secure Headers; W3C Content Security Policy Level 3.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse
from pydantic import FiniteFloat
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from adapters.web import access, metrics, pages
from adapters.web.access import COOKIE, ROUTES, Session
from adapters.web.alarms import alarm_routes
from adapters.web.audit import audit_routes
from adapters.web.evidence import evidence_routes
from adapters.web.history import history_routes
from adapters.web.incidents import incident_routes
from adapters.web.limits import Limiter, too_large
from adapters.web.monitoring import monitoring_routes
from adapters.web.oversight import oversight_routes
from adapters.web.overview import overview_routes
from adapters.web.patients import patient_routes
from adapters.web.releases import release_routes
from adapters.web.reviews import review_routes
from adapters.web.shell import HERE, Act, Pages, csrf_holds, language_of
from adapters.web.sign_in import account_routes, set_session, sign_in_routes
from adapters.web.sign_in_provider import provider_routes
from adapters.web.slices import slice_routes
from adapters.web.technical_files import technical_file_routes
from adapters.web.texts import LANGUAGES
from adapters.web.validation import validation_routes
from adapters.web.visit import note_access
from audit.errors import SuiteError

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
SCRIPTED = HEADERS["Content-Security-Policy"] + "; script-src 'self'; connect-src 'self'"
"""Of the one page whose sliders ask anew by themselves; our own script file, and no other."""
Next = Callable[[Request], Awaitable[Response]]


def build_app(site: Site, act: Act) -> FastAPI:
    """Return the web application of a site.

    Parameters
    ----------
    act : called when a person retries, forces, discards or seeds a run.
    """
    app = FastAPI(title="Osteon", docs_url=None, redoc_url=None, openapi_url=None)
    view = Pages(site, act)
    app.middleware("http")(_guard(view))
    _fault_pages(app, view)
    _open_routes(app, view)
    sign_in_routes(app, view)
    provider_routes(app, view)
    account_routes(app, view)
    _run_routes(app, view)
    overview_routes(app, view)
    slice_routes(app, view)
    review_routes(app, view)
    patient_routes(app, view)
    audit_routes(app, view)
    oversight_routes(app, view)
    evidence_routes(app, view)
    monitoring_routes(app, view)
    alarm_routes(app, view)
    incident_routes(app, view)
    technical_file_routes(app, view)
    release_routes(app, view)
    history_routes(app, view)
    validation_routes(app, view)
    for point in entry_points(group="osteon.pages"):  # pages that plugins bring
        point.load()(app, view)
    _act_routes(app, view)  # last: its path takes any word
    return app


def _guard(view: Pages) -> Callable[[Request, Next], Awaitable[Response]]:
    limiter = Limiter()

    async def guard(request: Request, call_next: Next) -> Response:
        refused = too_large(request) or limiter.refusal(request, time.monotonic())
        response = refused or await _answer(view, request, call_next)
        response.headers.update(HEADERS)
        if request.url.path.endswith("/trade-off"):
            response.headers["Content-Security-Policy"] = SCRIPTED
        if request.url.scheme == "https":
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response

    return guard


async def _answer(view: Pages, request: Request, call_next: Next) -> Response:
    path = request.url.path
    rule = rule_for(request.method, path)
    if rule is None:
        return await call_next(request)
    if rule == "token":
        allowed = metrics.token_matches(request, view.site.configuration.web.metrics_token)
        return await call_next(request) if allowed else PlainTextResponse("token\n", 401)
    try:
        session = await run_in_threadpool(_session_of, view, request)
    except SuiteError as error:
        return view.fault(request, error)
    request.state.session = session
    if session is None:
        return _nobody(request)
    if rule == "unknown":
        return view.message(request, 404, "not_found")
    if session.role not in rule:
        return view.message(request, 403, "forbidden")
    if session.must_change_password and path not in ("/account", "/sign-out"):
        return RedirectResponse("/account", 303)
    response = await call_next(request)
    later = access.refreshed(session, view.site.now())
    if later is not None and path != "/sign-out":
        set_session(request, response, access.encode(later, view.site.keys.session))
    return response


def _nobody(request: Request) -> Response:
    """Return what somebody gets who is not signed in: the way in for a browser, else 401."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/sign-in", 303)
    return PlainTextResponse("sign in\n", 401, {"WWW-Authenticate": "Session"})


def _session_of(view: Pages, request: Request) -> Session | None:
    """Return the session of a request; None unless its account is still what it was."""
    now = view.site.now()
    session = access.decode(request.cookies.get(COOKIE, ""), view.site.keys.session, now)
    if session is None or access.is_idle(session, now):
        return None
    with view.site.database.reading() as transaction:
        account = transaction.account(session.account_id)
        if transaction.session_has_ended(session.session_id):
            return None
    return session if access.still_holds(session, account, now) else None


def _fault_pages(app: FastAPI, view: Pages) -> None:
    @app.exception_handler(SuiteError)
    def fault(request: Request, error: SuiteError) -> Response:
        return view.fault(request, error)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> Response:
        del error  # it quotes what was sent
        return view.message(request, 400, "malformed")


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
    def health() -> Response:
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
    @app.get("/runs")
    def runs(request: Request, status: str = "", plugin: str = "", before: str = "") -> Response:
        page = pages.runs_page(view.site, status, plugin, before)
        return view.render(request, "runs.html", page=page)

    @app.get("/runs/{run_id}")
    def run(request: Request, run_id: str) -> Response:
        page = pages.run_page(view.site, run_id, request.state.session, language_of(request))
        note_access(view.site, request, "run-records", "review", run_id=run_id)
        return view.render(request, "run.html", page=page)

    @app.get("/runs/{run_id}/overview.png")
    def overview(request: Request, run_id: str) -> Response:
        path = pages.overview_path(view.site, run_id)
        if path is None:
            return view.message(request, 404, "not_found")
        return FileResponse(path, media_type="image/png")


def _act_routes(app: FastAPI, view: Pages) -> None:
    def answer(request: Request, run_id: str, action: str, csrf: str, detail: str = "") -> Response:
        if not csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        view.act(action, run_id, f"account:{request.state.session.account_id}", detail)
        return RedirectResponse(f"/runs/{run_id}", 303)

    @app.post("/runs/{run_id}/seed")
    def seed(
        request: Request,
        run_id: str,
        csrf: Annotated[str, Form()],
        x: Annotated[FiniteFloat, Form()],
        y: Annotated[FiniteFloat, Form()],
        z: Annotated[FiniteFloat, Form()],
    ) -> Response:
        point_mm = ",".join(f"{value:.2f}" for value in (x, y, z))
        return answer(request, run_id, "seed", csrf, point_mm)

    @app.post("/runs/{run_id}/{action}")
    def act(request: Request, run_id: str, action: str, csrf: Annotated[str, Form()]) -> Response:
        return answer(request, run_id, action, csrf)
