"""Trade-offs of a predicted dose: sliders, live answers by the released code, each on record."""

from __future__ import annotations

import html
import io
import os
import time
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from adapters import exploring, warm_runs
from adapters.governance.acts import act, waive
from adapters.governance.persons import DEMONSTRATOR
from adapters.web.texts import TEXTS
from adapters.what_if import WhatIfs
from audit.errors import InputChangedError, RefusalError
from audit.record import Record, decode
from tests.simulators.answers import PROMPT, drive
from tests.simulators.example_site import prepare, served
from tests.simulators.incident_site import PEOPLE, with_people
from tests.simulators.workspace_site import (
    CHROMIUM,
    FLAGS,
    Workspace,
    csrf,
    enter,
    serving_pages,
    settled,
)

DATA = Path(
    os.environ.get("OSTEON_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
PATIENT = DATA / "openkbp_dicom" / "pt_1.zip"
PAROTID, TARGET = "priority:Parotid_L", "margin:PTV_7000"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PATIENT.exists(), reason="no test data (set OSTEON_TEST_DATA)"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Serve the pages of a site whose dose plugin finished its one run."""
    root = tmp_path_factory.mktemp("trade-offs")
    home = prepare(root, "dose")
    with zipfile.ZipFile(PATIENT) as archive:
        files = [archive.read(name) for name in archive.namelist() if name != "RD.dcm"]
    study = str(pydicom.dcmread(io.BytesIO(files[0])).StudyInstanceUID)
    with served(home, root, trigger=PROMPT) as (site, turn):
        site.archives["pacs"].store(study, files)
        assert drive(site, turn, 1) == ["done"]
        with site.database.reading() as transaction:
            (row,) = transaction.runs(study=study)
    acts: list[tuple[Any, ...]] = []
    with with_people(home, root) as site, serving_pages(site, acts) as url:
        yield Workspace(site, url, row.run_id, acts)


def path_of(place: Workspace) -> str:
    """Return where the page is."""
    return f"/runs/{place.run_id}/trade-off"


def asked(place: Workspace, client: httpx.Client, **edits: float) -> httpx.Response:
    """Ask by the form; sliders count in their steps."""
    client.timeout = httpx.Timeout(120)
    names = {"parotid": PAROTID, "target": TARGET}
    data = {names.get(name, name): str(value) for name, value in edits.items()}
    return client.post(path_of(place), data=data | {"csrf": csrf(client, path_of(place))})


def records(place: Workspace) -> list[Record]:
    """Return what is on record of what was tried."""
    place.site.seal()
    with place.site.database.reading() as transaction:
        leaves = transaction.records_of(place.run_id)
        return [decode(leaf.leaf) for leaf in leaves if leaf.kind == "what_if"]


def point(record: Record, region: str, name: str) -> float:
    """Return a point of the answer on record."""
    (dose,) = record.body["doses"]
    return next(p["value"] for p in dose["points"] if (p["region"], p["point"]) == (region, name))


@pytest.mark.reg("AIA-14.4c")
def test_a_heavier_organ_gets_less_and_the_question_is_on_record(place: Workspace) -> None:
    """Page, answer, pictures and record; the run's own documents and states are as before."""
    client = place.client("physicist")
    with place.site.database.reading() as transaction:
        before = transaction.documents(place.run_id), transaction.deliveries(place.run_id)
        (told,) = [
            decode(leaf.leaf).body["output"]["doses"][0]
            for leaf in transaction.records_of(place.run_id)
            if leaf.kind == "inference"
        ]
    count = len(records(place))
    answer = asked(place, client, parotid=2)
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "Parotid_L Mean" in answer.text
    record = records(place)[-1]
    assert record.body["edits"] == {PAROTID: 4.0}
    assert (record.mode, record.actor.role) == ("what_if", "physicist")
    mean = {(p["region"], p["point"]): p["value"] for p in told["points"]}
    assert point(record, "Parotid_L", "Mean") < mean["Parotid_L", "Mean"] - 2.0
    assert abs(point(record, "PTV_7000", "D95") - mean["PTV_7000", "D95"]) < 2.0
    for kind in ("planes", "histograms"):
        start = answer.text.index(f"{path_of(place)}/{kind}/")
        picture = client.get(answer.text[start : answer.text.index('"', start)])
        assert picture.headers["content-type"] == "image/png"
        assert len(picture.content) > 10_000
    again = asked(place, client, parotid=2)
    assert again.status_code == 200
    assert len(records(place)) == count + 1  # the same question has its answer already
    with place.site.database.reading() as transaction:
        assert before == (
            transaction.documents(place.run_id), transaction.deliveries(place.run_id)
        )  # fmt: skip
        viewing = transaction.viewing(
            place.run_id, place.site.pseudonyms.reviewer("the-physicist"), place.site.now()
        )
    assert viewing.known
    place.site.verify_log()


def test_a_smaller_target_costs_its_drawn_coverage(place: Workspace) -> None:
    """Points stay those of the structures as drawn: D99 of the drawn target falls."""
    client = place.client("clinician")
    assert asked(place, client, target=-4).status_code == 200
    small = records(place)[-1]
    assert small.body["edits"] == {TARGET: -4.0}
    assert asked(place, client, target=4).status_code == 200
    large = records(place)[-1]
    assert point(small, "PTV_7000", "D99") < point(large, "PTV_7000", "D99")
    assert point(small, "Parotid_L", "Mean") < point(large, "Parotid_L", "Mean")


def test_what_the_plugin_does_not_know_or_permit_is_refused(place: Workspace) -> None:
    """Unknown structures, values beyond the bounds, no numbers, no token, other roles."""
    client = place.client("physicist")
    count = len(records(place))
    for edits in ({"priority:Nose": 1}, {TARGET: 60}, {PAROTID: 9}, {TARGET: float("nan")}):
        assert asked(place, client, **edits).status_code == 409
    assert client.post(path_of(place), data={TARGET: "x"}).status_code == 403
    for role in ("engineer", "approver", "compliance", "administrator"):
        reader = place.client(role)
        page = settled(reader, path_of(place))
        assert page.status_code == 200  # everybody may read, also that a dose is not for treatment
        assert 'id="trade-off"' not in page.text
        assert reader.post(path_of(place), data={TARGET: "-2"}).status_code == 403
    assert client.get("/runs/" + "0" * 32 + "/trade-off").status_code == 404
    assert client.get(path_of(place) + "/planes/0000").status_code == 404
    assert len(records(place)) == count
    assert asked(place, client).status_code == 200  # the process is still there


def test_the_run_tells_a_dose_in_its_own_words(place: Workspace) -> None:
    """Beams, units of contributions, and what is not known of a dose, not of a contour.

    A machine with other work may have no time for a contribution; sentences about changes have
    `tests/adapters/test_dose_sentences.py`.
    """
    page = html.unescape(place.client("physicist").get(f"/runs/{place.run_id}").text)
    for key in ("dose_BEAM_ANGLES_OF_PLAN", "dose_does_not_know"):
        assert TEXTS[key][0] in page
    assert TEXTS["does_not_know"][0] not in page
    assert (TEXTS["dose_shares"][0] in page) == (f">{TEXTS['contribution'][0]}</th>" in page)


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_sliders_ask_anew_in_a_real_browser(place: Workspace, tmp_path: Path) -> None:
    """A key on a slider brings another answer; wide, narrow, two languages, by the rules."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    folder = Path(os.environ.get("OSTEON_SCREENSHOTS", tmp_path))
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for language, width in (("en-GB", 1280), ("de-DE", 400)):
            viewport = {"width": width, "height": 900}
            page = browser.new_context(locale=language, viewport=viewport).new_page()
            page.set_default_timeout(120_000)
            faults: list[Any] = []
            page.on("console", lambda one, kept=faults: kept.append(one))
            enter(page, place.url, "physicist")
            page.goto(place.url + path_of(place))
            slider = page.locator(f'input[name="{PAROTID}"]')
            before = page.locator("#answer").inner_text()
            slider.focus()
            slider.press("ArrowRight")
            assert page.locator("fieldset output").all_inner_texts().count("× 2") == 1
            page.wait_for_function(
                "before => document.getElementById('answer').innerText !== before", arg=before
            )
            page.wait_for_load_state("networkidle")
            assert [one.text for one in faults if one.type == "error"] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.screenshot(path=str(folder / f"trade-off-{width}.png"), full_page=True)
            context = browser.new_context(locale=language, viewport=viewport, bypass_csp=True)
            checked = context.new_page()
            checked.set_default_timeout(120_000)
            enter(checked, place.url, "clinician")
            checked.goto(place.url + path_of(place))
            checked.wait_for_selector("#answer")
            results = Axe().run(checked)
            assert results.violations_count == 0, results.generate_report()
        plain = browser.new_context(java_script_enabled=False, locale="en-GB").new_page()
        plain.set_default_timeout(120_000)
        enter(plain, place.url, "physicist")
        plain.goto(place.url + path_of(place))
        with plain.expect_navigation():
            plain.click("#trade-off button.main")
        assert "Nothing is changed yet" in plain.locator("#answer").inner_text()
        browser.close()


def test_another_input_and_a_release_out_of_use_are_refused(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the archive holds now must be what the run read; a suspended release answers nobody."""
    person = PEOPLE["physicist"]
    with monkeypatch.context() as patch:
        patch.setattr(exploring, "case_digest", lambda _: "sha256:" + "0" * 64)
        with pytest.raises(InputChangedError):
            WhatIfs(place.site).ask(person, place.run_id, {})
    asking = WhatIfs(place.site)
    with monkeypatch.context() as patch:
        patch.setattr(warm_runs, "IDLE_S", -1.0)
        warm, _ = asking.ask(person, place.run_id, {})
        again, _ = asking.ask(person, place.run_id, {})
        assert again is not warm  # nobody asked for a while: it was let go
        assert not warm.worker.alive()
    with monkeypatch.context() as patch:
        patch.setattr(warm_runs, "IDLE_S", 0.5)
        left, _ = WhatIfs(place.site).ask(person, place.run_id, {})
        ends = time.monotonic() + 30.0
        while left.worker.alive() and time.monotonic() < ends:
            time.sleep(0.1)
        assert not left.worker.alive()  # nobody asked again, and it is gone all the same
    with place.site.database.reading() as transaction:
        (release,) = [item.release_digest for item in transaction.deployments("dose")]
    act(place.site, "suspend", release, PEOPLE["physicist"], {"reason": "test"})
    with pytest.raises(RefusalError) as refused:
        asking.ask(person, place.run_id, {})
    assert refused.value.reasons == ("RELEASE_OUT_OF_USE",)
    assert not again.worker.alive()
    assert place.client("physicist").get(path_of(place)).status_code == 409
    waive(place.site, release, DEMONSTRATOR, "as before", timedelta(days=1))
    assert asking.ask(person, place.run_id, {})[0].worker.alive()
    asking.close()
