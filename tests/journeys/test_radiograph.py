"""A radiograph arrives; a plugin that declares one runs on it; report and bundle come back."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pydicom
import pytest

from adapters.compose import open_site
from adapters.governance.acts import waive
from adapters.governance.persons import DEMONSTRATOR
from adapters.home import Home
from adapters.published import sign_bundle
from plugins.host.manifest import Input, Output
from tests.simulators import dicom_objects as objects
from tests.simulators.dicom_validators import dciodvfy_errors
from tests.simulators.example_site import configuration, served
from tests.simulators.released_plugins import bundle

TIMEOUT_S = 120.0
METHODS = """
def predict(self, case, parameters):
    (view,) = case.radiographs["film"]
    grey = Measurement(CODE, float(view.array.mean()), "1")
    return Prediction((grey,), Uncertainty("trial", 0.5, (0.4, 0.6)))
"""


def _site(root: Path) -> Home:
    home = Home(root / "home").create()
    declared = {
        "inputs": [asdict(Input("film", "CR"))],
        "outputs": [asdict(Output("Measurement", "grey", "91723000", "SCT", "Grey"))],
    }
    path = root / "trial.osteon"
    path.write_bytes(bundle(METHODS, **declared))
    with open_site(home, configuration=configuration(root)) as site:
        digest = site.registry.add(sign_bundle(site.keys, path, site.now())).digest
        waive(site, digest, DEMONSTRATOR, "test", timedelta(days=1))
    return home


@pytest.mark.slow
def test_a_plugin_runs_on_a_radiograph(tmp_path: Path) -> None:
    """Measured on the turned values, reported as SR and FHIR, valid, and read back."""
    home = _site(tmp_path)
    film = objects.radiograph()
    with served(home, tmp_path) as (site, turn):
        archive = site.archives["pacs"]
        archive.store(film.StudyInstanceUID, [objects.encode(film)])
        ends = time.monotonic() + TIMEOUT_S
        rows: tuple = ()
        while time.monotonic() < ends and not (rows and rows[0].closed_at):
            turn()
            time.sleep(0.02)
            with site.database.reading() as transaction:
                rows = transaction.runs()
        assert [(row.status, row.reason) for row in rows] == [("done", "")]
        with site.database.reading() as transaction:
            documents = transaction.documents(rows[0].run_id)
            deliveries = transaction.deliveries(rows[0].run_id)
        assert sorted(item.kind for item in documents) == ["FHIR", "SR"]
        assert {item.state for item in deliveries} == {"verified"}
        paths = {item.kind: Path(item.path) for item in documents}
        report = pydicom.dcmread(paths["SR"])
        assert dciodvfy_errors(paths["SR"]) == []
        assert film.SOPInstanceUID in str(report)
        bundle_text = json.loads(paths["FHIR"].read_text())
        values = [
            entry["resource"]["valueQuantity"]["value"]
            for entry in bundle_text["entry"]
            if entry["resource"].get("code", {}).get("coding", [{}])[0].get("code") == "91723000"
        ]
        assert values == [4095 - 239.5]
        site.verify_log()
