"""Signing in at the identity provider, and the way back.

Between the two the browser carries what the request was made with, in a signed cookie that
lasts ten minutes.  It is SameSite=Lax, because the browser comes back from another site; for
the same reason the session cookie (SameSite=Strict) is set on a page of ours that leads on,
not on a redirect.

Read next: `../oidc.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict
from datetime import datetime, timedelta

import structlog
from fastapi import FastAPI
from fastapi import Request as Http
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from adapters.federation import refused, sign_in_identity
from adapters.oidc import RETURN, OidcClient, Request, new_request
from adapters.web import access
from adapters.web.access import same_text
from adapters.web.shell import Pages
from adapters.web.sign_in import client_address, set_session
from audit.errors import AuthenticationError, SuiteError

REQUEST_COOKIE = "osteon_request"
REQUEST_LASTS = timedelta(minutes=10)
_log = structlog.get_logger(__name__)


def provider_routes(app: FastAPI, view: Pages) -> None:
    """Add the way to the provider and back."""
    settings = view.site.configuration.oidc
    client = OidcClient(settings)

    @app.get("/sign-in/provider")
    def begin(http: Http) -> Response:
        if not settings.issuer:
            return RedirectResponse("/sign-in", 303)
        made = new_request()
        response = RedirectResponse(client.authorization_url(client.discover(), made), 303)
        _set_request(http, response, _encode(made, view.site.keys.session, view.site.now()))
        return response

    @app.get(RETURN)
    def come_back(http: Http) -> Response:
        made = _decode(
            http.cookies.get(REQUEST_COOKIE, ""), view.site.keys.session, view.site.now()
        )
        if not settings.issuer or made is None:
            return view.message(http, 403, "provider_refused")
        address = client_address(http)
        if view.throttle.admit(f"oidc {address}", address, view.site.now()):
            return view.message(http, 429, "provider_refused")
        try:
            identity = client.identify(made, dict(http.query_params), view.site.now())
            account = sign_in_identity(view.site, identity)
        except AuthenticationError as error:
            _log.warning("sign-in refused", door="oidc", reason=str(error))
            refused(view.site)
            return _forget(view.message(http, 401, "provider_refused"))
        view.throttle.succeeded(f"oidc {address}", address)
        session = access.open_session(account, view.site.now())
        response = view.render(http, "signed_in.html", account_id=account.account_id)
        set_session(http, response, access.encode(session, view.site.keys.session))
        return _forget(response)

    @app.get("/signed-out")
    def signed_out(http: Http) -> Response:
        url = ""
        if settings.issuer:
            try:
                url = client.logout_url(client.discover())
            except SuiteError:
                url = ""  # signed out here all the same
        return view.render(http, "signed_out.html", url=url)


def _encode(made: Request, key: bytes, now: datetime) -> str:
    ends_at = (now + REQUEST_LASTS).timestamp()
    payload = urlsafe_b64encode(json.dumps({**asdict(made), "ends_at": ends_at}).encode())
    return f"{payload.decode()}.{_tag(payload, key)}"


def _decode(cookie: str, key: bytes, now: datetime) -> Request | None:
    """Return what a request was made with; None when forged, malformed or too old."""
    payload, _, tag = cookie.partition(".")
    if not same_text(_tag(payload.encode(errors="surrogatepass"), key), tag):
        return None
    values = json.loads(urlsafe_b64decode(payload))
    if values.pop("ends_at") <= now.timestamp():
        return None
    return Request(**values)


def _tag(payload: bytes, key: bytes) -> str:
    return hmac.new(key, b"osteon.oidc/1\0" + payload, hashlib.sha256).hexdigest()


def _set_request(http: Http, response: Response, cookie: str) -> None:
    response.set_cookie(
        REQUEST_COOKIE,
        cookie,
        samesite="lax",
        httponly=True,
        secure=http.url.scheme == "https",
        path="/sign-in",
        max_age=int(REQUEST_LASTS.total_seconds()),
    )


def _forget(response: Response) -> Response:
    """Let the request go: an answer is looked at once."""
    response.delete_cookie(REQUEST_COOKIE, path="/sign-in")
    return response
