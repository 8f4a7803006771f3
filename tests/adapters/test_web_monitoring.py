"""The pages of monitoring and alarms: what they show, who decides, and how they look."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from adapters.monitoring.alarming import alarm_name
from adapters.monitoring.running import run_monitors
from tests.simulators.incident_site import add_people
from tests.simulators.monitored_site import Monitored, monitored_site
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
        "σ",
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
    assert (
        '<form method="post" action="/alarms' not in served.client("engineer").get("/alarms").text
    )
    physicist = served.client("physicist")
    token = csrf(physicist, "/alarms")
    data = {"decision": "keep", "reason": "checked", "csrf": token}
    assert served.client("engineer").post(path, data=data).status_code == 403
    assert physicist.post(path, data={**data, "csrf": "x"}).status_code == 403
    assert physicist.post(path, data={**data, "reason": " "}).status_code == 409
    assert physicist.get("/alarms").text.count(">open<") == 1
    assert physicist.post(path, data=data).status_code == 303
    text = physicist.get("/alarms").text
    assert "keep as it is" in text
    assert ">open<" not in text


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
                results = Axe().run(page)
                assert results.violations_count == 0, (label, results.generate_report())
                assert page.evaluate("document.documentElement.scrollWidth") <= width, label
                page.screenshot(
                    path=str(folder / f"monitoring-{label}-{width}.png"), full_page=True
                )
        browser.close()
