"""The pages of monitoring and alarms: what they show, who decides, and how they look."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from adapters.monitoring.alarming import alarm_name
from adapters.monitoring.running import run_monitors
from governance.monitoring.plan import NOTIFY, Plan
from tests.simulators.incident_site import add_people
from tests.simulators.monitored_site import PLAN, Monitored, monitored_site
from tests.simulators.workspace_site import (
    CHROMIUM,
    FLAGS,
    Workspace,
    csrf,
    enter,
    serving_pages,
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Workspace, Monitored]]:
    """Serve a site whose release was suspended by its plan after a change of the kernel."""
    with monitored_site(tmp_path) as found:
        add_people(found.site)
        found.runs(30)
        run_monitors(found.site)
        found.runs(10, kernel="B70", noise=4.0)
        run_monitors(found.site)
        with serving_pages(found.site, []) as url:
            yield Workspace(found.site, url, ""), found


@pytest.mark.reg("AIA-72.1")
def test_the_page_of_a_release_says_what_it_sees_and_what_not(
    place: tuple[Workspace, Monitored],
) -> None:
    """Charts, reference against now, runs to look at, and the limits of label-free monitors."""
    served, found = place
    text = served.client("engineer").get(f"/monitoring/{found.digest}").text
    for word in (
        "ct_noise",
        "not at work",
        "sixty cases of a test",
        "no monitor of performance",
        "<svg",
        "+3 σ",
        "−2 σ",
        "EWMA",
        "ct_noise: CUSUM",
    ):
        assert word in text
    assert f"/runs/{found.count:032x}" in text
    assert "nothing is watched" in served.client("engineer").get("/monitoring").text


def test_an_alarm_is_decided_on_the_page_with_a_reason(
    place: tuple[Workspace, Monitored],
) -> None:
    """An engineer may not; a decision without a reason is refused; a token is asked for."""
    served, found = place
    name = alarm_name("input", found.digest)
    path = f"/alarms/{quote(name)}/decide"
    assert '/decide"' not in served.client("engineer").get("/alarms").text
    physicist = served.client("physicist")
    token = csrf(physicist, "/alarms")
    data = {"decision": "keep", "reason": "checked", "csrf": token}
    assert served.client("engineer").post(path, data=data).status_code == 403
    assert physicist.post(path, data={**data, "csrf": "x"}).status_code == 403
    assert physicist.post(path, data={**data, "reason": " "}).status_code == 409
    assert physicist.get("/alarms").text.count(">open<") == 1
    german = served.client("clinician")
    german.get("/language/de")
    for page in ("/alarms", "/"):
        told = german.get(page).text
        assert " Fällen" in told
        assert " cases" not in told
    assert "An alarm waits for a decision" in physicist.get("/").text
    assert physicist.post(path, data=data).status_code == 303
    text = physicist.get("/alarms").text
    assert "keep as it is" in text
    assert "An alarm waits for a decision" not in physicist.get("/").text
    assert ">open<" not in text


def test_an_alarm_is_taken_up_and_silenced_on_the_page(
    place: tuple[Workspace, Monitored],
) -> None:
    """Whoever may takes it up with one button; the alarm that suspended has no silence."""
    served, found = place
    name = alarm_name("input", found.digest)
    physicist = served.client("physicist")
    token = csrf(physicist, "/alarms")
    text = physicist.get("/alarms").text
    assert "/silence" not in text
    assert "suspend" in text
    path = f"/alarms/{quote(name)}"
    assert served.client("compliance").post(f"{path}/acknowledge").status_code == 403
    quiet = {"csrf": token, "until": "2099-01-01", "reason": "x"}
    assert physicist.post(f"{path}/silence", data=quiet).status_code == 409
    assert physicist.post(f"{path}/silence", data={**quiet, "until": "never"}).status_code == 409
    assert physicist.post(f"{path}/acknowledge", data={"csrf": token}).status_code == 303
    text = physicist.get("/alarms").text
    assert "taken up: " in text
    assert "/acknowledge" not in text
    for word in ("Alarm fatigue", "Per week", "0/1 = 0"):
        assert word in text


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_an_alarm_is_silenced_in_a_real_browser(tmp_path: Path) -> None:
    """Of an item that only notifies: by its form, then the silence stands there with its reason."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    folder = Path(os.environ.get("OSTEON_SCREENSHOTS", tmp_path))
    tells = Plan("trial", (replace(PLAN.items[0], action=NOTIFY),))
    with monitored_site(tmp_path, tells) as found, sync_playwright() as play:
        add_people(found.site)
        found.runs(10, kernel="B70")
        run_monitors(found.site)
        with serving_pages(found.site, []) as url:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            page = browser.new_page(viewport={"width": 390, "height": 900}, bypass_csp=True)
            enter(page, url, "physicist")
            page.goto(f"{url}/alarms")
            page.locator("summary", has_text="Silence").click()
            until = (found.clock() + timedelta(days=3)).date().isoformat()
            page.locator("input[type=date]").fill(until)
            page.locator("textarea[name=reason]:visible").fill("service of the tube")
            page.get_by_role("button", name="Silence").click()
            page.wait_for_load_state()
            text = page.locator("main").inner_text()
            assert "Silences in force" in text
            assert "service of the tube" in text
            assert Axe().run(page).violations_count == 0
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            page.screenshot(path=str(folder / "monitoring-silenced-390.png"), full_page=True)
            browser.close()


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_both_pages_in_a_real_browser(place: tuple[Workspace, Monitored], tmp_path: Path) -> None:
    """Both languages, wide and narrow: no accessibility fault, nothing cut off, a form opens."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    served, found = place
    folder = Path(os.environ.get("OSTEON_SCREENSHOTS", tmp_path))
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 900}, bypass_csp=True)
        enter(page, served.url, "physicist")
        for language, width in (("en", 1280), ("de", 390)):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{served.url}/language/{language}")
            for label, path in (("alarms", "/alarms"), ("release", f"/monitoring/{found.digest}")):
                page.goto(served.url + path)
                if label == "alarms":
                    page.locator("summary").first.click()
                    box = page.locator("tbody th").first.bounding_box()
                    assert box["width"] < 0.7 * width
                results = Axe().run(page)
                assert results.violations_count == 0, (label, results.generate_report())
                assert page.evaluate("document.documentElement.scrollWidth") <= width, label
                page.screenshot(
                    path=str(folder / f"monitoring-{label}-{width}.png"), full_page=True
                )
        browser.close()
