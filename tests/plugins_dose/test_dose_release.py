"""What travels with a dose release: its window, and a plan whose items can be built on it."""

import json
import os
from pathlib import Path

import pytest

from adapters.release_builder import newest_published
from adapters.validation.dose_window import observations
from governance.monitoring import plan, reference, watch
from governance.release import digest_of
from models.dose.predict import DosePredictor
from models.dose.uncertainty import Calibration
from models.weights.store import weight_paths
from plugins.dose.plugin import Dose

RELEASES = Path(__file__).parents[2] / "plugins/dose/releases"
DATA = Path(os.environ.get("OSTEON_TEST_DATA", "../shared/data")) / "openkbp/train"


def attachment(name: str) -> dict:
    """Return an attachment of the newest published release."""
    return json.loads((RELEASES / newest_published("dose") / "attachments" / name).read_text())


def test_the_window_is_that_of_the_release_and_its_plan_can_run_on_it():
    """Forty held-back patients; every item against the window finds its numbers there."""
    manifest = (RELEASES / newest_published("dose") / "manifest.json").read_bytes()
    window = reference.decode(attachment(reference.ATTACHMENT), digest_of(manifest))
    assert window.cases == 40
    shipped = plan.decode(attachment(plan.ATTACHMENT))
    against = [item for item in shipped.items if item.window == plan.RELEASE]
    assert {item.name for item in against} == {"input", "output"}
    for item in against:
        assert watch.build(item, window).detectors
    names = set(window.numbers)
    assert {"dose_parotid_l_mean", "dose_ptv_7000_d95", "volume_parotid_l_ml"} <= names


@pytest.mark.skipif(not DATA.exists(), reason="no test data (set OSTEON_TEST_DATA)")
def test_a_pack_leaves_behind_what_a_run_does():
    """The numbers of the window come out of the plugin, one observation a pack."""
    plugin = Dose()
    plugin.prepare(DosePredictor.load(weight_paths("dose")[0]), Calibration.load())
    (found,) = observations(plugin, [DATA / "pt_1.npz"])
    assert found.case == "case-000"
    window = reference.decode(
        attachment(reference.ATTACHMENT), attachment(reference.ATTACHMENT)["release_digest"]
    )
    assert {"dose_parotid_l_mean", "target_volume_ml", "ct_hu_p50"} <= set(found.numbers)
    for name in ("dose_ptv_7000_d95", "volume_parotid_l_ml"):  # pt_1 is one of the forty
        assert reference.rounded(found.numbers[name]) in window.numbers[name]
