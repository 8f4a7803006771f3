"""Pages of validation: every run with its verdict, the report, its pictures, in a browser."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from adapters.compose import Site
from adapters.validation.album import PICTURES, keep_worst
from adapters.validation.asking import VALIDATION
from adapters.validation.kept_runs import CERTIFICATE, REPORT, read_run
from adapters.validation.reporting import certify_run, write_report
from adapters.validation.running import RESULTS
from adapters.validation.standings import cohorts_by_digest, standing
from adapters.validation.traces import leakage_of
from adapters.web.texts_commissioning import COMMISSIONING_TEXTS
from adapters.web.texts_validation import VALIDATION_TEXTS
from tests.simulators.commissioned import on_record
from tests.simulators.governed_site import ENGINEER, add_release, governed_site, records
from tests.simulators.incident_site import PASSWORD, add_people
from tests.simulators.validation_site import drawn, finished_run
from tests.simulators.workspace_site import CHROMIUM, FLAGS, csrf, enter, serving_pages


@dataclass
class Place:
    """A served site with a certified run, a run without report, and one that was changed."""

    site: Site
    url: str
    good: str
    bare: str
    folder: Path
    release: str
    plan_id: str

    def get(self, role: str, path: str, language: str = "en") -> httpx.Response:
        """Return a page as a role sees it."""
        client = httpx.Client(base_url=self.url, follow_redirects=False, timeout=60)
        data = {"account_id": f"the-{role}", "password": PASSWORD, "csrf": csrf(client, "/sign-in")}
        assert client.post("/sign-in", data=data).status_code == 303
        client.cookies.set("osteon_language", language)
        return client.get(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Serve the site."""
    with governed_site(tmp_path_factory.mktemp("web-validation")) as (site, clock):
        add_people(site)
        digest = add_release(site, "1.0.0")
        run = finished_run(site, digest)
        folder = site.home.root / "validations" / run.run_id
        drawn(folder, run)
        kept = keep_worst(folder, run, "dsc")
        with site.database.transaction() as transaction:
            known = transaction.governed(VALIDATION, run.run_id)
            assert known is not None
            content = {**known.content, "pictures": kept}
            put = transaction.put_governed(VALIDATION, run.run_id, content, "engineer", site.now())
            site.journal.governed(transaction, put)
        found = read_run(site, run.run_id)
        write_report(site, found, pdf=False)
        certify_run(site, found, ENGINEER)
        clock.forward(hours=2)
        bare = finished_run(site, digest, run_id="c" * 64)
        plan_id = on_record(site, digest, run.run_id)
        path = f"/releases/{digest.removeprefix('sha256:')}"
        with serving_pages(site, []) as url:
            yield Place(site, url, run.run_id, bare.run_id, folder, path, plan_id)


@pytest.mark.reg("VAL-1")
def test_the_list_tells_state_and_verdict_of_every_run(place: Place) -> None:
    """Release, cohort, method, state and verdict as the record has them, the newest first."""
    text = place.get("engineer", "/validation").text
    rows = re.findall(r"<tr><td>.*?</tr>", text)
    assert [re.search(r"/validation/(\w+)", row)[1] for row in rows] == [place.bare, place.good]  # type: ignore[index]
    assert all("trial 1.0.0" in row and "phantoms 1.0" in row for row in rows)
    assert "answers complete" in rows[0]
    assert "certificate issued" in rows[1]
    assert ">pass<" in rows[1]
    assert VALIDATION_TEXTS["val_cannot"][0] in text


@pytest.mark.reg("VAL-1")
@pytest.mark.parametrize("language", ["en", "de"])
def test_one_run_shows_its_report_and_what_is_on_record(place: Place, language: str) -> None:
    """Verdict, criteria with limits, groups that are too few, looks, leakage, records, limits."""
    text = place.get("compliance", f"/validation/{place.good}", language).text
    number = 0 if language == "en" else 1
    for key in ("val_cannot", "val_unsealed", "val_leak_none", "val_counts", "val_insufficient"):
        assert VALIDATION_TEXTS[key][number] in text, key
    assert re.search(r"trial-1\.0\.0-[0-9a-f]{12}", text)
    for section in ("verdict", "criteria", "groups", "robustness", "worst", "limits"):
        assert f'id="{section}"' in text
    assert "under-18 (n = 3)" in text
    table = text[text.index('id="record"') : text.index('class="contents"')]
    rows = re.findall(r'<th scope="row">([^<]+)</th>(.*?)</tr>', table)
    words = ("criteria", "begun", "ended", "ended", "report", "certificate")
    wanted = [VALIDATION_TEXTS[f"val_trace_{word}"][number] for word in words]
    assert [name for name, _ in rows] == wanted
    places = [re.search(r"/audit/records/(\d+)", row) for _, row in rows[1:]]
    assert all(places)  # the simulator dates the criteria before their record
    assert VALIDATION_TEXTS["val_this"][number] in text
    assert text.count("<h1") == 1
    assert "style=" not in text
    for found in places:
        assert found is not None
        shown = place.get("compliance", f"/audit/records/{found[1]}").text
        assert "governed" in shown


def test_files_are_taken_on_record_and_no_others(place: Place) -> None:
    """Certificate, report and results come as they lie; nothing else of the folder does."""
    path = f"/validation/{place.good}/files/"
    answer = place.get("compliance", f"{path}certificate.json")
    assert answer.content == (place.folder / "certificate.json").read_bytes()
    assert "attachment" in answer.headers["content-disposition"]
    for name in ("measured.json", "..%2f..%2fosteon.toml", "report-en.pdf"):
        assert place.get("compliance", path + name).status_code == 404
    taken = [r for r in records(place.site, "access") if r.body["what"] == "validation-files"]
    assert [(r.body["run"], r.actor.id) for r in taken] == [(place.good, "account:the-compliance")]


def test_pictures_are_those_on_record(place: Place) -> None:
    """Each picture of the report is served; another name is not found."""
    text = place.get("engineer", f"/validation/{place.good}").text
    paths = re.findall(rf'src="(/validation/{place.good}/pictures/[^"]+)"', text)
    assert paths
    answer = place.get("engineer", paths[0])
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    other = place.get("engineer", f"/validation/{place.good}/pictures/none.png")
    assert other.status_code == 404
    assert not (place.folder / PICTURES / "none.png").exists()


def test_a_run_without_report_and_an_unknown_one_say_so(place: Place) -> None:
    """The one says what to do next, the other is not found."""
    bare = place.get("engineer", f"/validation/{place.bare}")
    assert "osteon validate report" in bare.text
    assert VALIDATION_TEXTS["val_no_certificate"][0] in html.unescape(bare.text)
    assert place.get("engineer", "/validation/00000000").status_code == 404


def test_results_that_were_changed_are_told_and_not_shown(place: Place) -> None:
    """A flipped byte of results, report or certificate: its code, and none of the figures."""
    changes = (
        (RESULTS, b'"dsc":0.8', b'"dsc":0.9', "RESULTS_CHANGED"),
        (REPORT, b'"verdict":"pass","verdicts"', b'"verdict":"fail","verdicts"', "REPORT_DIGEST"),
        (REPORT, b'"nodes":["node-a"]', b'"nodes":["node-b"]', "RELEASE_SIGNATURE"),
        (CERTIFICATE, b'"verdict":"pass"', b'"verdict":"fail"', "CERTIFICATE_NOT_ON_RECORD"),
    )
    for name, old, new, code in changes:
        path = place.folder / name
        whole = path.read_bytes()
        try:
            path.write_bytes(whole.replace(old, new, 1))
            text = place.get("engineer", f"/validation/{place.good}").text
        finally:
            path.write_bytes(whole)
        assert f"<code>{code}</code>" in text
        assert ('id="limits"' in text) is (name == CERTIFICATE)


def test_a_patient_who_was_learned_from_is_named_as_leaked(place: Place) -> None:
    """Pseudonyms of the release's training are looked for in the cohort."""
    run = replace(standing(place.site, place.good), plugin="")
    cohort = cohorts_by_digest(place.site)[run.cohort_digest]
    assert leakage_of(place.site, run, cohort).reasons == ()
    unknown = replace(run, plan=run.plan | {"release_digest": "sha256:" + "0" * 64})
    assert leakage_of(place.site, unknown, cohort).fault == "RELEASE_NOT_HERE"
    other = replace(cohort, linkage_key_id="secret-000000000000")
    assert leakage_of(place.site, run, other).fault == "COHORT_OTHER_KEY"


@pytest.mark.reg("ESTRO-1")
@pytest.mark.parametrize("language", ["en", "de"])
def test_commissioning_and_runs_stand_on_the_pages(place: Place, language: str) -> None:
    """Who ran, who signed, until when, for which scanner; a release links its runs and files."""
    at = ("en", "de").index(language)
    for path in ("/validation", place.release):
        text = place.get("clinician", path, language).text
        row = re.search(rf"<tr><th scope=\"row\"><code>{place.plan_id}.*?</tr>", text)
        assert row is not None
        for word in ("Osteon Tests Builder", "engineer", "physicist", place.good[:12]):
            assert word in row[0]
        assert COMMISSIONING_TEXTS["com_signed"][at] in row[0]
        assert COMMISSIONING_TEXTS["com_missing"][at] not in text
    for run_id in (place.good, place.bare):
        assert f'href="/validation/{run_id}"' in place.get("clinician", place.release).text
    file = f"/validation/commissioning/{place.plan_id}/files/commissioning.json"
    assert place.get("clinician", file).content == b"{}"
    assert place.get("clinician", file.replace(".json", ".txt")).status_code == 404
    assert place.get("clinician", file.replace("trial", "other")).status_code == 404


def test_a_release_without_commissioning_says_so(place: Place) -> None:
    """In research mode the absence is shown and bars nothing."""
    other = add_release(place.site, "1.0.1").removeprefix("sha256:")
    text = place.get("clinician", f"/releases/{other}").text
    assert COMMISSIONING_TEXTS["com_missing"][0] in text
    assert COMMISSIONING_TEXTS["com_missing_research"][0].replace("'", "&#39;") in text


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("look", ["light", "dark"])
def test_pages_in_a_real_browser(place: Place, tmp_path: Path, look: str) -> None:
    """Wide and narrow, both languages: no accessibility fault, nothing cut off."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    folder = Path(os.environ.get("OSTEON_SCREENSHOTS", tmp_path))
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        context = browser.new_context(
            locale="de-DE" if look == "light" else "en-GB", bypass_csp=True, color_scheme=look
        )
        page = context.new_page()
        enter(page, place.url, "engineer")
        pages = {
            "list": "/validation", "run": f"/validation/{place.good}", "release": place.release,
        }  # fmt: skip
        for name, path in pages.items():
            for width in (1280, 400):
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(place.url + path)
                results = Axe().run(page)
                assert results.violations_count == 0, (name, results.generate_report())
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (name, width, wide)
                shot = folder / f"validation-{name}-{look}-{width}.png"
                page.screenshot(path=str(shot), full_page=True)
        browser.close()
