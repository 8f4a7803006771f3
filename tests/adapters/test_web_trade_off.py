"""Opening the trade-offs of a run: the case is prepared beside the page, once, and it is told."""

from __future__ import annotations

import html
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from adapters.compose import Site
from adapters.database.oversight import REVIEW
from adapters.governance.acts import act, waive
from adapters.governance.persons import DEMONSTRATOR
from adapters.web.texts import TEXTS
from audit.errors import (
    InputChangedError,
    PluginRaisedError,
    PluginTimeoutError,
    RefusalError,
    UnavailableError,
)
from tests.simulators.exploring_site import (
    RUNS,
    UNFINISHED,
    WITHOUT_DOSE,
    Exploration,
    comes,
    dose_site,
    exploration,
    threads_left,
)
from tests.simulators.incident_site import PEOPLE
from tests.simulators.workspace_site import (
    CHROMIUM,
    FLAGS,
    Workspace,
    csrf,
    enter,
    settled,
)

RUN, OTHER, THIRD = RUNS
EDIT = {"priority:Parotid_L": "1"}
PHYSICIST = PEOPLE["physicist"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Open a site with three runs of a dose, one without, and one that is not finished."""
    with dose_site(tmp_path_factory.mktemp("explored")) as found:
        yield found


@pytest.fixture
def held_back(site: Site) -> Exploration:
    """Return the site with cases and workers that answer when the gate opens."""
    return exploration(site)


@pytest.fixture
def place(held_back: Exploration) -> Iterator[Workspace]:
    """Serve its pages; whatever is still being prepared ends with them."""
    with held_back.served() as found:
        yield found
    assert held_back.workers.alive() == 0
    assert threads_left() == []


def path_of(run_id: str) -> str:
    """Return where the page of a run is."""
    return f"/runs/{run_id}/trade-off"


def is_prepared(page: httpx.Response) -> bool:
    """Return whether a page says that the case is being prepared, and comes back by itself."""
    told = TEXTS["trade_off_preparing"][0] in page.text
    assert told == ("refresh" in page.headers)
    assert told != ('id="answer"' in page.text)
    assert page.status_code == 200
    return told


def last_view(site: Site, run_id: str, role: str) -> datetime | None:
    """Return when something of a run was last on a reviewer's screen."""
    reviewer = site.pseudonyms.reviewer(PEOPLE[role].account_id)
    place = (REVIEW.c.run_id == run_id) & (REVIEW.c.reviewer == reviewer)
    with site.database.reading() as transaction:
        return transaction.connection.scalar(select(REVIEW.c.last_at).where(place))


def test_the_page_tells_that_the_case_is_prepared_and_then_comes(
    held_back: Exploration, place: Workspace
) -> None:
    """In the reader's language, with what it takes; a view counts when the answer is shown."""
    client = place.client("physicist")
    before = last_view(held_back.site, RUN, "physicist")
    first = client.get(path_of(RUN))
    assert is_prepared(first)
    assert first.headers["refresh"] == f"2; url={path_of(RUN)}"
    assert 'role="status"' in first.text
    assert TEXTS["trade_off_preparing_long"][0] in html.unescape(first.text)
    german = client.get(path_of(RUN), headers={"accept-language": "de"})
    assert TEXTS["trade_off_preparing"][1] in german.text
    assert TEXTS["trade_off_preparing_long"][1] in html.unescape(german.text)
    assert last_view(held_back.site, RUN, "physicist") == before
    held_back.workers.gate.set()
    usual = settled(client, path_of(RUN))
    assert not is_prepared(usual)
    assert "Parotid_L Dmean" in usual.text
    assert last_view(held_back.site, RUN, "physicist") not in (None, before)
    assert not is_prepared(client.get(path_of(RUN)))
    assert len(held_back.workers.started) == 1


FAULTS: dict[str, tuple[str, Exception, int]] = {
    "plugin": ("workers", PluginRaisedError("ValueError during predict"), 503),
    "time": ("workers", PluginTimeoutError("it was killed"), 503),
    "refusal": ("workers", RefusalError("the release refused", reasons=("BLANK",)), 409),
    "archive": ("cases", UnavailableError("expected an archive, found none"), 503),
    "input": ("cases", InputChangedError("expected input a, found b"), 503),
}


@pytest.mark.parametrize(("where", "error", "status"), FAULTS.values(), ids=FAULTS)
def test_a_failure_is_told_once_to_each_and_then_it_is_tried_again(
    held_back: Exploration, place: Workspace, where: str, error: Exception, status: int
) -> None:
    """Who waited gets the status and message of it; an opening after that begins anew."""
    clients = [place.client("physicist"), place.client("engineer")]
    before = last_view(held_back.site, RUN, "physicist")
    if where == "workers":
        assert all(is_prepared(client.get(path_of(RUN))) for client in clients)
    source: Any = getattr(held_back, where)
    source.fault = error
    held_back.workers.gate.set()
    for client in clients:
        failed = settled(client, path_of(RUN))
        assert failed.status_code == status
        told = f"{error}. {error.advice}" if status == 409 else f"{error.code}: {error.advice}"
        assert told in html.unescape(failed.text)
    assert len(held_back.workers.started) == (1 if where == "workers" else 0)
    assert last_view(held_back.site, RUN, "physicist") == before
    source.fault = None
    begun = len(held_back.workers.started)
    for client in clients:
        assert not is_prepared(settled(client, path_of(RUN)))
    assert len(held_back.workers.started) == begun + 1


def test_two_openings_at_once_prepare_one_case(held_back: Exploration, place: Workspace) -> None:
    """Two people, one who reloads, and a question by the form: one process answers them all."""
    people = [place.client(role) for role in ("physicist", "physicist", "engineer")]
    meet = threading.Barrier(len(people))

    def opening(client: httpx.Client) -> httpx.Response:
        meet.wait()
        return client.get(path_of(RUN))

    def asking(client: httpx.Client) -> httpx.Response:
        data = EDIT | {"csrf": csrf(client, "/account")}
        return client.post(path_of(RUN), data=data, timeout=60)

    with ThreadPoolExecutor(8) as pool:
        assert all(map(is_prepared, pool.map(opening, people)))
        answer = pool.submit(asking, place.client("clinician"))
        assert all(map(is_prepared, pool.map(opening, people)))
        assert not answer.done()
        held_back.workers.gate.set()
        for page in pool.map(settled, people, [path_of(RUN)] * len(people)):
            assert not is_prepared(page)
        assert TEXTS["trade_off_changed"][0] in answer.result().text
    assert [process.edits for process in held_back.workers.started] == [
        [{"priority:Parotid_L": 2.0}]
    ]
    assert last_view(held_back.site, RUN, "clinician") is not None


def test_what_is_refused_without_the_case_is_refused_at_once(
    held_back: Exploration, place: Workspace
) -> None:
    """No such run, no result, no dose, no role, release out of use: nothing is prepared for it."""
    client = place.client("physicist")
    assert client.get(path_of("0" * 32)).status_code == 404
    for run_id in (WITHOUT_DOSE, UNFINISHED):
        refused = client.get(path_of(run_id))
        assert (refused.status_code, "refresh" in refused.headers) == (409, False)
    assert place.client("engineer").post(path_of(RUN), data=EDIT).status_code == 403
    assert held_back.workers.started == []
    site = held_back.site
    with site.database.reading() as transaction:
        (release,) = [item.release_digest for item in transaction.deployments("example")]
    assert is_prepared(client.get(path_of(RUN)))
    for _ in comes():
        if held_back.workers.alive() == 1:
            break
    act(site, "suspend", release, PHYSICIST, {"reason": "test"})
    try:
        assert client.get(path_of(RUN)).status_code == 409
        assert held_back.workers.alive() == 0  # what was on its way ended with it
        assert client.get(path_of(RUN)).status_code == 409
    finally:
        waive(site, release, DEMONSTRATOR, "as before", timedelta(days=1))
    assert len(held_back.workers.started) == 1


def test_another_run_does_not_wait_and_two_at_most_have_a_place(
    held_back: Exploration, place: Workspace
) -> None:
    """A warm run answers while another is prepared; a third one waits for a place, and says so."""
    client, workers = place.client("physicist"), held_back.workers
    workers.gate.set()
    assert not is_prepared(settled(client, path_of(RUN)))
    workers.gate.clear()
    assert is_prepared(client.get(path_of(OTHER)))
    assert not is_prepared(client.get(path_of(RUN)))
    data = EDIT | {"csrf": csrf(client, "/account")}
    assert TEXTS["trade_off_changed"][0] in client.post(path_of(RUN), data=data).text
    assert is_prepared(client.get(path_of(THIRD)))  # in the place of the one that was asked
    assert is_prepared(client.get(path_of(RUN)))  # it waits for a place
    for _ in comes():
        if len(workers.started) == 3:
            break
    assert workers.alive() == 2
    workers.gate.set()
    for run_id in (OTHER, THIRD, RUN):
        assert not is_prepared(settled(client, path_of(run_id)))
        assert workers.alive() <= 2
    assert len(workers.started) == 4


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_goes_on_by_itself_without_script(
    held_back: Exploration, place: Workspace
) -> None:
    """Both languages, by the rules of access; the usual page replaces it unasked."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for number, language in enumerate(("en-GB", "de-DE")):
            context = browser.new_context(
                locale=language, viewport={"width": 400, "height": 900}, bypass_csp=True
            )
            page = context.new_page()
            enter(page, place.url, "clinician")
            page.goto(place.url + path_of(RUN))
            told = page.locator("#preparing").inner_text()
            assert TEXTS["trade_off_preparing"][number] in told
            results = Axe().run(page)
            assert results.violations_count == 0, results.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
            context.close()
        plain = browser.new_context(java_script_enabled=False, locale="en-GB").new_page()
        enter(plain, place.url, "physicist")
        plain.goto(place.url + path_of(RUN))
        assert plain.locator("#preparing").count() == 1
        held_back.workers.gate.set()
        plain.wait_for_selector("#answer", timeout=60_000)
        plain.wait_for_load_state("networkidle")
        browser.close()


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_question_from_an_open_page_to_a_cold_run_says_why_it_takes_long(
    held_back: Exploration, place: Workspace
) -> None:
    """The answer waits for the case and comes by itself; meanwhile the page tells so."""
    from playwright.sync_api import sync_playwright

    workers = held_back.workers
    workers.gate.set()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_context(locale="en-GB").new_page()
        page.set_default_timeout(60_000)
        enter(page, place.url, "physicist")
        page.goto(place.url + path_of(RUN))
        page.wait_for_selector("#answer")
        page.wait_for_load_state("networkidle")
        workers.gate.clear()
        workers.end("")
        slider = page.locator('input[name="priority:Parotid_L"]')
        slider.focus()
        slider.press("ArrowRight")
        told = TEXTS["trade_off_at_work"][0]
        page.wait_for_function(
            "told => document.getElementById('at-work').innerText === told", arg=told
        )
        workers.gate.set()
        page.wait_for_function(
            "told => document.getElementById('answer').innerText.includes(told)",
            arg=TEXTS["trade_off_changed"][0],
        )
        assert page.locator("#at-work").inner_text() == ""
        page.wait_for_load_state("networkidle")
        browser.close()
    assert len(workers.started) == 2
