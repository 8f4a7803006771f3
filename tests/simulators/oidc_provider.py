"""An OpenID provider on loopback that does what the standard asks, and can be told not to.

It serves discovery, authorization with a login form, the token endpoint with PKCE and client
secret, keys, and the end of the session.  A code is good once, for the client, address and
verifier that it was given for.  `Provider.spoil` changes a token before or after it is signed,
as a hostile or broken provider would.

Source: OpenID Connect Core 1.0, 3.1; RFC 6749; RFC 7636.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.responses import Response

CLIENT_ID, CLIENT_SECRET = "osteon pages", "s3cret/with+signs"
Claims = dict[str, Any]


@dataclass
class Grant:
    """What a code was given for."""

    subject: str
    redirect_uri: str
    challenge: str
    nonce: str


@dataclass
class Provider:
    """The state of the provider; a test changes it.

    Parameters
    ----------
    people : subject -> claims of the person beside the standard ones.
    spoil : changes the claims of the next tokens.
    sign : makes a token of claims; by default signed with the published key.
    """

    issuer: str = ""
    people: dict[str, Claims] = field(default_factory=dict)
    spoil: Callable[[Claims], Claims] = lambda claims: claims
    sign: Callable[[Claims], str] | None = None
    metadata: Callable[[Claims], Claims] = lambda document: document
    key: RSAKey | ECKey = field(
        default_factory=lambda: RSAKey.generate_key(2048, {"kid": "first"}, auto_kid=False)
    )
    grants: dict[str, Grant] = field(default_factory=dict)
    exchanges: list[str] = field(default_factory=list)
    broken: bool = False

    @property
    def algorithm(self) -> str:
        """Return the algorithm of the key."""
        return "ES256" if isinstance(self.key, ECKey) else "RS256"

    def token(self, subject: str, nonce: str) -> str:
        """Return an ID token, spoilt where the test wants it."""
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": subject, "aud": CLIENT_ID, "exp": now + 300, "iat": now,
            "nonce": nonce, **self.people[subject],
        }  # fmt: skip
        claims = self.spoil(claims)
        if self.sign is not None:
            return self.sign(claims)
        header = {"alg": self.algorithm, "kid": self.key.kid}
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


def application(provider: Provider) -> FastAPI:
    """Return the web application of a provider."""
    app = FastAPI(openapi_url=None)

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        if provider.broken:
            return JSONResponse({}, 503)
        document = {
            "issuer": provider.issuer,
            "authorization_endpoint": f"{provider.issuer}/authorize",
            "token_endpoint": f"{provider.issuer}/token",
            "jwks_uri": f"{provider.issuer}/keys",
            "end_session_endpoint": f"{provider.issuer}/leave",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [provider.algorithm],
            "code_challenge_methods_supported": ["S256"],
        }
        return JSONResponse(provider.metadata(document))

    @app.get("/keys")
    def keys() -> Response:
        return JSONResponse(KeySet([provider.key]).as_dict(private=False))

    @app.get("/authorize")
    def ask(request: Request) -> Response:
        fault = _fault(request.query_params)
        if fault:
            return HTMLResponse(fault, 400)
        return HTMLResponse(
            '<html lang="en"><title>Provider</title><h1>Who are you?</h1><form method="post">'
            '<input name="subject" id="subject"><button>Enter</button></form></html>'
        )

    @app.post("/authorize")
    def enter(request: Request, subject: Annotated[str, Form()]) -> Response:
        asked = request.query_params
        if (fault := _fault(asked)) or subject not in provider.people:
            return HTMLResponse(fault or "unknown person", 400)
        code = secrets.token_urlsafe(16)
        provider.grants[code] = Grant(
            subject, asked["redirect_uri"], asked["code_challenge"], asked["nonce"]
        )
        back = urlencode({"code": code, "state": asked["state"], "iss": provider.issuer})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 303)

    @app.post("/token")
    def exchange(
        request: Request,
        grant_type: Annotated[str, Form()],
        code: Annotated[str, Form()],
        redirect_uri: Annotated[str, Form()],
        code_verifier: Annotated[str, Form()],
    ) -> Response:
        fault = _client_fault(request)
        grant = provider.grants.pop(code, None)
        digest = hashlib.sha256(code_verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if fault or grant_type != "authorization_code" or grant is None:
            return JSONResponse({"error": fault or "invalid_grant"}, 401 if fault else 400)
        if grant.redirect_uri != redirect_uri or grant.challenge != challenge:
            return JSONResponse({"error": "invalid_grant"}, 400)
        provider.exchanges.append(grant.subject)
        return JSONResponse(
            {
                "access_token": secrets.token_urlsafe(16),
                "token_type": "Bearer",
                "id_token": provider.token(grant.subject, grant.nonce),
            }
        )

    @app.get("/leave")
    def leave(post_logout_redirect_uri: str, client_id: str) -> Response:
        assert client_id == CLIENT_ID
        return RedirectResponse(post_logout_redirect_uri, 303)

    return app


def _fault(asked: Mapping[str, str]) -> str:
    """Return what is wrong with an authorization request; empty when nothing is."""
    wanted = {"response_type": "code", "client_id": CLIENT_ID, "code_challenge_method": "S256"}
    wrong = [key for key, value in wanted.items() if asked.get(key) != value]
    wrong += [
        key for key in ("redirect_uri", "state", "nonce", "code_challenge") if key not in asked
    ]
    if "openid" not in asked.get("scope", "").split():
        wrong.append("scope")
    return ", ".join(wrong)


def _client_fault(request: Request) -> str:
    """Return why a client is not the one that is registered; empty when it is."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    wanted = urlencode({"": CLIENT_ID})[1:] + ":" + urlencode({"": CLIENT_SECRET})[1:]
    given = base64.b64decode(value).decode() if scheme == "Basic" else ""
    return "" if secrets.compare_digest(given, wanted) else "invalid_client"


@contextmanager
def running() -> Iterator[Provider]:
    """Run a provider on loopback."""
    provider = Provider()
    with listening(application(provider)) as url:
        provider.issuer = url
        yield provider


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serve an application in a thread and give its address."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
