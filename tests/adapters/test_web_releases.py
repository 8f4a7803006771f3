"""Pages of releases, recall and history: what they show, who may decide what, in a browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from adapters.compose import Site
from adapters.database.delivery import DeliveryRow
from adapters.governance.promoting import activate, start_canary, start_shadow
from adapters.governance.rolling_back import Wish, rollback
from adapters.web.access import RELEASE_ACTS, ROUTES
from audit.record import decode
from governance.certificate import ADVICE
from plugins.host.ports import Document
from tests.simulators.governed_site import (
    APPROVER,
    PHYSICIST,
    Clock,
    add_release,
    approved,
    governed_site,
    state_of,
)
from tests.simulators.incident_site import PASSWORD, add_people
from tests.simulators.paired_studies import answer_runs, compare_studies, send_study
from tests.simulators.workspace_site import CHROMIUM, FLAGS, csrf, enter, serving_pages

PAIRS = 3
ROLES = ("clinician", "physicist", "engineer", "approver", "compliance", "administrator")


@dataclass
class Place:
    """A served site with four releases of one plugin."""

    site: Site
    clock: Clock
    url: str
    digests: dict[str, str]

    def path(self, version: str, below: str = "") -> str:
        """Return the address of a release, or of something below it."""
        return f"/releases/{self.digests[version].removeprefix('sha256:')}{below}"

    def client(self, role: str) -> httpx.Client:
        """Return a client that signed in by the form."""
        client = httpx.Client(base_url=self.url, follow_redirects=False, timeout=30)
        data = {"account_id": f"the-{role}", "password": PASSWORD, "csrf": csrf(client, "/sign-in")}
        assert client.post("/sign-in", data=data).status_code == 303
        return client

    def send(self, role: str, path: str, **values: str) -> httpx.Response:
        """Send a form as a role, with the token of its session."""
        client = self.client(role)
        token = csrf(client, "/releases")
        return client.post(path, data={"csrf": token, **values})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """1.0.0 active again, 2.0.0 left and recalled, 3.0.0 in shadow, 4.0.0 without certificate."""
    root = tmp_path_factory.mktemp("web-releases")
    with governed_site(root, governance={"minimum_pairs": PAIRS}) as (site, clock):
        add_people(site)
        digests = {"1.0.0": approved(site, add_release(site, "1.0.0"))}
        activate(site, digests["1.0.0"], APPROVER, "first")
        clock.forward(days=1)
        digests["2.0.0"] = approved(site, add_release(site, "2.0.0"))
        start_shadow(site, digests["2.0.0"], APPROVER, "look")
        compare_studies(site, clock, PAIRS)
        start_canary(site, digests["2.0.0"], APPROVER, "look closer", 1.0)
        compare_studies(site, clock, PAIRS)
        activate(site, digests["2.0.0"], APPROVER, "better margins")
        answer_runs(site, send_study(site, clock))
        deliver(site, digests["2.0.0"])
        clock.forward(days=1)
        rollback(site, "trial", PHYSICIST, Wish("contours too wide", mark=False))
        digests["3.0.0"] = approved(site, add_release(site, "3.0.0"))
        start_shadow(site, digests["3.0.0"], APPROVER, "look")
        compare_studies(site, clock, 2)
        digests["4.0.0"] = add_release(site, "4.0.0")
        with serving_pages(site, []) as url:
            yield Place(site, clock, url, digests)


def deliver(site: Site, digest: str) -> None:
    """Let every live result of a release but the first lie at the archive."""
    with site.database.transaction() as transaction:
        live = [row for row in transaction.runs_of(digest) if row.mode == "research"]
        for number, row in enumerate(live):
            uid = f"2.25.{number + 1}"
            document = Document("SR", site.home.outbox / "sr.dcm", "sha256:0", "1.2", uid)
            transaction.put_documents(row.run_id, (document,))
            if number:
                transaction.put_delivery(
                    DeliveryRow(row.run_id, "pacs", uid, "SR", uid, "sha256:0", "", "verified")
                )


def test_the_list_says_what_runs_on_what(place: Place) -> None:
    """Every release with state, certificate and who decided; the stop where the role may."""
    text = place.client("approver").get("/releases").text
    for version in place.digests:
        assert f'href="{place.path(version)}"' in text
    assert text.index("trial 1.0.0") < text.index("trial 3.0.0") < text.index("trial 2.0.0")
    assert 'action="/stops/stop"' in text
    assert 'action="/stops/lift"' not in text
    assert "/stops/" not in place.client("compliance").get("/releases").text


def test_one_release_shows_certificate_approvals_and_history(place: Place) -> None:
    """Digest, certificate, two signatures, states with person and evidence, and its card."""
    client = place.client("compliance")
    text = client.get(place.path("2.0.0")).text
    digest = place.digests["2.0.0"]
    assert digest in text
    assert f"cert-{digest[7:15]}" in text
    assert len(re.findall(r"<code>sha256:[0-9a-f]{64}</code>", text)) >= 4
    for state in ("registered", "validated", "approved", "shadow", "canary", "active", "standby"):
        assert f">{state}<" in text
    assert "better margins" in text
    assert "nothing that your role decides" in text
    bare = client.get(place.path("4.0.0")).text
    assert "CERTIFICATE_MISSING" in bare
    assert ADVICE["CERTIFICATE_MISSING"][:40] in bare
    tested = client.get(place.path("3.0.0")).text
    assert "all studies" in tested
    assert "0.933" in tested
    card = client.get(place.path("1.0.0", "/card")).text
    assert "<style" not in card
    assert "Trial" in card
    assert client.get("/releases/" + "0" * 64).status_code == 404


@pytest.mark.parametrize("role", ROLES)
def test_buttons_are_those_that_the_table_gives_a_role(place: Place, role: str) -> None:
    """A page offers what role and state permit, and the server holds each form to the table."""
    client = place.client(role)
    offered = {
        version: set(re.findall(rf'action="{place.path(version)}/(\w+)"', page))
        for version in place.digests
        for page in [client.get(place.path(version)).text]
    }
    for version, actions in offered.items():
        assert all(role in RELEASE_ACTS[action] for action in actions), (version, actions)
    assert ("rollback" in offered["2.0.0"]) is (role in ("clinician", "physicist", "approver"))
    assert "rollback" not in offered["1.0.0"]
    before = {version: state_of(place.site, digest) for version, digest in place.digests.items()}
    token = csrf(client, "/releases")
    for action, roles in RELEASE_ACTS.items():
        answer = client.post(place.path("4.0.0", f"/{action}"), data={"csrf": token})
        expected = (409,) if role in roles else (403,)
        assert answer.status_code in expected, (action, answer.status_code)
        assert client.post(place.path("4.0.0", f"/{action}")).status_code == 403
    after = {version: state_of(place.site, digest) for version, digest in place.digests.items()}
    assert before == after


def test_the_recall_list_says_what_to_do_and_is_read_on_record(place: Place) -> None:
    """Pseudonyms, each with what to do; reading, acknowledging and noting are on record."""
    client = place.client("clinician")
    path = place.path("2.0.0", "/recall")
    text = client.get(path).text
    with place.site.database.reading() as transaction:
        recalled = transaction.governed("recall", place.digests["2.0.0"])
    assert recalled is not None
    assert recalled.content["reason"] in text
    assert text.count("/runs/") == 4  # three as canary, one active
    assert "Nothing of it reached a target." in text
    assert "PAIR-" not in text
    place.site.seal()
    with place.site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        last = [decode(leaf.leaf) for leaf in leaves if leaf.kind == "access"][-1]
    assert (last.body["what"], last.actor.id) == ("recall", "the-clinician")
    found = re.search(r'name="patient" value="([^"]+)"', text)
    assert found is not None
    answer = place.send("clinician", place.path("2.0.0", "/acknowledge"))
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    answer = place.send(
        "clinician", place.path("2.0.0", "/handle"), patient=found[1], done="contoured by hand"
    )
    assert answer.status_code == 303
    assert "contoured by hand" in client.get(path).text
    assert place.send("engineer", place.path("2.0.0", "/handle")).status_code == 403


def test_the_history_answers_for_any_moment(place: Place) -> None:
    """Which release was in use then, who decided, on what evidence; nothing before the first."""
    client = place.client("compliance")
    whole = client.get("/history?plugin=trial").text
    assert whole.count("<tr>") > 10
    now = place.clock()

    def active(**back: float) -> list[str]:
        at = (now - timedelta(**back)).strftime("%Y-%m-%dT%H:%M:%S")
        text = client.get(f"/history?plugin=trial&at={quote(at)}").text
        rows = re.findall(r"<tr><td class.*?</tr>", text)
        return [
            re.search(r"trial (\d\.\d\.\d)", row)[1]  # type: ignore[index]
            for row in rows
            if ">active<" in row
        ]

    assert active(minutes=0) == ["1.0.0"]
    assert active(hours=20) == ["2.0.0"]
    assert active(hours=30) == ["1.0.0"]
    assert active(days=9) == []
    assert "No release was in use then." in client.get("/history?at=2001-01-01T00:00").text
    assert client.get("/history?at=yesterday").status_code == 409


def test_a_rollback_and_a_stop_by_the_page(place: Place) -> None:
    """Without a reason it is refused; with one the release before is active, and then all stops."""
    refused = place.send("physicist", place.path("2.0.0", "/rollback"), reason=" ")
    assert refused.status_code == 409
    assert "evidence reason is missing" in refused.text
    done = place.send("physicist", place.path("2.0.0", "/rollback"), reason="it was the scanner")
    assert done.status_code == 303
    assert (state_of(place.site, place.digests["2.0.0"])) == "active"
    place.send("physicist", place.path("1.0.0", "/rollback"), reason="and back")
    assert (state_of(place.site, place.digests["1.0.0"])) == "active"
    assert place.send("clinician", "/stops/stop", scope="trial", reason="odd").status_code == 303
    assert "stopped" in place.client("clinician").get("/releases").text
    assert place.send("clinician", "/stops/lift", scope="trial", reason="x").status_code == 403
    assert place.send("approver", "/stops/lift", scope="trial", reason="seen").status_code == 303
    assert place.send("approver", "/stops/else", scope="trial").status_code == 404
    wrong = place.send("approver", place.path("3.0.0", "/canary"), reason="x", share="much")
    assert wrong.status_code == 409


def test_every_form_goes_to_a_route_of_the_table(place: Place) -> None:
    """What a page sends is what the table of access knows."""
    client = place.client("approver")
    for path in ("/releases", *(place.path(version) for version in place.digests)):
        for target in re.findall(r'method="post" action="([^"]+)"', client.get(path).text):
            known = re.sub(r"/releases/[0-9a-f]{64}", "/releases/{digest}", target)
            assert ("POST", known) in ROUTES


PAGES = (
    ("list", "/releases"), ("active", "1.0.0"), ("left", "2.0.0"), ("shadow", "3.0.0"),
    ("bare", "4.0.0"), ("recall", "2.0.0/recall"), ("card", "1.0.0/card"),
    ("history", "/history"),
)  # fmt: skip


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("look", ["light", "dark"])
def test_pages_in_a_real_browser(place: Place, tmp_path: Path, look: str) -> None:
    """Without script, wide and narrow, both languages: no accessibility fault, nothing cut off."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    folder = Path(os.environ.get("OSTEON_SCREENSHOTS", tmp_path))
    language = "de-DE" if look == "light" else "en-GB"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        context = browser.new_context(
            locale=language, bypass_csp=True, color_scheme=look,
            viewport={"width": 1280, "height": 900},
        )  # fmt: skip
        page = context.new_page()
        enter(page, place.url, "approver" if look == "light" else "clinician")
        for name, where in PAGES:
            version, _, below = where.partition("/")
            path = place.path(version, f"/{below}" if below else "") if version else where
            for width in (1280, 400):
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(place.url + path)
                results = Axe().run(page)
                assert results.violations_count == 0, (name, results.generate_report())
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (name, width, wide)
                page.screenshot(
                    path=str(folder / f"releases-{name}-{look}-{width}.png"), full_page=True
                )
        browser.close()


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_rollback_works_without_script(place: Place) -> None:
    """A physicist goes back by the form of the page in a browser that runs no script."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_context(java_script_enabled=False, locale="en-GB").new_page()
        enter(page, place.url, "physicist")
        for version, reason in (("2.0.0", "by the page"), ("1.0.0", "and back by the page")):
            page.goto(place.url + place.path(version))
            page.fill("#reason_rollback", reason)
            with page.expect_navigation():
                page.click(f"form[action='{place.path(version)}/rollback'] button")
            assert state_of(place.site, place.digests[version]) == "active"
        browser.close()
