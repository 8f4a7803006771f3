"""A compliance officer's working day, in a real browser, without script (issue 4, acceptance 4).

Sign in; find every run of one pseudonymous patient on a date; see why a result was overridden;
verify the log; export the evidence; check it elsewhere with the small verifier.  On the way every
route that writes is tried and refused.
"""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.web.access import ROUTES
from audit.record import decode
from tests.simulators.workspace_site import (
    CHROMIUM,
    FLAGS,
    Workspace,
    csrf,
    enter,
    reviewed,
    workspace,
)

OWN = {("POST", "/sign-out"), ("POST", "/account"), ("POST", "/sign-in")}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Serve a site with one run whose result a clinician rejected and another system replaced."""
    with workspace(tmp_path_factory.mktemp("journey")) as found:
        reviewed(found)
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a real browser that runs no script."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield found
        found.close()


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.reg("AIA-21")
def test_a_day_of_a_compliance_officer(place: Workspace, browser: Any, tmp_path: Path) -> None:
    """From signing in to a pack that somebody else has checked; nothing was changed on the way."""
    context = browser.new_context(
        locale="en-GB", java_script_enabled=False, accept_downloads=True,
        viewport={"width": 1280, "height": 900},
    )  # fmt: skip
    page = context.new_page()
    enter(page, place.url, "compliance")
    assert "What is wrong" in page.inner_text("main")
    with place.site.database.reading() as transaction:
        row = transaction.run(place.run_id)
    assert row is not None

    page.click("header nav >> text=Patients")
    page.click("tbody tr:first-child a")
    assert place.patient in page.inner_text("main")
    page.fill("#on", f"{row.opened_at:%Y-%m-%d}")
    page.click("button >> text=Show")
    assert page.locator("h2:has-text('Runs of this patient') ~ .scroll tbody tr").count() >= 1
    number = place.site.pseudonyms.reveal(place.patient).rpartition("|")[2]
    assert number not in page.content()
    assert "Break the glass" not in page.content()

    page.click(f"a[href='/runs/{place.run_id}']")
    review = page.inner_text("h2#review + .scroll")
    assert "rejected" in review
    assert "extension missing" in review
    assert "HD95" in review
    assert page.locator("form[action$='/assess']").count() == 0

    page.click("header nav >> text=Audit")
    page.select_option("#kind", "assessment")
    page.fill("#patient", place.patient)
    page.click("form[action='/audit'] button")
    rows = page.locator(".timeline tbody tr")
    assert rows.count() == 2
    assert "reviewer:" in page.inner_text(".timeline")
    assert "the-clinician" not in page.inner_text(".timeline")

    page.click("text=Verify the log")
    page.click("text=Verify now")
    for _ in range(50):
        if "is what was signed" in page.inner_text("main"):
            break
        page.wait_for_timeout(200)
        page.goto(place.url + "/audit/verify")
    assert "The log is what was signed." in page.inner_text("main")

    page.click("header nav >> text=Evidence")
    with page.expect_download() as waiting:
        page.click("text=Export the evidence pack")
    pack = tmp_path / "pack.zip"
    waiting.value.save_as(pack)
    context.close()
    _checked_elsewhere(place, pack, tmp_path)
    _nothing_was_changed(place)


def _checked_elsewhere(place: Workspace, pack: Path, folder: Path) -> None:
    """Check a pack as somebody does who has Python, the pack and the key, and nothing of ours."""
    key = place.site.keys.log.verifier.text()
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(pack) as archive:
        (elsewhere / "verify_log.py").write_bytes(archive.read("verify_log.py"))
    whole = [sys.executable, "-I", str(pack), "--key", key]
    small = [sys.executable, "-I", "verify_log.py", str(pack), "--key", key]
    for command in (whole, small):
        done = subprocess.run(
            command, cwd=elsewhere, env={}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith("GOOD")


def _nothing_was_changed(place: Workspace) -> None:
    """Every record that the officer left is one of reading or exporting."""
    place.site.seal()
    with place.site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        records = [decode(leaf.leaf) for leaf in leaves]
    own = [record for record in records if record.actor.id == "account:the-compliance"]
    assert {record.kind for record in own} <= {"access", "export"}
    assert [r.body["what"] for r in own if r.kind == "export"] == ["evidence-pack"]
    assert place.acts == []


def test_no_route_that_writes_opens_for_compliance(place: Workspace) -> None:
    """Every POST of the table but the own sign-out and password is refused with 403."""
    client = place.client("compliance")
    token = csrf(client, "/account")
    tried = 0
    for method, route in ROUTES:
        if method == "GET" or (method, route) in OWN:
            continue
        answer = client.request(method, _address(route, place), data={"csrf": token})
        assert answer.status_code == 403, (method, route)
        tried += 1
    assert tried >= 20


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_no_other_verb_opens_anything(place: Workspace, method: str) -> None:
    """Verbs that the table does not know open nothing for anybody."""
    client = place.client("approver")
    for path in ("/", "/runs", f"/runs/{place.run_id}", "/audit", "/patients"):
        answer: httpx.Response = client.request(method, path)
        assert answer.status_code in (403, 404, 405), (method, path)


def _address(route: str, place: Workspace) -> str:
    for name, value in (
        ("{run_id}", place.run_id),
        ("{pseudonym}", place.patient),
        ("{incident_id}", "inc-20261126-aaaaaa"),
        ("{digest}", "sha256:" + "0" * 64),
        ("{plugin}", "example"),
        ("{name}", "0" * 32),
    ):
        route = route.replace(name, value)
    assert "{" not in route, route
    return route
