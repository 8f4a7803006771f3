"""Which studies overtake others: by the order's own priority, or by who sent them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from adapters.compose import open_site
from tests.simulators import dicom_objects as objects
from tests.simulators.example_site import configuration, prepare


@pytest.mark.parametrize(
    ("ordered", "sender", "lane"),
    [
        ("", "CT1", "normal"),
        ("ROUTINE", "CT1", "normal"),
        ("STAT", "CT1", "urgent"),
        ("High ", "CT1", "urgent"),
        ("", "EMERGENCYCT", "urgent"),
        ("LOW", "EMERGENCYCT", "urgent"),
    ],
)
def test_the_lane_of_a_study(ordered: str, sender: str, lane: str, tmp_path: Path) -> None:
    """The header's Requested Procedure Priority and the site's urgent senders decide."""
    changes = {"trigger": {"quiet_time_s": 0.0, "urgent_senders": ["EMERGENCYCT"]}}
    home = prepare(tmp_path, **changes)
    datasets = objects.image_series(RequestedProcedurePriority=ordered)
    with open_site(home, configuration=configuration(tmp_path, **changes)) as site:
        archive = site.archives["pacs"]
        archive.store(objects.uid("study"), objects.encode_all(datasets), sender=sender)
        site.feed.poll()
        queued: tuple[str, ...] = ()
        ends = time.monotonic() + 10.0
        while not queued and time.monotonic() < ends:
            queued = site.feed.settle()
        with site.database.reading() as transaction:
            assert [transaction.run(run_id).priority for run_id in queued] == [lane]
