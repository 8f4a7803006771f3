"""Signing in and out, and the page of one's own account.

Read next: `access.py`.
"""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from adapters.passwords import change_password, check_password
from adapters.web import access
from adapters.web.access import COOKIE, Session
from adapters.web.shell import Pages, csrf_holds, language_of
from adapters.web.texts import translator
from audit.errors import AuthenticationError, SuiteError


def sign_in_routes(app: FastAPI, view: Pages) -> None:
    """Add signing in and out."""

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
        if not csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE)
        return response


def account_routes(app: FastAPI, view: Pages) -> None:
    """Add the page on which a person replaces a password."""

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
        if not csrf_holds(request, csrf):
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


def _set_session(request: Request, response: Response, cookie: str) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, cookie, samesite="strict", httponly=True, secure=secure, max_age=8 * 3600
    )
