"""Who may open what: every route for every role and for nobody, generated from the table."""

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi.testclient import TestClient

from adapters.compose import Site, open_site
from adapters.config_sections import WebSection
from adapters.home import Home
from adapters.web import access
from adapters.web.access import COOKIE, EVERYBODY, ROUTES, Session
from adapters.web.app import build_app
from adapters.web.limits import BURST, LARGEST_BODY, Limiter
from adapters.web.server import server_of
from audit.errors import ConfigurationError
from governance.accounts import Account
from tests.simulators.example_site import configuration

NOBODY = "nobody"
WHO = (NOBODY, *sorted(EVERYBODY))
PAGE = {"accept": "text/html"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An empty site with one account for each role."""
    root = tmp_path_factory.mktemp("matrix")
    with open_site(Home(root / "home").create(), configuration=configuration(root)) as opened:
        with opened.database.transaction() as transaction:
            for role in EVERYBODY:
                account = Account(role, role, "no password", False, opened.now())
                transaction.put_account(account)
        yield opened


def session_of(site: Site, role: str, **changes: object) -> Session:
    """Return the session that a person of a role has after signing in."""
    from dataclasses import replace

    with site.database.reading() as transaction:
        account = transaction.account(role)
    assert account is not None
    return replace(access.open_session(account, site.now()), **changes)  # type: ignore[arg-type]


def client_of(site: Site, role: str, session: Session | None = None) -> TestClient:
    """Return a client with the cookie of a role; none for nobody."""
    client = TestClient(build_app(site, lambda *_: None), follow_redirects=False)
    if role != NOBODY:
        chosen = session or session_of(site, role)
        client.cookies.set(COOKIE, access.encode(chosen, site.keys.session))
    return client


def address(route: str) -> str:
    """Return an address of a route, of things that need not exist."""
    path = route.replace("{language}", "de").replace("{path:path}", "style.css")
    path = path.replace("{number}", "1").replace("{leaf_index}", "0")
    return re.sub(r"\{[a-z_]+\}", "a" * 32, path)


@pytest.mark.parametrize("who", WHO)
def test_every_route_for_every_role(site: Site, who: str) -> None:
    """403 exactly where the table says so, 401 for nobody; nothing in between."""
    client = client_of(site, who)
    token = session_of(site, who).csrf if who != NOBODY else "x"
    if who != NOBODY:
        raw = access.decode(client.cookies[COOKIE], site.keys.session, site.now())
        assert raw is not None
        token = raw.csrf
    seen = 0
    for (method, route), rule in ROUTES.items():
        if (method, route) in (("POST", "/sign-out"), ("GET", "/audit/verify")):
            continue  # ends the session; starts a thread: both have tests of their own
        data = {"csrf": token} if method == "POST" else None
        answer = client.request(method, address(route), data=data)
        case = (who, method, route, answer.status_code)
        if rule is None:
            assert answer.status_code not in (401, 429), case
        elif rule == "token" or who == NOBODY:
            assert answer.status_code == 401, case
        elif who in rule:
            assert answer.status_code not in (401, 403), case
        else:
            assert answer.status_code == 403, case
        seen += 1
    assert seen >= 50


def test_nobody_in_a_browser_is_shown_the_way_in(site: Site) -> None:
    """A browser that asks for a page is led to the sign-in; a form of nobody is not."""
    client = client_of(site, NOBODY)
    assert client.get("/audit", headers=PAGE).headers["location"] == "/sign-in"
    assert client.post("/account", headers=PAGE, data={}).status_code == 401
    assert client.get("/nowhere").status_code == 401
    assert client_of(site, "engineer").get("/nowhere").status_code == 404


def test_the_printed_matrix_is_the_table() -> None:
    """docs/access.md is what the table says, role by role."""
    from adapters.web.matrix import matrix_markdown

    page = Path(__file__).resolve().parents[2] / "docs" / "access.md"
    assert matrix_markdown() in page.read_text("utf-8")


def test_what_is_typed_is_shown_and_never_run(site: Site) -> None:
    """Markup in a search, a kept search or an address comes back as text (ASVS 5.3.3)."""
    client = client_of(site, "engineer")
    evil = "<script>alert(1)</script>"
    for path in (f"/audit?person={evil}", f"/audit?patient=%22{evil}", f"/runs?plugin={evil}"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "<script" not in answer.text
    client.get(f"/audit/searches/keep?name={evil}&query=failed%3D1")
    text = client.get("/audit").text
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "<script" not in client.get(f"/patients/{evil}").text


def test_cookies_are_kept_from_scripts_and_other_sites(site: Site) -> None:
    """HttpOnly and SameSite=Strict on the session and on kept searches."""
    used = session_of(site, "engineer", seen_at=site.now().timestamp() - 300)
    client = client_of(site, "engineer", used)
    for path in ("/account", "/audit/searches/keep?name=x&query="):
        stated = client.get(path).headers["set-cookie"].lower()
        assert "httponly" in stated
        assert "samesite=strict" in stated


def test_every_point_of_the_list_has_its_test() -> None:
    """Each test that docs/access.md names for a point of ASVS is there."""
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "access.md").read_text("utf-8")
    named = re.findall(r"`(\w+)::(test_\w+)`", page)
    files = {path.stem: path.read_text("utf-8") for path in (root / "tests").rglob("test_*.py")}
    missing = [
        f"{file}::{test}" for file, test in named if f"def {test}(" not in files.get(file, "")
    ]
    assert not missing
    assert len(set(re.findall(r"^\| (\d+\.\d+\.\d+) ", page, re.M))) >= 35


def test_a_session_that_was_ended_is_over(site: Site) -> None:
    """After signing out a copied cookie opens nothing."""
    session = session_of(site, "engineer")
    client = client_of(site, "engineer", session)
    copy = client_of(site, "engineer", session)
    assert copy.get("/account").status_code == 200
    assert client.post("/sign-out", data={"csrf": session.csrf}).status_code == 303
    assert copy.get("/account").status_code == 401


def test_a_session_that_nobody_uses_is_over(site: Site) -> None:
    """Half an hour without use ends it; use keeps it, and the cookie is written anew."""
    now = site.now().timestamp()
    idle = session_of(site, "engineer", seen_at=now - 31 * 60)
    assert client_of(site, "engineer", idle).get("/account").status_code == 401
    used = session_of(site, "engineer", seen_at=now - 5 * 60)
    answer = client_of(site, "engineer", used).get("/account")
    assert answer.status_code == 200
    fresh = access.decode(answer.cookies[COOKIE].strip('"'), site.keys.session, site.now())
    assert fresh is not None
    assert fresh.seen_at >= now - 1
    assert fresh.ends_at == used.ends_at
    assert COOKIE not in client_of(site, "engineer").get("/account").cookies


def test_too_many_and_too_large_requests_are_refused(site: Site) -> None:
    """A client that asks without end waits; a body that no form has is not read."""
    client = client_of(site, NOBODY)
    answers = (client.get("/static/style.css") for _ in range(11 * BURST))
    assert next(answers).status_code == 200
    waiting = next(one for one in answers if one.status_code == 429)  # it refills while we ask
    assert int(waiting.headers["retry-after"]) >= 1
    assert "default-src 'none'" in waiting.headers["content-security-policy"]
    assert client.get("/health").status_code == 200
    other = client_of(site, "engineer")
    assert other.get("/account").status_code == 200
    large = other.post("/account", data={"csrf": "x" * (LARGEST_BODY + 1)})
    assert large.status_code == 413
    chunked = other.post("/account", content=iter([b"csrf=x"]))
    assert chunked.status_code == 411


def test_a_bucket_refills_and_forgets() -> None:
    """Clients do not take from each other, and many of them do not fill the memory."""
    limiter = Limiter(burst=1, per_second=1.0)
    assert limiter.wait_s("a", 0.0) == 0
    assert limiter.wait_s("a", 0.1) == 1
    assert limiter.wait_s("b", 0.1) == 0
    assert limiter.wait_s("a", 2.0) == 0
    for number in range(10_100):
        limiter.wait_s(f"client-{number}", 100.0)
    assert len(limiter._buckets) <= 10_001


def _certificate(folder: Path) -> WebSection:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return WebSection(
        port=0, tls_certificate=str(folder / "tls.pem"), tls_key=str(folder / "tls.key")
    )


def test_pages_by_tls(site: Site, tmp_path: Path) -> None:
    """With a certificate the pages speak TLS 1.2 or newer; cookies are secure, HSTS is set."""
    section = _certificate(tmp_path)
    server = server_of(build_app(site, lambda *_: None), section)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    trust = ssl.create_default_context(cafile=section.tls_certificate)
    try:
        answer = httpx.get(f"https://localhost:{port}/sign-in", verify=trust)
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert "secure" in answer.headers["set-cookie"].lower()
        assert "server" not in answer.headers
        old = ssl.create_default_context(cafile=section.tls_certificate)
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("localhost", port)) as plain, pytest.raises(ssl.SSLError):
            old.wrap_socket(plain, server_hostname="localhost")
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def test_a_certificate_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    """Half a configuration, or files that are none, are refused before anything is served."""
    with pytest.raises(ValueError, match="belong together"):
        WebSection(tls_certificate="x.pem")
    section = WebSection(tls_certificate=str(tmp_path / "a"), tls_key=str(tmp_path / "b"))
    with pytest.raises(ConfigurationError):
        server_of(lambda *_: None, section)
