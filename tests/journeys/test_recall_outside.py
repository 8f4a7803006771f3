"""A recall reaches what lies outside: the objects stay, and each says that it is withdrawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from adapters.compose import Site, open_site
from adapters.database.runs import RunRow
from adapters.engine.serving import serving
from adapters.fhir.marks import OF_RECALL, mark_of
from adapters.governance.acts import waive
from adapters.governance.promoting import activate
from adapters.governance.recalling import Recalled, read_recall
from adapters.governance.rolling_back import Wish, rollback
from adapters.governance.stopping import lift, stop
from adapters.governance.withdrawing import recall, withdraw_recalled
from adapters.hand import act as by_hand
from adapters.home import Home
from audit.errors import ConfigurationError, RefusalError
from plugins.host.identity import RECALL, RECALLED
from tests.simulators.example_site import configuration, small_phantom
from tests.simulators.fhir_server import FhirServer
from tests.simulators.governed_site import (
    ADMINISTRATOR,
    APPROVER,
    PHYSICIST,
    add_accounts,
    add_release,
    approved,
)

Turn = Callable[[], None]


@contextmanager
def answered(root: Path, **changes: Any) -> Iterator[tuple[Site, Turn, str, str]]:
    """Open a serving site on which release 2 answered one study; release 1 is on standby."""
    settings = configuration(root, **changes)
    with open_site(Home(root / "home").create(), configuration=settings) as site:
        add_accounts(site)
        one, two = (approved(site, add_release(site, version)) for version in ("1.0.0", "2.0.0"))
        activate(site, one, APPROVER, "first")
        waive(site, two, APPROVER, "swap", timedelta(days=1))
        study, files = small_phantom()
        with serving(site) as turn:
            site.archives["pacs"].store(study, files)
            until(turn, lambda: [row.status for row in rows(site)] == ["done"])
            yield site, turn, study, two


def until(turn: Turn, holds: Callable[[], bool]) -> None:
    """Let the site work until something holds."""
    ends = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < ends, "expected it within two minutes"
        turn()
        time.sleep(0.01)


def rows(site: Site) -> list[RunRow]:
    """Return every run, oldest first."""
    with site.database.reading() as transaction:
        return sorted(transaction.runs(), key=lambda row: row.opened_at)


def reports(site: Site, study: str) -> list[Dataset]:
    """Return the structured reports of ours in the archive."""
    archive = site.archives["pacs"]
    with site.database.reading() as transaction:
        own = transaction.own_series_uids(study)
    found = [
        dcmread(BytesIO(data))
        for uid in own
        for data in archive.retrieve_series(study, uid)
    ]  # fmt: skip
    return [item for item in found if item.Modality == "SR"]


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.reg("AIA-20")
def test_a_recalled_result_says_so_where_it_lies(tmp_path: Path, fhir: FhirServer) -> None:
    """New SR with its predecessor, FHIR entered-in-error with the reason, objects kept."""
    targets = [
        {"name": "pacs", "kind": "pacs", "pacs": "pacs"},
        {"name": "ehr", "kind": "fhir", "url": fhir.url},
    ]
    with answered(tmp_path, targets=targets) as (site, turn, study, two):
        (first,) = rows(site)
        (old,) = reports(site, study)
        kept = old.SOPInstanceUID
        rollback(site, "trial", PHYSICIST, Wish("odd contours"))
        until(turn, lambda: rows(site)[-1].status == "refused")
        withdrawing = rows(site)[-1]
        assert (withdrawing.trigger, withdrawing.reason) == (RECALL, RECALLED)
        assert withdrawing.release_digest == two
        new = next(item for item in reports(site, study) if item.SOPInstanceUID != kept)
        assert kept in {item.SOPInstanceUID for item in reports(site, study)}
        (predecessors,) = new.PredecessorDocumentsSequence
        named = [
            item.ReferencedSOPInstanceUID
            for series in predecessors.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        ]
        assert named == [kept]
        assert "withdrawn" in str(new).lower()
        assert RECALLED in str(new)
        found = {
            item["identifier"][0]["value"]: item for item in fhir.all("DiagnosticReport")
        }  # fmt: skip
        report = found[first.run_id]
        mark = mark_of(report)
        assert report["status"] == "entered-in-error"
        assert mark is not None
        assert (mark.by_run_id, mark.why) == (withdrawing.run_id, OF_RECALL)
        assert "the release that made it was recalled" in report["conclusion"]
        assert "withdrawn" in found[withdrawing.run_id]["conclusion"]
        marked = [i for i in fhir.all("Observation") if mark_of(i) is not None]
        assert marked
        assert {item["status"] for item in marked} == {"entered-in-error"}
        listed = read_recall(site, two, PHYSICIST)
        assert [(run.run_id, run.todo) for run in listed.runs] == [(first.run_id, "WITHDRAWN")]
        assert withdraw_recalled(site) == ()
        with pytest.raises(ConfigurationError):
            by_hand(site, "force", withdrawing.run_id, "account:clinician")
        site.verify_log()


@pytest.mark.slow
def test_the_studies_of_a_recall_run_again_on_the_old_release(tmp_path: Path) -> None:
    """With `--run-again` the target answers the study; its report replaces the withdrawal."""
    with answered(tmp_path) as (site, turn, study, _):
        rollback(site, "trial", PHYSICIST, Wish("odd contours", again=True))
        until(turn, lambda: sorted(r.status for r in rows(site)) == ["done", "done", "refused"])
        with site.database.reading() as transaction:
            versions = {row.run_id: row.plugin_version for row in transaction.runs()}
            (fresh,) = [
                row for row in transaction.runs() if row.plugin_version == "1.0.0"
            ]  # fmt: skip
        assert sorted(versions.values()) == ["1.0.0", "2.0.0", "2.0.0"]
        assert (fresh.mode, fresh.superseded_by) == ("research", None)
        assert fresh.request.supersedes in versions
        assert len(reports(site, study)) == 3


@pytest.mark.slow
def test_what_a_recall_leaves_alone(tmp_path: Path) -> None:
    """Without the wish nothing is marked; a stop holds it back; what came later is not recalled."""
    with answered(tmp_path) as (site, _, _, two):
        rollback(site, "trial", PHYSICIST, Wish("odd contours", mark=False))
        assert withdraw_recalled(site) == ()
        for person, reason, code in (
            (ADMINISTRATOR, "x", "ROLE_NOT_PERMITTED"),
            (PHYSICIST, " ", "EVIDENCE_MISSING"),
        ):
            with pytest.raises(RefusalError) as caught:
                recall(site, two, person, Recalled(reason))
            assert caught.value.reasons == (code,)
        recall(site, two, PHYSICIST, Recalled("later", since=site.now()))
        assert withdraw_recalled(site) == ()
        recall(site, two, PHYSICIST, Recalled("all of them"))
        stop(site, "trial", PHYSICIST, "everything")
        assert withdraw_recalled(site) == ()
        lift(site, "trial", APPROVER, "go on")
        (queued,) = withdraw_recalled(site)
        assert withdraw_recalled(site) == ()
        stop(site, "trial", PHYSICIST, "once more")
        with site.database.reading() as transaction:
            ended = transaction.run(queued)
        assert ended is not None
        assert ended.status == "discarded"
        lift(site, "trial", APPROVER, "go on")
        assert withdraw_recalled(site) == (queued,)
