"""Chains: a plugin whose input another made shows the other's alarms, on page and in report."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.monitoring.chains import feeding, upstream_of
from adapters.monitoring.plans import set_plan
from adapters.monitoring.reporting import make_report, write_report
from adapters.monitoring.running import run_monitors
from adapters.web.monitoring import release_page
from adapters.web.pages import run_page
from governance.monitoring.plan import NOTIFY, Plan
from plugins.host.manifest import Input, Manifest, Output, decode, encode
from tests.simulators.governed_site import PHYSICIST, add_release
from tests.simulators.incident_site import add_people
from tests.simulators.monitored_site import PLAN, Monitored, monitored_site
from tests.simulators.run_values import request_for

QUIET = Plan("trial", tuple(replace(item, action=NOTIFY) for item in PLAN.items))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Monitored]:
    """A site whose active release will feed another."""
    with monitored_site(tmp_path, QUIET) as opened:
        add_people(opened.site)
        yield opened


def _second(place: Monitored) -> str:
    """Register the release that is fed, and return its digest."""
    digest = add_release(place.site, "2.0.0")
    set_plan(place.site, "trial", digest, QUIET, PHYSICIST)
    return digest


def _fed(place: Monitored, digest: str, number: int, first: str, how: str) -> str:
    """Close a run of the second release whose input is what the first run made, or its approval."""
    uid = f"1.2.826.{number}.9"
    with place.site.database.transaction() as transaction:
        study = transaction.run(first).study_instance_uid
        if how == "direct":
            transaction.add_own_uids(first, [(uid, f"{uid}.1", study)])
        else:
            transaction.note_reviewed_object(uid, first, place.clock())
    request = request_for(
        number, run_id=f"{number:032x}", plugin="trial", release_digest=digest,
        study_instance_uid=study, sop_instance_uids=("1.2.3.4", uid), opened_at=place.clock(),
    )  # fmt: skip
    with place.site.database.transaction() as transaction:
        transaction.add_run(request, "pacs")
    place.site.journal.closed(request, "done", "")
    return request.run_id


@pytest.mark.reg("AIA-72.1")
def test_an_alarm_of_the_first_surfaces_in_the_second(place: Monitored, tmp_path: Path) -> None:
    """Directly and by approval: page of the run, page of the release, report of the second."""
    second = _second(place)
    place.runs(20)
    run_monitors(place.site)
    run_id = _fed(place, second, 900, f"{20:032x}", "direct")
    by_approval = _fed(place, second, 901, f"{19:032x}", "approved")
    (found,) = upstream_of(place.site, second)
    assert (found.plugin, found.release_digest) == ("trial", place.digest)
    assert (dict(found.runs), found.is_drifting) == ({"direct": 1, "approved": 1}, False)
    quiet = make_report(place.site, second)
    assert quiet["chain"][0]["alarms"] == []
    place.runs(10, kernel="B70")
    assert run_monitors(place.site)
    (found,) = upstream_of(place.site, second)
    assert found.is_drifting
    assert found.lines[0].item.name == "input"
    report = make_report(place.site, second)
    ((alarm,),) = [one["alarms"] for one in report["chain"]]
    assert (alarm["item"], alarm["state"]) == ("input", "open")
    again = make_report(place.site, second, quiet["log"]["size"])
    assert again == quiet  # what the log did not know then is not in it now
    html = write_report(report, tmp_path / "out")[1].read_text("utf-8")
    assert "ct_convolution_kernel after" in html
    (line,) = release_page(place.site, second, "en").upstream
    assert (line.direct, line.approved, line.is_drifting, len(line.alarms)) == (1, 1, True, 1)
    for one in (run_id, by_approval):
        with place.site.database.reading() as transaction:
            request = transaction.run(one).request
        (upstream,) = feeding(place.site, request)
        assert upstream.alarms


def test_a_run_on_a_scan_alone_is_fed_by_nobody(place: Monitored) -> None:
    """The first release has no upstream, and its page of a run says nothing of chains."""
    run_id = place.run()
    assert upstream_of(place.site, place.digest) == ()
    session = type("S", (), {"role": "physicist", "account_id": "p", "csrf": "x"})()
    assert run_page(place.site, run_id, session).upstream == ()


def test_a_manifest_that_names_its_source_says_so_and_others_keep_their_bytes() -> None:
    """`from_plugin` survives, and is not written where nothing is stated."""
    output = Output("DoseGrid", "PredictedDose", "d", "99", "dose")
    stated = Manifest(
        "dose", "1.0.0", "t", "p", "simulated",
        (Input("ct", "CT"), Input("structures", "RTSTRUCT", from_plugin="contouring")), (output,),
    )  # fmt: skip
    document = encode(stated)
    assert decode(document) == stated
    assert ["from_plugin" in item for item in document["inputs"]] == [False, True]


def test_a_declared_source_is_shown_before_there_is_a_run(place: Monitored) -> None:
    """The release at work of the named plugin stands on the page with no run yet."""
    site = place.site
    digest = add_release(site, "3.0.0", inputs=[{"role": "x", "modality": "RTSTRUCT",
                                                  "from_plugin": "trial"}])  # fmt: skip
    (found,) = [one for one in upstream_of(site, digest) if one.release_digest == place.digest]
    assert found.runs == ()
