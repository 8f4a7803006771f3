"""The pages: nobody enters without a role, nothing leaks, both languages, a real browser."""

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from adapters.compose import Site, open_site
from adapters.database import Database
from adapters.home import Home
from adapters.passwords import add_account, change_password, disable_account
from adapters.web import access
from adapters.web.access import ROUTES
from adapters.web.app import build_app
from adapters.web.texts import TEXTS
from adapters.web.throttle import FREE_PER_ACCOUNT
from audit.errors import ConfigurationError, UnavailableError
from audit.record import decode
from governance.accounts import Account
from tests.simulators.example_site import configuration, prepare, served, small_phantom
from tests.simulators.run_values import request_for

PASSWORD = "correct horse battery"
SEED_REFUSAL = "SEED_REQUIRED 900 x 500 x 500 mm, trained 300 x 300 x 300 mm"
CHROMIUM = shutil.which("chromium")


@dataclass(frozen=True)
class Served:
    """A site behind real HTTP, with one finished run and one that wants a seed point."""

    url: str
    site: Site
    run_id: str
    refused_run_id: str
    acts: list[tuple[str, ...]]


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
        refused = _refused(site)
        acts: list[tuple[str, ...]] = []
        app = build_app(site, lambda *what: acts.append(what))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{port}", site, row.run_id, refused, acts)
        server.should_exit = True
        thread.join(timeout=10)


def _account(site: Site, account_id: str, role: str) -> None:
    once = add_account(site, account_id, role)
    change_password(site, account_id, once, PASSWORD)


def _refused(site: Site) -> str:
    request = request_for(seed_point_mm=None)
    with site.database.transaction() as transaction:
        transaction.add_run(request, "pacs")
    site.journal.opened(request)
    site.journal.refused(request, (SEED_REFUSAL,), (), "INPUT_MISSING_ATTRIBUTE")
    site.journal.closed(request, "refused", SEED_REFUSAL)
    return request.run_id


def _client(pages: Served, act: Callable[..., object] = lambda *_: None) -> TestClient:
    """Return a client of an application of its own: with its own throttle, on the same site."""
    return TestClient(build_app(pages.site, act), follow_redirects=False)


def _enter(client: httpx.Client, account_id: str, password: str = PASSWORD) -> httpx.Response:
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/sign-in").text)
    assert token is not None
    data = {"account_id": account_id, "password": password, "csrf": token.group(1)}
    return client.post("/sign-in", data=data)


def _csrf(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None
    return found.group(1)


def signed_in(pages: Served, account_id: str, password: str = PASSWORD) -> httpx.Client:
    """Return a client that went through the sign-in form."""
    client = httpx.Client(base_url=pages.url, follow_redirects=False)
    _enter(client, account_id, password)
    return client


def test_every_route_is_in_the_table(pages: Served) -> None:
    """The application has no route that the table of access does not know."""
    app = build_app(pages.site, lambda *_: None)
    known = {(method, path) for method, path in ROUTES}
    for route in app.routes:
        for method in getattr(route, "methods", ()) or ():
            path = route.path
            if path.endswith(("/{action}", "/{act}")):
                parent = path.rpartition("/")[0]
                assert any(m == method and p.rpartition("/")[0] == parent for m, p in known)
            elif method != "HEAD":
                assert (method, path) in known, (method, path)


@pytest.mark.parametrize(("method", "route"), list(ROUTES))
def test_without_sign_in_only_the_open_routes_answer(
    pages: Served, method: str, route: str
) -> None:
    """Deny by default: without a session there is no page, and no metrics without their token."""
    path = route.replace("{run_id}", pages.run_id).replace("{language}", "de")
    path = path.replace("{path:path}", "style.css")
    answer = httpx.request(method, pages.url + path, data={"csrf": "x"})
    rule = ROUTES[(method, route)]
    if rule == "token" or rule is not None:
        assert answer.status_code == 401
    else:
        assert answer.status_code in (200, 303, 400, 403)


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
    now = datetime.now(UTC)
    session = access.open_session(Account("a", "engineer", "verifier", False, now), now)
    cookie = access.encode(session, b"k" * 32)
    assert access.decode(cookie, b"k" * 32, now) == session
    assert access.decode(cookie, b"x" * 32, now) is None
    assert access.decode(cookie.replace(".", "A."), b"k" * 32, now) is None
    assert access.decode(cookie, b"k" * 32, now + timedelta(hours=9)) is None
    assert access.decode("", b"k" * 32, now) is None
    assert access.decode(cookie[:-1] + "é", b"k" * 32, now) is None


def test_one_time_password_must_be_changed(pages: Served) -> None:
    """A password that was given out once opens only the page that replaces it."""
    once = add_account(pages.site, "fresh", "engineer")
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
        assert httpx.get(pages.url + path).status_code in (401, 404)


def test_both_languages_have_every_text() -> None:
    """Every text that a template uses exists, and no text is the same by omission."""
    folder = Path(access.__file__).parent / "templates"
    used = set()
    for template in folder.glob("*.html"):
        used |= set(re.findall(r"\bt\.([a-z_]+)", template.read_text()))
    assert used <= set(TEXTS)
    assert not set(TEXTS) & set(dir(dict))  # a template would get the method
    assert all(english and german for english, german in TEXTS.values())


@pytest.mark.parametrize(
    ("cookie", "csrf"), [("", "-"), ("", ""), ("-", "-"), ("é" * 32, "é" * 32), ("a" * 32, "é")]
)
def test_sign_in_wants_the_token_of_its_own_form(pages: Served, cookie: str, csrf: str) -> None:
    """Without the cookie of the form, or with one that we never made, nobody signs in."""
    headers = {"cookie": f"osteon_form={cookie}".encode("latin-1")} if cookie else {}
    data = {"account_id": "clinician", "password": PASSWORD, "csrf": csrf}
    answer = httpx.post(pages.url + "/sign-in", data=data, headers=headers)
    assert answer.status_code == 403 or (not csrf and answer.status_code == 400)
    assert "osteon_session" not in answer.cookies


def test_strange_tokens_are_refused_and_not_a_fault(pages: Served) -> None:
    """A session cookie or a CSRF token of any letters is wrong, never a server error."""
    strange = {"cookie": "osteon_session=é.é".encode("latin-1")}
    assert httpx.get(pages.url + "/", headers=strange).status_code == 401
    client = signed_in(pages, "physicist")
    answer = client.post(f"/runs/{pages.run_id}/retry", data={"csrf": "é"})
    assert answer.status_code == 403


def test_guessing_a_password_is_slowed_down(pages: Served) -> None:
    """After some failures even the right password waits, and the page says how long."""
    _account(pages.site, "guessed", "engineer")
    client = _client(pages)
    for _ in range(FREE_PER_ACCOUNT):
        assert _enter(client, "guessed", "wrong").status_code == 401
    answer = _enter(client, "guessed")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 30
    assert "Too many failed attempts" in answer.text
    assert _enter(client, "engineer").status_code == 303


def test_sign_ins_are_recorded_without_what_was_typed(pages: Served) -> None:
    """Good and failed sign-ins are in the log; an unknown id stands as a digest alone."""
    client = _client(pages)
    secret = "Typed-into-the-wrong-field"
    pages.site.seal()
    with pages.site.database.reading() as transaction:
        before = transaction.tree_size()
    for account_id, password in (("approver", PASSWORD), ("approver", secret), (secret, "x")):
        _enter(client, account_id, password)
    pages.site.seal()
    with pages.site.database.reading() as transaction:
        leaves = [leaf.leaf for leaf in transaction.leaves(before, transaction.tree_size())]
    records = [decode(leaf) for leaf in leaves]
    said = [(item.body["what"], item.actor.id, item.actor.role) for item in records]
    assert said[:2] == [
        ("sign-in", "account:approver", "approver"),
        ("sign-in-refused", "account:approver", "approver"),
    ]
    assert said[2][0] == "sign-in-refused"
    assert re.fullmatch(r"unknown:[0-9a-f]{12}", said[2][1])
    assert not any(word.encode() in leaf for leaf in leaves for word in (secret, PASSWORD))


@pytest.mark.parametrize("change", ["disabled", "role", "password"])
def test_a_session_ends_with_what_it_stands_on(pages: Served, change: str) -> None:
    """Who is disabled, has another role or another password is signed out at once."""
    account_id = f"leaver-{change}"
    _account(pages.site, account_id, "engineer")
    client = _client(pages)
    _enter(client, account_id)
    assert client.get("/").status_code == 200
    if change == "disabled":
        disable_account(pages.site, account_id)
    elif change == "password":
        change_password(pages.site, account_id, PASSWORD, PASSWORD + " staple")
    else:
        with pages.site.database.transaction() as transaction:
            account = transaction.account(account_id)
            assert account is not None
            transaction.put_account(replace(account, role="clinician"))
    assert client.get("/").status_code == 401


def _failing(error: Exception) -> Callable[..., object]:
    def act(*_: object) -> object:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (ConfigurationError("expected a run that has ended"), 409, "expected a run that has ended"),
        (UnavailableError("expected a connection"), 503, "DOOR_UNAVAILABLE"),
    ],
)
def test_an_act_that_cannot_be_done_gets_a_page(
    pages: Served, error: Exception, status: int, word: str
) -> None:
    """What the state of a run does not permit is said on a page, with its reason."""
    client = _client(pages, _failing(error))
    _enter(client, "engineer")
    csrf = _csrf(client.get(f"/runs/{pages.run_id}"))
    answer = client.post(f"/runs/{pages.run_id}/force", data={"csrf": csrf})
    assert answer.status_code == status
    assert word in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_database_that_does_not_answer(pages: Served, tmp_path: Path) -> None:
    """Health says 503 and names the database; a page says that it cannot be shown now."""
    client = _client(pages)
    _enter(client, "engineer")
    silent = Database(str(tmp_path / "empty.db"))  # no tables in it
    broken = TestClient(
        build_app(replace(pages.site, database=silent), lambda *_: None), follow_redirects=False
    )
    broken.cookies = client.cookies
    health = broken.get("/health")
    assert (health.status_code, health.json()) == (503, {"status": "database"})
    metrics = broken.get("/metrics", headers={"Authorization": "Bearer scrape-me"})
    assert metrics.status_code == 503
    assert broken.get("/").status_code == 503
    silent.close()


def test_run_counts_are_grouped(pages: Served) -> None:
    """Runs are counted with their seconds by plugin, release and status."""
    with pages.site.database.reading() as transaction:
        counts = transaction.run_counts()
        assert transaction.open_run_count() == 0
    done = [value for (plugin, _, status), value in counts.items() if status == "done"]
    assert [count for count, _ in done] == [1]
    assert done[0][1] > 0
    answer = httpx.get(pages.url + "/metrics", headers={"Authorization": "Bearer scrape-me"})
    assert 'plugin="contouring",status="refused",version="unknown"} 1.0' in answer.text


@pytest.mark.parametrize("role", ["clinician", "physicist", "engineer", "approver"])
def test_seed_point_is_asked_for_and_passed_on(pages: Served, role: str) -> None:
    """A run refused for want of a seed point asks those for one who may give it."""
    acts: list[tuple[object, ...]] = []
    client = _client(pages, lambda *what: acts.append(what))
    _enter(client, role)
    page = client.get(f"/runs/{pages.refused_run_id}")
    may = role in access.SEEDERS
    assert (f"/runs/{pages.refused_run_id}/seed" in page.text) is may
    data = {"csrf": _csrf(page), "x": "-12.5", "y": "3", "z": "1e2"}
    path = f"/runs/{pages.refused_run_id}/seed"
    assert client.post(path, data=data).status_code == (303 if may else 403)
    expected = ("seed", pages.refused_run_id, f"account:{role}", "-12.50,3.00,100.00")
    assert acts == ([expected] if may else [])
    if may:
        assert client.post(path, data=data | {"csrf": "forged"}).status_code == 403
        for wrong in ("", "nan", "inf", "12;5"):
            assert client.post(path, data=data | {"x": wrong}).status_code == 400
        assert len(acts) == 1


def test_a_refusal_is_shown_as_an_answer(pages: Served) -> None:
    """The page of a refused run says why, and whether a report of it could be written."""
    client = signed_in(pages, "clinician")
    text = client.get(f"/runs/{pages.refused_run_id}").text
    assert "The study was not processed" in text
    assert SEED_REFUSAL in text
    assert "No report of this was written: INPUT_MISSING_ATTRIBUTE" in text
    client.get("/language/de")
    assert "Die Studie wurde nicht bearbeitet" in client.get(f"/runs/{pages.refused_run_id}").text
    assert "was not processed" not in client.get(f"/runs/{pages.run_id}").text


def test_no_seed_point_where_none_is_wanted(pages: Served) -> None:
    """A finished run offers to run again, and neither a seed point nor a retry."""
    text = signed_in(pages, "physicist").get(f"/runs/{pages.run_id}").text
    assert f"/runs/{pages.run_id}/force" in text
    assert "/seed" not in text
    assert "/retry" not in text


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
        for path, word in (
            ("/runs", "Läufe"),
            (f"/runs/{pages.refused_run_id}", "Saatpunkt"),
            (f"/runs/{pages.run_id}", "Befunde"),
        ):
            page.goto(pages.url + path)
            assert word in page.inner_text("main")
            results = Axe().run(page)
            assert results.violations_count == 0, results.generate_report()
            page.screenshot(path=str(tmp_path / f"page-{word}.png"), full_page=True)
        assert page.evaluate("document.querySelector('img.overview').naturalWidth") > 0
        page.goto(pages.url + "/language/en")
        assert "Latest runs" in page.inner_text("main")
        browser.close()
