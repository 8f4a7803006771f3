"""Orthanc end to end: upload, and the results are there, without any call in between."""

import time
from pathlib import Path
from typing import Any

import pytest

from adapters.orthanc.pacs import OrthancPacs
from tests.simulators.example_site import prepare, served, small_phantom

pytestmark = [pytest.mark.server, pytest.mark.slow]
TIMEOUT_S = 120.0


def _changes(server: Any, root: Path) -> dict[str, Any]:
    return {
        "pacs": [
            {
                "name": "orthanc", "kind": "orthanc", "url": server.url,
                "username": server.username, "password": server.password,
            }
        ],
        "targets": [
            {"name": "orthanc", "kind": "pacs", "pacs": "orthanc"},
            {"name": "fhir", "kind": "fhir-folder", "path": str(root / "fhir")},
        ],
    }  # fmt: skip


def test_upload_leads_to_results_in_orthanc(orthanc_server: Any, tmp_path: Path) -> None:
    """A study uploaded to Orthanc gets its results in Orthanc; a second upload adds nothing."""
    changes = _changes(orthanc_server, tmp_path)
    home = prepare(tmp_path, **changes)
    study, files = small_phantom(seed=77)
    sender = OrthancPacs(
        "sender", orthanc_server.url, orthanc_server.username, orthanc_server.password
    )
    with served(home, tmp_path, **changes) as (site, turn):
        for _ in range(2):
            sender.store(study, files)
            ends = time.monotonic() + TIMEOUT_S
            states: list[str] = []
            while states != ["done"] and time.monotonic() < ends:
                turn()
                time.sleep(0.02)
                with site.database.reading() as transaction:
                    states = [row.status for row in transaction.runs(study=study)]
            assert states == ["done"]
            for _ in range(20):
                turn()
                time.sleep(0.02)
            count = sum(item.instance_count for item in sender.search_series(study))
            assert count == len(files) + 4
            with site.database.reading() as transaction:
                (row,) = transaction.runs(study=study)
                deliveries = transaction.deliveries(row.run_id)
            assert {item.state for item in deliveries} == {"verified"}
