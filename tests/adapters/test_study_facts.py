"""Facts of a study: what a search tells, without what the suite wrote itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from adapters.dimse import DimsePacs, Peer
from adapters.dimse.scu import Outgoing, ServiceUser
from adapters.folder import FolderPacs
from adapters.study_facts import study_facts
from plugins.host.manifest import Input
from plugins.host.readiness import assess
from tests.simulators.tiny_studies import TinyStudy, tiny_study


def test_the_suites_own_series_are_no_input(tmp_path: Path) -> None:
    """Series are left out by their recorded UID, whatever they look like."""
    study = tiny_study("CT", "RTSTRUCT")
    own = study.series_instance_uids[1]
    with FolderPacs("f", tmp_path) as pacs:
        pacs.store(study.study_instance_uid, study.files)
        everything = study_facts(pacs, study.study_instance_uid, set())
        foreign = study_facts(pacs, study.study_instance_uid, {own})
    assert {item.modality for item in everything.series} == {"CT", "RTSTRUCT"}
    assert {item.modality for item in foreign.series} == {"CT"}


def test_facts_hold_what_routing_and_the_run_id_need(tmp_path: Path) -> None:
    """UIDs are sorted; counts, frame of reference, tags, arrival and sender are there."""
    study = tiny_study("CT", announce=True)
    with FolderPacs("f", tmp_path) as pacs:
        pacs.store(study.study_instance_uid, study.files, sender="CT-1")
        facts = study_facts(pacs, study.study_instance_uid, set())
    series = facts.series[0]
    assert series.sop_instance_uids == tuple(
        sorted(item.sop_instance_uid for item in study.references)
    )
    assert series.expected_count == 4
    assert series.frame_of_reference_uid
    assert series.tags["BodyPartExamined"] == "LEG"
    assert facts.tags["PatientSex"] == "O"
    assert facts.sender == "CT-1"
    assert facts.last_arrival_at is not None
    assert (datetime.now(UTC) - facts.last_arrival_at).total_seconds() < 60


def test_a_study_that_is_not_there_has_no_series(tmp_path: Path) -> None:
    """An unknown study gives facts without series, and no error."""
    with FolderPacs("f", tmp_path) as pacs:
        assert study_facts(pacs, "2.25.1", set()).series == ()


def test_a_released_association_announces_its_series(tmp_path: Path) -> None:
    """A sender that released after several instances has sent the series: it starts at once."""
    study = tiny_study("CT")
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0) as pacs:
        _push(pacs, study)
        facts = study_facts(pacs, study.study_instance_uid, set())
        assert facts.series[0].expected_count == 4
        answer = assess(facts, [Input("ct", "CT")], datetime.now(UTC))
        assert answer.reason == "counts-complete"


def test_one_association_for_each_image_announces_nothing(tmp_path: Path) -> None:
    """After one image of an image series nobody knows whether more come: the quiet time runs."""
    study = tiny_study("CT", slices=1)
    with DimsePacs("d", tmp_path, aet="OSTEON", port=0) as pacs:
        _push(pacs, study)
        facts = study_facts(pacs, study.study_instance_uid, set())
        assert facts.series[0].expected_count is None


def _push(pacs: DimsePacs, study: TinyStudy) -> None:
    sender = ServiceUser("SCANNER", Peer("OSTEON", "127.0.0.1", pacs.port), 20)
    pairs = zip(study.references, study.files, strict=True)
    sender.store([Outgoing(*pair) for pair in pairs])
    deadline = time.monotonic() + 20
    while pacs.association_closed(study.study_instance_uid) is None and time.monotonic() < deadline:
        time.sleep(0.01)
