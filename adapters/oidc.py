"""Sign-in at an OpenID Connect provider: authorization code flow with PKCE.

    1  the browser is sent to the provider with state, nonce and a code challenge
    2  it comes back with a code; state must be ours, and the issuer the one we asked
    3  the code is exchanged, with the verifier of the challenge, for an ID token
    4  the token's signature, issuer, audience, times and nonce are checked
    5  claims become an account id and a role; what maps to no role signs nobody in

Signatures are asymmetric only: a token that is unsigned, or signed with a shared secret, is
refused whatever the provider announces.

Source: OpenID Connect Core 1.0, 3.1 (flow) and 3.1.3.7 (validation of the ID token);
Discovery 1.0, 4; RFC 7636 (PKCE); RFC 9207 (issuer in the answer); RFC 9700 (best practice).

Read next: `web/sign_in_provider.py`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from adapters.config_sections import OidcSection
from audit.errors import AuthenticationError, UnavailableError
from governance.accounts import Identity

RETURN = "/sign-in/return"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
_SIZE_LIMIT = 1 << 20
_ADVICE = "Compare [oidc] with the registration at the provider, or ask its administrator."


@dataclass(frozen=True, slots=True)
class Provider:
    """What a provider says of itself (OpenID Provider Metadata)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str
    algorithms: tuple[str, ...]
    basic: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What an authorization request was made with; the answer must fit it.

    Parameters
    ----------
    state : ties the answer to the browser that asked.
    nonce : ties the ID token to this request.
    verifier : of which the provider got the challenge only.
    """

    state: str
    nonce: str
    verifier: str


def new_request() -> Request:
    """Return the secrets of a new authorization request."""
    return Request(*(secrets.token_urlsafe(32) for _ in range(3)))


class OidcClient:
    """This site as a client of one provider.

    Parameters
    ----------
    settings : the section of the configuration.
    """

    def __init__(self, settings: OidcSection) -> None:
        self.settings = settings

    def discover(self) -> Provider:
        """Return the provider's metadata.

        Raises
        ------
        UnavailableError : the provider does not answer.
        AuthenticationError : it says that it is another issuer, or leaves something out.
        """
        url = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = self._get(url)
        if document.get("issuer") != self.settings.issuer:
            raise AuthenticationError(
                f"expected issuer {self.settings.issuer}, found another", advice=_ADVICE
            )
        try:
            named = document.get("token_endpoint_auth_methods_supported")
            return Provider(
                authorization_endpoint=_url(document["authorization_endpoint"]),
                token_endpoint=_url(document["token_endpoint"]),
                jwks_uri=_url(document["jwks_uri"]),
                end_session_endpoint=_url(document.get("end_session_endpoint") or "https://-"),
                algorithms=_algorithms(document.get("id_token_signing_alg_values_supported")),
                basic=named is None or "client_secret_basic" in named,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise AuthenticationError(
                "expected endpoints and algorithms in the metadata, found a fault", advice=_ADVICE
            ) from error

    def authorization_url(self, provider: Provider, request: Request) -> str:
        """Return where the browser is sent to (step 1)."""
        parameters = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.settings.scope,
            "state": request.state,
            "nonce": request.nonce,
            "code_challenge": create_s256_code_challenge(request.verifier),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in provider.authorization_endpoint else "?"
        return f"{provider.authorization_endpoint}{joint}{urlencode(parameters)}"

    def identify(self, request: Request, answer: Mapping[str, str], now: datetime) -> Identity:
        """Return who came back with an answer (steps 2 to 5).

        Parameters
        ----------
        answer : the query of the address that the browser came back to.

        Raises
        ------
        AuthenticationError : the answer, the token or its claims do not fit.
        UnavailableError : the provider does not answer.
        """
        # 2. The answer belongs to our question, and comes from whom we asked.
        if not secrets.compare_digest(answer.get("state", "").encode(), request.state.encode()):
            raise AuthenticationError("expected the state of this browser, found another")
        if answer.get("iss", self.settings.issuer) != self.settings.issuer:
            raise AuthenticationError("expected an answer of our provider, found another's")
        if not answer.get("code"):
            code = re.sub(r"[^a-z_]", "", answer.get("error", ""))[:40] or "no code"
            raise AuthenticationError(f"expected a code from the provider, found {code}")
        # 3. and 4. The token is ours, fresh, and signed by the provider.
        provider = self.discover()
        token = self._exchange(provider, answer["code"], request.verifier)
        claims = self._verify(provider, token, request.nonce, now)
        # 5. The person has a place here.
        return identity_of(claims, self.settings)

    @property
    def redirect_uri(self) -> str:
        """Return the address that the provider sends the browser back to."""
        return self.settings.public_url + RETURN

    def logout_url(self, provider: Provider) -> str:
        """Return where the browser ends its session at the provider; empty if it has no such."""
        if provider.end_session_endpoint == "https://-":
            return ""
        parameters = {
            "client_id": self.settings.client_id,
            "post_logout_redirect_uri": self.settings.public_url + "/sign-in",
        }
        return f"{provider.end_session_endpoint}?{urlencode(parameters)}"

    def _exchange(self, provider: Provider, code: str, verifier: str) -> str:
        data = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": verifier,
        }
        secret, auth = self.settings.client_secret.get_secret_value(), None
        if secret and provider.basic:  # RFC 6749 2.3.1: both are form-encoded first
            auth = httpx.BasicAuth(quote_plus(self.settings.client_id), quote_plus(secret))
        else:
            data |= {"client_id": self.settings.client_id}
            data |= {"client_secret": secret} if secret else {}
        document = self._json("POST", provider.token_endpoint, data=data, auth=auth)
        token = document.get("id_token")
        if not isinstance(token, str):
            raise AuthenticationError("expected an ID token, found none", advice=_ADVICE)
        return token

    def _verify(
        self, provider: Provider, token: str, nonce: str, now: datetime
    ) -> Mapping[str, Any]:
        options = {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": self.settings.client_id},
            "exp": {"essential": True},
            "iat": {"essential": True},
            "sub": {"essential": True},
        }
        parameters = {"nonce": nonce, "client_id": self.settings.client_id}
        try:
            keys = KeySet.import_key_set(self._get(provider.jwks_uri))  # type: ignore[arg-type]
            signed = jwt.decode(token, keys, algorithms=list(provider.algorithms))
            claims = CodeIDToken(signed.claims, signed.header, options, parameters)
            claims.validate(int(now.timestamp()), self.settings.leeway_s)
            if not isinstance(claims["sub"], str) or not claims["sub"]:
                raise ValueError("sub")
        except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise AuthenticationError(
                f"expected an ID token for this sign-in, found a fault: {_code(error)}",
                advice=_ADVICE,
            ) from error
        return dict(claims)

    def _get(self, url: str) -> Mapping[str, Any]:
        return self._json("GET", url)

    def _json(self, method: str, url: str, **values: Any) -> Mapping[str, Any]:
        """Return a JSON object; redirects are not followed and answers are limited in size."""
        try:
            with httpx.Client(timeout=self.settings.timeout_s) as client:
                answer = client.request(method, url, **values)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"expected the identity provider to answer, found {type(error).__name__}"
            ) from error
        if answer.status_code >= 500:
            raise UnavailableError(
                f"expected the identity provider to answer, found HTTP {answer.status_code}"
            )
        if answer.status_code != 200 or len(answer.content) > _SIZE_LIMIT:
            raise AuthenticationError(
                f"expected the provider to accept this, found HTTP {answer.status_code}",
                advice=_ADVICE,
            )
        try:
            document = answer.json()
        except ValueError as error:
            raise AuthenticationError("expected JSON from the provider, found none") from error
        if not isinstance(document, dict):
            raise AuthenticationError("expected an object from the provider, found none")
        return document


def identity_of(claims: Mapping[str, Any], settings: OidcSection) -> Identity:
    """Return account id and role that the claims of a token stand for.

    Raises
    ------
    AuthenticationError : a claim is missing, or no line of ``roles`` fits.
    """
    name = _claim(claims, settings.account_claim)
    if not isinstance(name, str) or not name.strip():
        raise AuthenticationError(
            f"expected claim {settings.account_claim} with a name, found none", advice=_ADVICE
        )
    found = _claim(claims, settings.role_claim)
    values = {found} if isinstance(found, str) else set(map(str, found or ()))
    role = next((role for value, role in settings.roles.items() if value in values), None)
    if role is None:
        raise AuthenticationError(
            f"expected a value of claim {settings.role_claim} that has a role here, found none",
            advice="Add the group to [oidc.roles], or the person to a group that is there.",
        )
    bound = f"{settings.issuer}\0{claims['sub']}".encode()
    return Identity(
        binding=f"oidc:{hashlib.sha256(bound).hexdigest()}",
        account_id=re.sub(r"[^A-Za-z0-9.]+", "-", name.strip())[:64].strip("-.") or "nobody",
        role=role,
    )


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim by name, else by a path of names with dots between."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _algorithms(named: Any) -> tuple[str, ...]:
    known = tuple(name for name in ALGORITHMS if name in (named or ("RS256",)))
    if not known:
        raise ValueError("algorithms")
    return known


def _url(text: Any) -> str:
    if not isinstance(text, str) or not re.match(r"https?://", text):
        raise ValueError("url")
    return text


def _code(error: Exception) -> str:
    return str(getattr(error, "error", "") or type(error).__name__)
