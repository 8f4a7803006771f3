"""A superseded result is marked where it lies: once, and without losing what others added."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.delivery.fhir import REPLACEMENT_MISSING, FhirTarget
from adapters.fhir.bundle import bundle_digest
from adapters.fhir.client import FhirClient
from adapters.fhir.marks import SUPERSEDED, Mark, mark_for, mark_of, marked
from adapters.fhir.superseding import (
    STATUS_KEPT,
    is_superseding,
    supersede,
    superseded,
    superseding_bundle,
)
from audit.errors import UnavailableError
from plugins.host.ports import Document
from tests.simulators.fhir_run import MadeRun
from tests.simulators.fhir_server import FhirServer, Proxy, Seen


def successor(run: MadeRun, trigger: str = "late-series") -> MadeRun:
    """Return a run that replaces another."""
    later = run.numbered(2)
    request = replace(later.request, supersedes=run.request.run_id, trigger=trigger)
    return replace(later, request=request)


def marking(run: MadeRun, trigger: str = "late-series") -> dict:
    """Return the bundle with which the successor of a run marks it."""
    later = successor(run, trigger).request
    return superseding_bundle(run.bundle(), mark_for(later.trigger, later.run_id))


def report_of(fhir: FhirServer, run: MadeRun) -> dict:
    """Return the report of a run on the server."""
    (found,) = [
        item
        for item in fhir.all("DiagnosticReport")
        if item["identifier"][0]["value"] == run.request.run_id
    ]
    return found


@pytest.fixture
def client(fhir_faults: Proxy):
    """A client that speaks to the server through the proxy."""
    with FhirClient(fhir_faults.url, timeout_s=5) as client:
        yield client


@pytest.fixture
def both(client: FhirClient, made_run: MadeRun) -> MadeRun:
    """A run whose result and whose successor's result are on the server."""
    client.transact(made_run.bundle())
    client.transact(successor(made_run).bundle())
    return made_run


@pytest.mark.server
def test_report_and_observations_are_cancelled_and_named(both, client, fhir) -> None:
    """Status, tag, conclusion and narrative of the old result say which run replaces it."""
    bundle = marking(both)
    supersede(client, bundle)
    later = successor(both)
    old, new = report_of(fhir, both), report_of(fhir, later)
    assert (old["status"], new["status"]) == ("cancelled", "preliminary")
    assert mark_of(old) == Mark(later.request.run_id, "cancelled")
    for text in (old["conclusion"], old["text"]["div"]):
        assert f"SUPERSEDED by run {later.request.run_id}" in text
        assert "for review by a clinician" in text
    assert new["extension"][0]["valueReference"]["identifier"]["value"] == both.request.run_id
    statuses = sorted(item["status"] for item in fhir.all("Observation"))
    assert statuses == ["cancelled"] * 3 + ["preliminary"] * 3
    assert superseded(client, bundle) == (True, "")
    client.verify(later.bundle())


@pytest.mark.server
def test_marking_twice_changes_nothing(both, client, fhir, fhir_faults) -> None:
    """The second time no resource gets a new version."""
    supersede(client, marking(both))
    versions = {item["id"]: item["meta"]["versionId"] for item in fhir.all("Observation")}
    fhir_faults.seen.clear()
    supersede(client, marking(both))
    assert not [item for item in fhir_faults.seen if item.method != "GET"]
    assert versions == {item["id"]: item["meta"]["versionId"] for item in fhir.all("Observation")}


@pytest.mark.server
def test_a_superseded_result_is_still_the_one_that_was_written(both, client) -> None:
    """Reading the old run back finds its content; the mark is no foreign change."""
    supersede(client, marking(both))
    client.verify(both.bundle())
    client.transact(both.bundle())
    assert superseded(client, marking(both)) == (True, "")


@pytest.mark.server
def test_a_result_that_was_still_on_its_way_arrives_marked(client, fhir, made_run) -> None:
    """Where the old result never arrived it is made with its mark, and its own post keeps it."""
    client.transact(successor(made_run).bundle())
    supersede(client, marking(made_run))
    assert report_of(fhir, made_run)["status"] == "cancelled"
    client.transact(made_run.bundle())
    client.verify(made_run.bundle())
    assert report_of(fhir, made_run)["status"] == "cancelled"
    assert fhir.counts()["DiagnosticReport"] == 2


@pytest.mark.server
def test_what_a_person_did_with_the_old_report_stays(both, client, fhir) -> None:
    """A status and a performer that somebody set are kept; the tag is added all the same."""
    signed = report_of(fhir, both) | {
        "status": "final",
        "performer": [{"display": "Radiology"}],
        "conclusion": "Seen on the ward.",
    }
    fhir.put(signed)
    bundle = marking(both)
    supersede(client, bundle)
    found = report_of(fhir, both)
    assert (found["status"], found["performer"]) == ("final", [{"display": "Radiology"}])
    assert found["conclusion"].startswith("SUPERSEDED")
    assert found["conclusion"].endswith("Seen on the ward.")
    assert mark_of(found) is not None
    assert superseded(client, bundle) == (True, STATUS_KEPT)


@pytest.mark.server
def test_a_concurrent_change_is_not_lost(both, client, fhir, fhir_faults) -> None:
    """Somebody who writes between reading and marking keeps their change (If-Match)."""
    came = []

    def meanwhile(seen: Seen) -> None:
        if seen.method == "PUT" and "/DiagnosticReport/" in seen.path and not came:
            came.append(seen)
            fhir.put(report_of(fhir, both) | {"performer": [{"display": "Radiology"}]})

    fhir_faults.order = meanwhile
    supersede(client, marking(both))
    found = report_of(fhir, both)
    assert came
    assert came[0].headers["if-match"].startswith('W/"')
    assert (found["status"], found["performer"]) == ("cancelled", [{"display": "Radiology"}])


@pytest.mark.server
def test_somebody_who_writes_all_the_time_is_waited_for(both, client, fhir, fhir_faults) -> None:
    """After some trials the marking comes again later, instead of overwriting."""

    def always(seen: Seen) -> None:
        if seen.method == "PUT" and "/DiagnosticReport/" in seen.path:
            fhir.put(report_of(fhir, both))

    fhir_faults.order = always
    with pytest.raises(UnavailableError):
        supersede(client, marking(both))
    assert report_of(fhir, both)["status"] == "preliminary"


@pytest.mark.server
def test_an_interrupted_marking_is_completed(both, client, fhir, fhir_faults) -> None:
    """A connection that breaks half-way leaves some marks; the next time makes them whole."""
    puts = []

    def breaks(seen: Seen):
        if seen.method != "PUT":
            return None
        puts.append(seen)
        return Proxy.reply(close=True) if len(puts) == 3 else None

    fhir_faults.order = breaks
    with pytest.raises(UnavailableError):
        supersede(client, marking(both))
    assert superseded(client, marking(both))[0] is False
    fhir_faults.order = Proxy.pass_on
    supersede(client, marking(both))
    assert superseded(client, marking(both)) == (True, "")
    assert fhir.counts()["DiagnosticReport"] == 2


def _document(path: Path, bundle: dict) -> Document:
    path.write_text(json.dumps(bundle))
    return Document("FHIR", path, bundle_digest(bundle))


@pytest.mark.server
def test_nothing_is_marked_before_its_replacement_is_there(
    client, fhir, made_run, tmp_path
) -> None:
    """A target marks the old result only once the new one has arrived there."""
    client.transact(made_run.bundle())
    target = FhirTarget("ehr", client)
    mark = _document(tmp_path / "superseded.json", marking(made_run))
    (sent,) = target.send([mark])
    assert (sent.state, sent.reason) == ("again", REPLACEMENT_MISSING)
    assert report_of(fhir, made_run)["status"] == "preliminary"
    new = _document(tmp_path / "bundle.json", successor(made_run).bundle())
    assert [item.state for item in target.send([new, mark])] == ["stored", "stored"]
    assert [item.state for item in target.verify([new, mark])] == ["verified", "verified"]


@pytest.mark.server
def test_refusals_supersede_and_are_superseded(client, fhir, made_run) -> None:
    """A refusal that a later run replaces stays cancelled, and says by which run."""
    client.transact(made_run.refusal("SEED_REQUIRED"))
    client.transact(successor(made_run, "seed").bundle())
    later = successor(made_run, "seed").request
    bundle = superseding_bundle(made_run.refusal("SEED_REQUIRED"), mark_for("seed", later.run_id))
    supersede(client, bundle)
    assert report_of(fhir, made_run)["status"] == "cancelled"
    assert superseded(client, bundle) == (True, "")


def test_only_another_patient_makes_a_result_an_error(made_run) -> None:
    """A result that was right when it was made is cancelled; in a wrong record it is an error."""
    assert mark_for("late-series", "b" * 32).status == "cancelled"
    assert mark_for("corrected", "b" * 32).status == "cancelled"
    mark = mark_for("patient-changed", "b" * 32)
    assert mark.status == "entered-in-error"
    for entry in superseding_bundle(made_run.bundle(), mark)["entry"]:
        if entry["request"]["method"] == "PUT":
            assert entry["resource"]["status"] == "entered-in-error"


def test_the_instruction_is_the_old_bundle_with_marks(made_run) -> None:
    """Report and Observations become conditional updates; all else is as it was."""
    old = made_run.bundle()
    kept = copy.deepcopy(old)
    bundle = marking(made_run)
    assert old == kept
    assert is_superseding(bundle)
    assert not is_superseding(old)
    for before, after in zip(old["entry"], bundle["entry"], strict=True):
        kind = before["resource"]["resourceType"]
        if kind in ("DiagnosticReport", "Observation"):
            url = f"{kind}?{before['request']['ifNoneExist']}"
            assert after["request"] == {"method": "PUT", "url": url}
            assert after["resource"]["identifier"] == before["resource"]["identifier"]
        else:
            assert after == before


def test_a_mark_is_set_once(made_run) -> None:
    """A resource that is superseded stays superseded by the run that did it first."""
    report = made_run.bundle()["entry"][-2]["resource"]
    assert report["resourceType"] == "DiagnosticReport"
    first = marked(report, Mark("a" * 32, "cancelled"))
    assert marked(first, Mark("b" * 32, "entered-in-error")) == first
    tags = [tag["code"] for tag in first["meta"]["tag"] if tag["system"] == SUPERSEDED]
    assert tags == ["a" * 32]
    assert len(first["meta"]["tag"]) == len(report["meta"]["tag"]) + 1
