"""The pages: nobody enters without a role, nothing leaks, both languages, a real browser."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from adapters.compose import Site, open_site
from adapters.home import Home
from adapters.passwords import add_account, change_password
from adapters.web import access
from adapters.web.access import ROUTES
from adapters.web.app import build_app
from adapters.web.texts import TEXTS
from tests.simulators.example_site import configuration, prepare, served, small_phantom

PASSWORD = "correct horse battery"
CHROMIUM = shutil.which("chromium")


@dataclass(frozen=True)
class Served:
    """A site behind real HTTP, with one finished run."""

    url: str
    site: Site
    run_id: str
    acts: list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the pages of a site with one run and one account for each role."""
    import uvicorn

    root = tmp_path_factory.mktemp("web")
    home: Home = prepare(root)
    study, files = small_phantom()
    with served(home, root) as (site, turn):
        site.archives["pacs"].store(study, files)
        ends = time.monotonic() + 120
        status = ""
        while status != "done" and time.monotonic() < ends:
            turn()
            time.sleep(0.02)
            with site.database.reading() as transaction:
                status = next((row.status for row in transaction.runs()), "")
    settings = configuration(root, web={"metrics_token": "scrape-me"})
    with open_site(home, configuration=settings) as site:
        for role in ("clinician", "physicist", "engineer", "approver", "compliance"):
            _account(site, role, role)
        _account(site, "chief", "administrator")
        with site.database.reading() as transaction:
            (row,) = transaction.runs()
        acts: list[tuple[str, str, str]] = []
        app = build_app(site, lambda *what: acts.append(what))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{port}", site, row.run_id, acts)
        server.should_exit = True
        thread.join(timeout=10)


def _account(site: Site, account_id: str, role: str) -> None:
    once = add_account(site.database, account_id, role, site.now())
    change_password(site.database, account_id, once, PASSWORD, site.now())


def signed_in(pages: Served, account_id: str, password: str = PASSWORD) -> httpx.Client:
    """Return a client that went through the sign-in form."""
    client = httpx.Client(base_url=pages.url, follow_redirects=False)
    form = client.get("/sign-in")
    token = re.search(r'name="csrf" value="([^"]+)"', form.text)
    assert token is not None
    client.post(
        "/sign-in", data={"account_id": account_id, "password": password, "csrf": token.group(1)}
    )
    return client


def test_every_route_is_in_the_table(pages: Served) -> None:
    """The application has no route that the table of access does not know."""
    app = build_app(pages.site, lambda *_: None)
    known = {(method, path) for method, path in ROUTES}
    for route in app.routes:
        for method in getattr(route, "methods", ()) or ():
            path = route.path.replace("/{action}", "/retry")
            if method != "HEAD":
                assert (method, path) in known, (method, path)


@pytest.mark.parametrize(("method", "route"), list(ROUTES))
def test_without_sign_in_only_the_open_routes_answer(
    pages: Served, method: str, route: str
) -> None:
    """Deny by default: without a session a page redirects to the sign-in, metrics say 401."""
    path = route.replace("{run_id}", pages.run_id).replace("{language}", "de")
    path = path.replace("{path:path}", "style.css")
    answer = httpx.request(method, pages.url + path, data={"csrf": "x"})
    rule = ROUTES[(method, route)]
    if rule == "token":
        assert answer.status_code == 401
    elif rule is not None:
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in"
    else:
        assert answer.status_code in (200, 303, 403, 422)


@pytest.mark.parametrize("role", sorted(access.EVERYBODY))
def test_roles_are_held_to_the_table(pages: Served, role: str) -> None:
    """Each role can do what the table says, and nothing else."""
    client = signed_in(pages, "chief" if role == "administrator" else role)
    page = client.get(f"/runs/{pages.run_id}")
    assert page.status_code == 200
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert csrf is not None
    answer = client.post(f"/runs/{pages.run_id}/retry", data={"csrf": csrf.group(1)})
    assert answer.status_code == (303 if role in access.OPERATORS else 403)
    assert client.post(f"/runs/{pages.run_id}/retry", data={"csrf": "forged"}).status_code == 403


def test_forged_and_old_sessions_are_refused() -> None:
    """A session whose signature or time is wrong is no session."""
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    session = access.open_session("a", "engineer", now)
    cookie = access.encode(session, b"k" * 32)
    assert access.decode(cookie, b"k" * 32, now) == session
    assert access.decode(cookie, b"x" * 32, now) is None
    assert access.decode(cookie.replace(".", "A."), b"k" * 32, now) is None
    assert access.decode(cookie, b"k" * 32, now + timedelta(hours=9)) is None
    assert access.decode("", b"k" * 32, now) is None


def test_one_time_password_must_be_changed(pages: Served) -> None:
    """A password that was given out once opens only the page that replaces it."""
    once = add_account(pages.site.database, "fresh", "engineer", pages.site.now())
    client = signed_in(pages, "fresh", once)
    assert client.get("/").headers["location"] == "/account"
    page = client.get("/account")
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert csrf is not None
    data = {"csrf": csrf.group(1), "password": once, "new_password": "short"}
    assert client.post("/account", data=data).status_code == 400
    data["new_password"] = PASSWORD
    assert client.post("/account", data=data).status_code == 200
    assert client.get("/").status_code == 200


def test_wrong_password_says_nothing_about_the_account(pages: Served) -> None:
    """An unknown account and a wrong password get the same answer."""
    texts = []
    for account in ("clinician", "nobody-here"):
        client = httpx.Client(base_url=pages.url)
        token = re.search(r'value="([^"]+)"', client.get("/sign-in").text)
        assert token is not None
        answer = client.post(
            "/sign-in",
            data={"account_id": account, "password": "wrong", "csrf": token.group(1)},
        )
        assert answer.status_code == 401
        texts.append(re.sub(r'value="[^"]+"', "", answer.text))
    assert texts[0] == texts[1]


def test_security_headers_on_every_answer(pages: Served) -> None:
    """Content security policy, framing, sniffing and caching are set on every answer."""
    for path in ("/health", "/sign-in", "/", "/nowhere", "/static/style.css"):
        headers = httpx.get(pages.url + path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"


def test_metrics_and_health(pages: Served) -> None:
    """Health is open; metrics want the token and tell runs by plugin and status."""
    assert httpx.get(pages.url + "/health").json()["status"] in ("ok", "disk-low")
    answer = httpx.get(pages.url + "/metrics", headers={"Authorization": "Bearer scrape-me"})
    assert 'osteon_runs{plugin="example",status="done",version="1.0.0"} 1.0' in answer.text
    assert "osteon_audit_tree_size" in answer.text


def test_static_files_do_not_leave_their_folder(pages: Served) -> None:
    """A path that climbs out of the folder finds nothing."""
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        assert httpx.get(pages.url + path).status_code in (303, 404)


def test_both_languages_have_every_text() -> None:
    """Every text that a template uses exists, and no text is the same by omission."""
    folder = Path(access.__file__).parent / "templates"
    used = set()
    for template in folder.glob("*.html"):
        used |= set(re.findall(r"\bt\.([a-z_]+)", template.read_text()))
    assert used <= set(TEXTS)
    assert all(english and german for english, german in TEXTS.values())


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_pages_in_a_real_browser(pages: Served, tmp_path: Path) -> None:
    """Sign-in, table and run page work without script, and pass the accessibility rules."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    flags = [
        "--no-sandbox", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--no-first-run", "--disable-gpu",
    ]  # fmt: skip
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = browser.new_context(locale="de-DE", bypass_csp=True)
        page = context.new_page()
        page.goto(pages.url + "/")
        assert page.title().startswith("Anmelden")
        page.fill("#account_id", "physicist")
        page.fill("#password", PASSWORD)
        with page.expect_navigation():
            page.click("form[action='/sign-in'] button")
        for path, word in (("/", "Läufe"), (f"/runs/{pages.run_id}", "Befunde")):
            page.goto(pages.url + path)
            assert word in page.inner_text("main")
            results = Axe().run(page)
            assert results.violations_count == 0, results.generate_report()
            page.screenshot(path=str(tmp_path / f"page-{word}.png"), full_page=True)
        assert page.evaluate("document.querySelector('img.overview').naturalWidth") > 0
        page.goto(pages.url + "/language/en")
        assert "Runs" in page.inner_text("main")
        browser.close()
