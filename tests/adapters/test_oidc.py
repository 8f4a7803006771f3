"""Sign-in at an identity provider: the whole way, and every token that must not let anybody in."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from adapters.compose import Site, open_site
from adapters.config import Configuration, load
from adapters.home import Home
from adapters.oidc import OidcClient, identity_of, new_request
from adapters.passwords import add_account, check_password, disable_account
from adapters.web.access import COOKIE
from adapters.web.app import build_app
from adapters.web.sign_in_provider import REQUEST_COOKIE
from audit.errors import AuthenticationError, ConfigurationError, UnavailableError
from tests.simulators.example_site import configuration
from tests.simulators.governed_site import records
from tests.simulators.oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    Claims,
    Provider,
    listening,
    running,
)

ROLES = {"rt-approvers": "approver", "rt-physics": "physicist", "rt-read": "compliance"}


@dataclass(frozen=True)
class Door:
    """Pages in front of a provider."""

    url: str
    site: Site
    provider: Provider

    def browser(self) -> httpx.Client:
        """Return a browser that follows nothing by itself."""
        return httpx.Client(base_url=self.url, follow_redirects=False)

    def sent_to(self, browser: httpx.Client) -> str:
        """Begin at the sign-in page and return where the browser is sent."""
        answer = browser.get("/sign-in/provider")
        assert answer.status_code == 303
        return answer.headers["location"]

    def come_back(self, browser: httpx.Client, subject: str) -> httpx.Response:
        """Go to the provider as somebody and come back."""
        back = httpx.post(self.sent_to(browser), data={"subject": subject})
        assert back.status_code == 303, back.text
        return browser.get(back.headers["location"])


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A site whose pages send people to a provider."""
    with ExitStack() as stack:
        provider = stack.enter_context(running())
        provider.people["anna"] = {"preferred_username": "anna", "roles": ["other", "rt-approvers"]}
        late: dict[str, Any] = {}

        async def pages(scope: Any, receive: Any, send: Any) -> None:
            await late["app"](scope, receive, send)

        url = stack.enter_context(listening(pages))
        settings = configuration(tmp_path, oidc=section(provider.issuer, url))
        site = stack.enter_context(
            open_site(Home(tmp_path / "home").create(), configuration=settings)
        )
        late["app"] = build_app(site, lambda *_: None)
        yield Door(url, site, provider)


def section(issuer: str, url: str, **changes: Any) -> dict[str, Any]:
    """Return the section [oidc] of a configuration."""
    return {
        "issuer": issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
        "public_url": url, "roles": ROLES, **changes,
    }  # fmt: skip


def test_somebody_signs_in_and_out(door: Door) -> None:
    """From the sign-in page to the provider and back: an account in the mapped role, recorded."""
    browser = door.browser()
    assert "/sign-in/provider" in browser.get("/sign-in").text
    page = door.come_back(browser, "anna")
    assert page.status_code == 200
    assert 'content="0;url=/"' in page.text
    assert REQUEST_COOKIE not in browser.cookies
    runs = browser.get("/")
    assert "anna" in runs.text
    assert "approver" in runs.text
    assert '<input id="password"' not in browser.get("/account").text
    csrf = re.search(r'name="csrf" value="([^"]+)"', runs.text)
    assert csrf is not None
    out = browser.post("/sign-out", data={"csrf": csrf.group(1)})
    assert out.headers["location"] == "/signed-out"
    assert browser.get("/", headers={"accept": "text/html"}).headers["location"] == "/sign-in"
    leaving = re.search(r'href="([^"]+/leave[^"]*)"', browser.get("/signed-out").text)
    assert leaving is not None
    left = httpx.get(leaving.group(1).replace("&amp;", "&"))
    assert left.headers["location"] == f"{door.url}/sign-in"
    (added,) = records(door.site, "account")
    assert (added.body["account"], added.body["action"]) == ("anna", "add")
    (entered,) = records(door.site, "access")
    assert (entered.body["what"], entered.body["purpose"]) == ("sign-in", "oidc")
    assert entered.actor.role == "approver"


def test_a_second_sign_in_changes_nothing_but_the_role(door: Door) -> None:
    """The role follows the provider's groups, on record; a lost group ends the open session."""
    first = door.browser()
    door.come_back(first, "anna")
    door.come_back(door.browser(), "anna")
    assert len(records(door.site, "account")) == 1
    door.provider.people["anna"]["roles"] = "rt-physics"
    door.come_back(door.browser(), "anna")
    assert first.get("/").status_code == 401
    assert [r.body["role"] for r in records(door.site, "account")] == ["approver", "physicist"]
    door.provider.people["anna"]["roles"] = []
    assert door.come_back(door.browser(), "anna").status_code == 401


def test_nobody_becomes_administrator_or_somebody_else(door: Door) -> None:
    """Local accounts are not taken over, nor those of others; a closed account stays closed."""
    add_account(door.site, "chief", "administrator")
    people = door.provider.people
    people["mallory"] = {"preferred_username": "chief", "roles": ["administrator", "rt-physics"]}
    assert door.come_back(door.browser(), "mallory").status_code == 401
    door.come_back(door.browser(), "anna")
    people["eve"] = {"preferred_username": "anna", "roles": ["rt-physics"]}
    assert door.come_back(door.browser(), "eve").status_code == 401
    with door.site.database.reading() as transaction:
        roles = {a.account_id: a.role for a in transaction.accounts()}
    assert roles == {"chief": "administrator", "anna": "approver"}
    disable_account(door.site, "anna")
    assert door.come_back(door.browser(), "anna").status_code == 401
    refused = [r for r in records(door.site, "access") if r.body["what"] == "sign-in-refused"]
    assert {r.actor.id for r in refused} >= {"account:chief", "account:anna"}


def test_an_account_of_the_provider_has_no_password(door: Door) -> None:
    """No password opens it, also not the text that stands for it in the database."""
    door.come_back(door.browser(), "anna")
    with door.site.database.reading() as transaction:
        account = transaction.account("anna")
    assert account is not None
    for password in ("", "anna", account.password_verifier):
        with pytest.raises(AuthenticationError):
            check_password(door.site.database, "anna", password, door.site.now())


def _other_key(claims: Claims) -> str:
    key = RSAKey.generate_key(2048, {"kid": "first"}, auto_kid=False)
    return jwt.encode({"alg": "RS256", "kid": "first"}, claims, key, algorithms=["RS256"])


def _unsigned(claims: Claims) -> str:
    text = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("x" * 32), algorithms=["HS256"])
    import base64

    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{text.split('.')[1]}."


def _shared_secret(claims: Claims) -> str:
    key = OctKey.import_key(CLIENT_SECRET * 3)
    return jwt.encode({"alg": "HS256"}, claims, key, algorithms=["HS256"])


def _cut(claims: Claims) -> str:
    return _other_key(claims)[:-40]


@pytest.mark.reg("GDPR-32")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda claims: claims | {"nonce": "another"},
        lambda claims: {k: v for k, v in claims.items() if k != "nonce"},
        lambda claims: claims | {"iss": "https://evil.example"},
        lambda claims: claims | {"aud": "another-client"},
        lambda claims: claims | {"aud": ["another-client"]},
        lambda claims: claims | {"aud": [CLIENT_ID, "another"], "azp": "another"},
        lambda claims: claims | {"exp": int(time.time()) - 120},
        lambda claims: claims | {"iat": int(time.time()) + 3600},
        lambda claims: claims | {"nbf": int(time.time()) + 3600},
        lambda claims: {k: v for k, v in claims.items() if k != "exp"},
        lambda claims: {k: v for k, v in claims.items() if k != "iat"},
        lambda claims: {k: v for k, v in claims.items() if k != "sub"},
        lambda claims: claims | {"sub": ""},
        lambda claims: claims | {"sub": 7},
        lambda claims: claims | {"roles": ["nothing-here"]},
        lambda claims: claims | {"roles": "administrator"},
        lambda claims: claims | {"preferred_username": ""},
        lambda claims: claims | {"preferred_username": None},
    ],
)  # fmt: skip
def test_a_token_with_a_wrong_claim_lets_nobody_in(
    door: Door, spoil: Callable[[Claims], Claims]
) -> None:
    """Wrong or missing nonce, issuer, audience, time, subject, role or name: refused, recorded."""
    door.provider.spoil = spoil
    browser = door.browser()
    answer = door.come_back(browser, "anna")
    assert answer.status_code == 401
    assert COOKIE not in browser.cookies
    assert door.provider.exchanges == ["anna"]
    assert [r.body["what"] for r in records(door.site, "access")][-1] == "sign-in-refused"


@pytest.mark.reg("GDPR-32")
@pytest.mark.parametrize("sign", [_other_key, _unsigned, _shared_secret, _cut, lambda _: "x.y.z"])
def test_a_token_with_a_wrong_signature_lets_nobody_in(
    door: Door, sign: Callable[[Claims], str]
) -> None:
    """Another key, none, the shared secret, a part, no token: refused."""
    door.provider.sign = sign
    assert door.come_back(door.browser(), "anna").status_code == 401


def test_a_provider_may_change_its_key(door: Door) -> None:
    """Keys are read at each sign-in, so that a rotation needs nobody here; ES256 serves too."""
    assert door.come_back(door.browser(), "anna").status_code == 200
    door.provider.key = ECKey.generate_key("P-256", {"kid": "second"}, auto_kid=False)
    assert door.come_back(door.browser(), "anna").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d | {"issuer": "https://evil.example"},
        lambda d: d | {"token_endpoint": "file:///etc/passwd"},
        lambda d: d | {"jwks_uri": 7},
        lambda d: {k: v for k, v in d.items() if k != "authorization_endpoint"},
        lambda d: d | {"id_token_signing_alg_values_supported": ["none", "HS256"]},
    ],
)
def test_metadata_of_another_provider_are_refused(
    door: Door, change: Callable[[Claims], Claims]
) -> None:
    """Who says another issuer, or offers no asymmetric signature, is not asked."""
    door.provider.metadata = change
    with pytest.raises(AuthenticationError):
        OidcClient(door.site.configuration.oidc).discover()


def test_an_answer_must_fit_the_question_of_this_browser(door: Door) -> None:
    """Another state, another browser, another provider, a code twice, no question: refused."""
    stranger = door.browser()
    back = httpx.post(door.sent_to(door.browser()), data={"subject": "anna"}).headers["location"]
    assert stranger.get(back).status_code == 403  # a link that somebody else was sent
    door.sent_to(stranger)
    assert stranger.get(back).status_code == 401  # another state
    browser = door.browser()
    mine = httpx.post(door.sent_to(browser), data={"subject": "anna"}).headers["location"]
    issuer = parse_qs(urlsplit(mine).query)["iss"][0]
    cookie = browser.cookies[REQUEST_COOKIE]
    mixed = mine.replace(httpx.QueryParams({"i": issuer})["i"], "")
    wrong = re.sub(r"iss=[^&]+", "iss=https%3A%2F%2Fevil.example", mixed)
    assert browser.get(wrong).status_code == 401
    browser.cookies.set(REQUEST_COOKIE, cookie, path="/sign-in")
    assert browser.get(mine).status_code == 200
    browser.cookies.set(REQUEST_COOKIE, cookie, path="/sign-in")
    assert browser.get(mine).status_code == 401  # the code was used
    browser.cookies.set(REQUEST_COOKIE, cookie[:-1] + "x", path="/sign-in")
    assert browser.get(mine).status_code == 403  # forged
    fresh = door.browser()
    state = parse_qs(urlsplit(door.sent_to(fresh)).query)["state"][0]
    denied = fresh.get(f"/sign-in/return?error=access_denied&state={state}")
    assert denied.status_code == 401


def test_the_challenge_guards_the_code(door: Door) -> None:
    """A code that was caught is worth nothing without the verifier of its own request."""
    client = OidcClient(door.site.configuration.oidc)
    mine, other = new_request(), new_request()
    url = client.authorization_url(client.discover(), mine)
    back = httpx.post(url, data={"subject": "anna"}).headers["location"]
    answer = {key: value[0] for key, value in parse_qs(urlsplit(back).query).items()}
    caught = type(mine)(mine.state, mine.nonce, other.verifier)
    with pytest.raises(AuthenticationError):
        client.identify(caught, answer, door.site.now())


def test_without_the_provider_local_accounts_still_sign_in(door: Door) -> None:
    """An outage is said to be one; it does not lock out who has a password."""
    door.provider.broken = True
    browser = door.browser()
    assert browser.get("/sign-in/provider").status_code == 503
    assert browser.get("/sign-in").status_code == 200
    assert browser.get("/signed-out").status_code == 200
    nowhere = door.site.configuration.oidc.model_copy(update={"issuer": "http://127.0.0.1:9"})
    with pytest.raises(UnavailableError):
        OidcClient(nowhere).discover()


def test_without_a_provider_there_is_no_such_door(tmp_path: Path) -> None:
    """A site that names none shows no button, and the way back leads nowhere."""
    from fastapi.testclient import TestClient

    settings = configuration(tmp_path)
    with open_site(Home(tmp_path / "home").create(), configuration=settings) as site:
        client = TestClient(build_app(site, lambda *_: None), follow_redirects=False)
        assert "/sign-in/provider" not in client.get("/sign-in").text
        assert client.get("/sign-in/provider").headers["location"] == "/sign-in"
        assert client.get("/sign-in/return?code=x&state=y").status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": ""},
        {"public_url": ""},
        {"roles": {}},
        {"roles": {"admins": "administrator"}},
        {"roles": {"robots": "service"}},
        {"scope": "profile"},
        {"issuer": "http://provider.example"},
        {"public_url": "http://pages.example"},
        {"issuer": "ftp://provider.example"},
    ],
)
def test_a_provider_that_is_half_configured_is_refused(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    """Nothing is left to be guessed, nothing goes in the clear, no group makes administrators."""
    values = section("https://provider.example", "https://pages.example") | change
    with pytest.raises(ValueError):
        Configuration.model_validate({"oidc": values})
    path = tmp_path / "osteon.toml"
    path.write_text('[oidc]\nissuer = "https://provider.example"\n')
    with pytest.raises(ConfigurationError):
        load(path, {})


@pytest.mark.parametrize(
    ("claims", "account", "role"),
    [
        ({"preferred_username": "anna", "roles": "rt-physics"}, "anna", "physicist"),
        ({"preferred_username": "a_b@w.org", "roles": ["rt-read"]}, "a-b-w.org", "compliance"),
        ({"preferred_username": "x", "roles": ["rt-physics", "rt-approvers"]}, "x", "approver"),
        ({"preferred_username": "<b>", "roles": ["rt-read"]}, "b", "compliance"),
        ({"preferred_username": "///", "roles": ["rt-read"]}, "nobody", "compliance"),
    ],
)  # fmt: skip
def test_claims_become_account_and_role(claims: Claims, account: str, role: str) -> None:
    """Names lose what no account id can have; the first line of the map that fits counts."""
    values = section("https://provider.example", "https://pages.example")
    settings = Configuration.model_validate({"oidc": values}).oidc
    identity = identity_of({"sub": "1", **claims}, settings)
    assert (identity.account_id, identity.role) == (account, role)
    nested = settings.model_copy(update={"role_claim": "realm.roles"})
    moved = {"sub": "1", **claims, "realm": {"roles": claims["roles"]}}
    assert identity_of(moved, nested).role == role


def test_a_provider_that_we_did_not_write(tmp_path: Path) -> None:
    """The same way with an independent provider of another make."""
    provider = pytest.importorskip("oidc_provider_mock")
    with ExitStack() as stack:
        server = stack.enter_context(provider.run_server_in_thread())
        issuer = f"http://localhost:{server.server_port}"
        claims = {"preferred_username": "bert", "roles": ["rt-physics"]}
        httpx.put(f"{issuer}/users/bert", json=claims).raise_for_status()
        late: dict[str, Any] = {}

        async def pages(scope: Any, receive: Any, send: Any) -> None:
            await late["app"](scope, receive, send)

        url = stack.enter_context(listening(pages))
        plain = section(issuer, url, client_id="osteon", client_secret="secret")
        settings = configuration(tmp_path, oidc=plain)
        site = stack.enter_context(
            open_site(Home(tmp_path / "home").create(), configuration=settings)
        )
        late["app"] = build_app(site, lambda *_: None)
        browser = httpx.Client(base_url=url, follow_redirects=False)
        sent = browser.get("/sign-in/provider").headers["location"]
        back = httpx.post(sent, data={"sub": "bert"})
        assert browser.get(back.headers["location"]).status_code == 200
        assert "physicist" in browser.get("/").text
