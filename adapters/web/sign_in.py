"""Signing in and out, and the page of one's own account.

Read next: `access.py`.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import FastAPI, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from adapters import passwords
from adapters.federation import is_federated
from adapters.web import access
from adapters.web.access import COOKIE, Session, same_text
from adapters.web.shell import Pages, csrf_holds, language_of
from adapters.web.texts import translator
from audit.errors import AuthenticationError, ConfigurationError

FORM_COOKIE = "osteon_form"
_FORM_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")  # 24 random bytes in base64url


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
        token = _form_token(request)
        if not token or not same_text(csrf, token):
            return view.message(request, 403, "forbidden")
        if wait_s := _admit(view, request, account_id):
            return _later(_sign_in_form(view, request, _too_many(request, wait_s), 429), wait_s)
        try:
            account = passwords.sign_in(view.site, account_id, password, "pages")
        except AuthenticationError:
            return _sign_in_form(view, request, translator(language_of(request))["wrong"], 401)
        view.throttle.succeeded(account_id, client_address(request))
        session = access.open_session(account, view.site.now())
        response = RedirectResponse("/", 303)
        set_session(request, response, access.encode(session, view.site.keys.session))
        return response

    @app.post("/sign-out")
    def sign_out(request: Request, csrf: Annotated[str, Form()]) -> Response:
        if not csrf_holds(request, csrf):
            return view.message(request, 403, "forbidden")
        session: Session = request.state.session
        federated = _is_federated(view, session.account_id)
        ends_at = datetime.fromtimestamp(session.ends_at, UTC)
        with view.site.database.transaction() as transaction:  # the cookie may have been copied
            transaction.end_session(session.session_id, ends_at, view.site.now())
        response = RedirectResponse("/signed-out" if federated else "/sign-in", 303)
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
        if wait_s := _admit(view, request, session.account_id):
            text = _too_many(request, wait_s)
            return _later(view.render(request, "account.html", 429, message=text), wait_s)
        try:
            account = passwords.change_password(
                view.site, session.account_id, password, new_password
            )
        except AuthenticationError:
            return view.render(request, "account.html", 401, message=t["wrong"])
        except ConfigurationError:
            view.throttle.succeeded(session.account_id, client_address(request))
            return view.render(request, "account.html", 400, message=t["password_short"])
        view.throttle.succeeded(session.account_id, client_address(request))
        fresh = access.open_session(account, view.site.now())
        request.state.session = fresh
        response = view.render(request, "account.html", message=t["password_changed"])
        set_session(request, response, access.encode(fresh, view.site.keys.session))
        return response


def _sign_in_form(view: Pages, request: Request, message: str, status: int = 200) -> Response:
    # A browser asks for other addresses beside the form (favicon.ico); a fresh token for each
    # would make the form that is on the screen useless.
    token = _form_token(request) or secrets.token_urlsafe(24)
    settings = view.site.configuration.oidc
    provider = urlsplit(settings.issuer).hostname or ""
    response = view.render(
        request, "sign_in.html", status, message=message, csrf=token, provider=provider
    )
    secure = request.url.scheme == "https"
    response.set_cookie(FORM_COOKIE, token, samesite="strict", httponly=True, secure=secure)
    return response


def _is_federated(view: Pages, account_id: str) -> bool:
    with view.site.database.reading() as transaction:
        account = transaction.account(account_id)
    return account is not None and is_federated(account)


def _form_token(request: Request) -> str:
    """Return the token that this browser's sign-in form carries; empty when it has none."""
    known = request.cookies.get(FORM_COOKIE, "")
    return known if _FORM_TOKEN.fullmatch(known) else ""


def _admit(view: Pages, request: Request, account_id: str) -> int:
    return view.throttle.admit(account_id, client_address(request), view.site.now())


def client_address(request: Request) -> str:
    """Return where a request comes from, as far as the server sees it."""
    return request.client.host if request.client is not None else ""


def _too_many(request: Request, wait_s: int) -> str:
    return translator(language_of(request))["too_many"].format(seconds=wait_s)


def _later(response: Response, wait_s: int) -> Response:
    response.headers["Retry-After"] = str(wait_s)  # RFC 9110 Section 10.2.3
    return response


def _account_page(view: Pages, request: Request) -> Response:
    t = translator(language_of(request))
    session: Session = request.state.session
    if _is_federated(view, session.account_id):
        return view.render(request, "account.html", message=t["password_elsewhere"], no_password=1)
    message = t["must_change"] if session.must_change_password else ""
    return view.render(request, "account.html", message=message)


def set_session(request: Request, response: Response, cookie: str) -> None:
    """Set the cookie of a session: never readable by script, never sent from another site."""
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE,
        cookie,
        samesite="strict",
        httponly=True,
        secure=secure,
        max_age=int(access.SESSION_LASTS.total_seconds()),
    )
