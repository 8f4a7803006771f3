"""Pages of technical files: what is missing and why, in both languages, in a real browser."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from adapters.compose import Site, open_site
from adapters.governance.persons import Somebody
from adapters.home import Home
from adapters.passwords import add_account, change_password
from adapters.published import add_newest
from adapters.technical_file import acts
from adapters.technical_file.build import look, write
from adapters.technical_file.demonstration import fill_demonstration
from adapters.web.app import build_app
from adapters.web.texts_technical_file import TECHNICAL_FILE_TEXTS
from governance.technical_file.fields import FIELDS
from governance.technical_file.reasons import reason_text
from tests.simulators.example_site import configuration

PASSWORD = "correct horse battery"
CHROMIUM = shutil.which("chromium")
ANNA = Somebody("anna", "approver")


@dataclass(frozen=True)
class Served:
    """A site with one filled and one bare release, and its application."""

    site: Site
    filled: str
    bare: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A site with the contouring release filled in and built, and the example release bare."""
    root = tmp_path_factory.mktemp("web-tf")
    with open_site(Home(root / "home").create(), configuration=configuration(root)) as site:
        once = add_account(site, "reader", "compliance", "account:admin")
        change_password(site, "reader", once, PASSWORD)
        filled, bare = add_newest(site, "contouring"), add_newest(site, "example")
        fill_demonstration(site, filled, ANNA)
        acts.state_field(site, filled, "p2.b.assumptions", "<b>The CT</b> is calibrated.", ANNA)
        write(site, look(site, filled), root / "out", ANNA, pdf=False)
        yield Served(site, filled, bare)


def _client(served: Served, language: str = "en") -> TestClient:
    client = TestClient(build_app(served.site, lambda *_: None))
    client.cookies.set("osteon_language", language)
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/sign-in").text)
    assert token is not None
    data = {"account_id": "reader", "password": PASSWORD, "csrf": token.group(1)}
    client.post("/sign-in", data=data)
    return client


def _path(digest: str) -> str:
    return f"/releases/{digest.removeprefix('sha256:')}/technical-file"


@pytest.mark.reg("AIA-11.1")
@pytest.mark.parametrize("language", ["en", "de"])
def test_the_page_says_what_is_missing_and_why(served: Served, language: str) -> None:
    """Every gap stands there with its point, reason and who has to fill it; nothing is executed."""
    text = _client(served, language).get(_path(served.filled)).text
    index = 0 if language == "en" else 1
    missing = look(served.site, served.filled).file.missing()
    for rule in FIELDS:
        assert (f"<code>{rule.path}</code>" in text) == (rule.path in missing), rule.path
        assert (rule.en if language == "en" else rule.de) in text
    assert f"<strong>{len(missing)}</strong>" in text
    assert TECHNICAL_FILE_TEXTS["tf_no_ce"][index] in text
    assert TECHNICAL_FILE_TEXTS["tf_current"][index] in text
    assert "CLASSIFICATION_MISSING" in text
    assert "style=" not in text


def test_a_changed_source_shows(served: Served, tmp_path: Path) -> None:
    """A file that is older than a source says so by name, and no more once it is built again."""
    client = _client(served)
    statement = "statement/p2.b.trade_offs"
    acts.state_field(served.site, served.filled, "p2.b.trade_offs", "None.", ANNA)
    page = client.get(_path(served.filled)).text
    assert TECHNICAL_FILE_TEXTS["tf_stale"][0] in page
    assert f"<code>{statement}</code>" in page
    assert TECHNICAL_FILE_TEXTS["tf_stale"][0] in client.get("/technical-files").text
    write(served.site, look(served.site, served.filled), tmp_path, ANNA, pdf=False)
    assert TECHNICAL_FILE_TEXTS["tf_stale"][0] not in client.get(_path(served.filled)).text


def test_the_list_has_every_release(served: Served) -> None:
    """Each release that lies here has its line and its page; an unknown one has none."""
    client = _client(served)
    listed = client.get("/technical-files").text
    for digest in (served.filled, served.bare):
        assert _path(digest) in listed
        assert client.get(_path(digest)).status_code == 200
    assert TECHNICAL_FILE_TEXTS["tf_never_built"][0].split(";")[0] in listed
    assert client.get(_path("sha256:" + "0" * 64)).status_code == 404
    assert client.get("/releases/nowhere/technical-file").status_code == 404


def test_reasons_are_told_in_german_where_rules_give_them() -> None:
    """Phrases of rules are translated with what they name; words of a person stay."""
    assert reason_text("no source: provider", "de") == "keine Quelle: provider"
    assert reason_text("no source: provider", "en") == "no source: provider"
    assert reason_text("we sell no hardware", "de") == "we sell no hardware"
    odd = r"a source cannot be read: \1 (x)"
    assert reason_text(odd, "de") == r"eine Quelle ist nicht lesbar: \1 (x)"


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_pages_in_a_real_browser(served: Served, tmp_path: Path) -> None:
    """Both pages are readable by keyboard and screen reader, wide and narrow, in German."""
    import uvicorn
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    config = uvicorn.Config(build_app(served.site, lambda *_: None), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    flags = [
        "--no-sandbox", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--no-first-run", "--disable-gpu",
    ]  # fmt: skip
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = browser.new_context(locale="de-DE", bypass_csp=True)
        page = context.new_page()
        page.goto(url + "/")
        page.fill("#account_id", "reader")
        page.fill("#password", PASSWORD)
        with page.expect_navigation():
            page.click("form[action='/sign-in'] button")
        page.click("nav a[href='/technical-files']")
        for name, path in (("list", "/technical-files"), ("file", _path(served.filled))):
            page.goto(url + path)
            for width in (1280, 420):
                page.set_viewport_size({"width": width, "height": 900})
                results = Axe().run(page)
                assert results.violations_count == 0, results.generate_report()
                page.screenshot(path=str(tmp_path / f"{name}-{width}.png"), full_page=True)
        assert "Was fehlt" in page.inner_text("main")
        page.click("details summary")
        assert "unterzeichnet" in page.inner_text("details").lower()
        browser.close()
    server.should_exit = True
    thread.join(timeout=10)
