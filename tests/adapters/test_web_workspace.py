"""The workspace: what its pages show, what they record, and how they look in a real browser."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from audit.record import Record, decode
from tests.simulators.workspace_site import (
    CHROMIUM,
    FLAGS,
    Workspace,
    csrf,
    enter,
    reviewed,
    workspace,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Serve a site with one run that was reviewed on the page and in the archive."""
    with workspace(tmp_path_factory.mktemp("workspace")) as found:
        reviewed(found)
        yield found


def _accesses(place: Workspace) -> list[Record]:
    place.site.seal()
    with place.site.database.reading() as transaction:
        leaves = transaction.leaves(0, transaction.tree_size())
        return [decode(leaf.leaf) for leaf in leaves if leaf.kind == "access"]


@pytest.mark.reg("LOGSEC-1")
def test_each_read_of_the_log_is_recorded_once(place: Workspace) -> None:
    """A page that shows records leaves one access record of its reader; others leave none."""
    client = place.client("compliance")
    record = f"/audit/records/{0}"
    patient = f"/patients/{quote(place.patient)}"
    for path, what in (
        ("/audit?kind=inference", "audit-log"),
        (record, "audit-record"),
        (f"/runs/{place.run_id}", "run-records"),
        ("/patients", "patients"),
        (patient, "patient"),
        ("/audit/verify?start=1", "audit-log"),
    ):
        before = len(_accesses(place))
        assert client.get(path).status_code == 200, path
        found = _accesses(place)[before:]
        assert [item.body["what"] for item in found] == [what], path
        assert found[0].actor.id == "account:the-compliance"
    before = len(_accesses(place))
    for path in ("/", "/runs", "/oversight", "/incidents", "/account"):
        assert client.get(path).status_code == 200
    assert len(_accesses(place)) == before


def test_the_timeline_is_searched_by_what_records_say(place: Workspace) -> None:
    """Kind, plugin, release, patient, person, time and failure narrow the timeline."""
    client = place.client("compliance")
    client.get("/audit")
    place.site.seal()
    client.get("/audit")
    with place.site.database.reading() as transaction:
        row = transaction.run(place.run_id)
    assert row is not None
    day = row.opened_at.strftime("%Y-%m-%dT00:00")
    for query, there, gone in (
        ("kind=inference", "<td>inference", "<td>run opened"),
        (f"release={row.release_digest}", "<td>run opened", "<td>study event"),
        (f"patient={place.patient}", "<td>inference", "<td>account"),
        ("person=account:the-compliance", "<td>access", "<td>inference"),
        ("plugin=example", "<td>inference", "<td>study event"),
        (f"since={day}&kind=assessment", "<td>assessment", "<td>inference"),
    ):
        text = client.get(f"/audit?{query}").text
        assert there in text, query
        assert gone not in text, query
    assert "No record matches" in client.get("/audit?until=2001-01-01T00:00").text
    assert client.get("/audit?since=yesterday").status_code == 409
    assert "No record matches" in client.get("/audit?plugin=nobody%27s").text


def test_pages_of_the_timeline_meet(place: Workspace) -> None:
    """Going from page to page shows every record once, newest first."""
    client = place.client("engineer")
    for _ in range(60):
        client.get("/audit")
    place.site.seal()
    client.get("/audit")
    seen: list[int] = []
    path = "/audit"
    while path:
        text = client.get(path).text
        seen += [int(n) for n in re.findall(r'href="/audit/records/(\d+)">', text)]
        older = re.search(r'rel="next" href="(/audit\?[^"]+)"', text)
        path = older.group(1).replace("&amp;", "&") if older else ""
    first = [n for n in seen if n < seen[0]]
    assert sorted(set(seen)) == list(range(max(seen) + 1))
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)
    assert first


def test_a_record_is_shown_with_its_proof(place: Workspace) -> None:
    """Every field of a record stands on its page, with hashes that lead to a signed root."""
    place.site.seal(force=True)
    client = place.client("compliance")
    with place.site.database.reading() as transaction:
        leaf = next(x for x in transaction.records_of(place.run_id) if x.kind == "inference")
    text = client.get(f"/audit/records/{leaf.leaf_index}").text
    assert "This record is in the signed log." in text
    for word in ("body.plugin.id", "body.output.rois[0].name", "subject.pseudonym", leaf.event_id):
        assert word in text
    assert client.get("/audit/records/99999999").status_code == 404


def test_the_log_is_verified_by_a_button(place: Workspace) -> None:
    """The page says what was checked; a changed record is named."""
    client = place.client("compliance")
    client.get("/audit/verify?start=1")
    ends = time.monotonic() + 30
    text = ""
    while "is what was signed" not in text and time.monotonic() < ends:
        time.sleep(0.1)
        text = client.get("/audit/verify").text
    assert "The log is what was signed." in text
    assert place.site.keys.log.verifier.text() in text


def test_searches_are_kept_in_the_browser(place: Workspace) -> None:
    """A search is kept and dropped without a write; nonsense in the cookie is nothing."""
    client = place.client("compliance")
    client.get("/audit/searches/keep?name=Failed+runs&query=failed%3D1%26evil%3Dx")
    text = client.get("/audit").text
    assert '<a href="/audit?failed=1">Failed runs</a>' in text
    client.get("/audit/searches/drop?name=Failed+runs")
    assert "Failed runs" not in client.get("/audit").text
    client.cookies.set("osteon_searches", "bm9uc2Vuc2U", path="/audit")
    assert client.get("/audit").status_code == 200


def test_glass_is_broken_on_record_and_for_a_while(place: Workspace) -> None:
    """A clinician with a cause sees the number; compliance never; the words stay out."""
    path = f"/patients/{quote(place.patient)}"
    number = place.site.pseudonyms.reveal(place.patient).rpartition("|")[2]
    clinician, officer = place.client("clinician"), place.client("compliance")
    assert number not in clinician.get(path).text
    token = csrf(clinician, path)
    wrong = {"csrf": token, "cause": "curiosity", "reason": "because I want to"}
    assert clinician.post(f"{path}/break-glass", data=wrong).status_code == 409
    short = wrong | {"cause": "treatment", "reason": "short"}
    assert clinician.post(f"{path}/break-glass", data=short).status_code == 409
    assert clinician.post(f"{path}/break-glass", data=wrong | {"csrf": "x"}).status_code == 403
    good = wrong | {"cause": "treatment", "reason": "Plan review with Mrs Example today"}
    before = len(_accesses(place))
    assert clinician.post(f"{path}/break-glass", data=good).status_code == 303
    assert number in clinician.get(path).text
    said = [(r.body["what"], r.body["purpose"]) for r in _accesses(place)[before:]]
    assert said == [("break-glass", "treatment"), ("patient-identity", "review")]
    assert not any("Example" in str(record.body) for record in _accesses(place))
    assert number not in officer.get(path).text
    assert officer.post(f"{path}/break-glass", data=good).status_code == 403
    assert clinician.get("/patients/hmac:v1:0000").status_code == 404


def test_a_patient_has_runs_by_day(place: Workspace) -> None:
    """The runs of one pseudonymous patient on a date, with what was decided."""
    client = place.client("compliance")
    with place.site.database.reading() as transaction:
        row = transaction.run(place.run_id)
    assert row is not None
    path = f"/patients/{quote(place.patient)}"
    text = client.get(f"{path}?on={row.opened_at:%Y-%m-%d}").text
    assert place.run_id[:12] in text
    assert "edited" in text
    assert place.run_id not in client.get(f"{path}?on=2001-01-01").text


def test_a_review_on_the_page(place: Workspace) -> None:
    """Nothing is ticked beforehand; slices that were opened are counted; why is asked for."""
    client = place.client("physicist")
    page = client.get(f"/runs/{place.run_id}").text
    assert 'type="radio"' in page
    assert "checked" not in page.split('class="review"')[1].split("</form>")[0]
    picture = client.get(f"/runs/{place.run_id}/slices/3")
    assert picture.headers["content-type"] == "image/png"
    assert client.get(f"/runs/{place.run_id}/slices/999").status_code == 404
    for number in (2, 3):
        assert client.get(f"/runs/{place.run_id}/slices?slice={number}").status_code == 200
    token = csrf(client, f"/runs/{place.run_id}")
    post = f"/runs/{place.run_id}/assess"
    form = {"csrf": token, "action:Bone": "edit", "reason:Bone": ""}
    assert client.post(post, data=form).status_code == 409
    assert client.post(post, data={"csrf": token}).status_code == 409
    form |= {"reason:Bone": "artefact", "severity:Bone": "minor", "fraction": "3"}
    assert client.post(post, data=form).status_code == 303
    with place.site.database.reading() as transaction:
        last = transaction.assessments_of(place.run_id)[-1]
    assert (last.action, last.reason, last.severity, last.fraction) == (
        "edit", "artefact", "minor", 3,
    )  # fmt: skip
    assert last.viewing.slices_visited == 2
    assert "artefact" in client.get(f"/runs/{place.run_id}").text


def test_rates_stand_with_n_and_interval(place: Workspace) -> None:
    """The page of oversight gives k of n and the exact interval, and no reviewer."""
    text = place.client("compliance").get("/oversight").text
    assert "0/1" in text
    assert "0.0 % – 97.5 %" in text
    assert "No staff notice is on record." in text
    assert place.site.pseudonyms.reviewer("the-clinician")[9:17] not in text


PAGES = (
    ("sign-in", "/sign-in"), ("overview", "/"), ("runs", "/runs"), ("run", "/runs/{run}"),
    ("slices", "/runs/{run}/slices"), ("patients", "/patients"), ("patient", "/patients/{patient}"),
    ("oversight", "/oversight"), ("audit", "/audit"), ("record", "/audit/records/5"),
    ("verify", "/audit/verify"), ("incidents", "/incidents"), ("account", "/account"),
    ("technical-files", "/technical-files"), ("evidence", "/evidence"),
)  # fmt: skip


@pytest.mark.server
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("look", ["light", "dark"])
def test_every_page_in_a_real_browser(place: Workspace, tmp_path: Path, look: str) -> None:
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
        page.goto(place.url + "/sign-in")
        page.screenshot(path=str(folder / f"workspace-sign-in-{look}-1280.png"), full_page=True)
        enter(page, place.url, "clinician")
        for name, address in PAGES[1:]:
            path = address.replace("{run}", place.run_id).replace("{patient}", quote(place.patient))
            for width in (1280, 400):
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(place.url + path)
                results = Axe().run(page)
                assert results.violations_count == 0, (name, results.generate_report())
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (name, width, wide)
                page.screenshot(
                    path=str(folder / f"workspace-{name}-{look}-{width}.png"), full_page=True
                )
        browser.close()
