"""A scanner changes: the whole path from the archive to the alarm, the suspension and the report.

Studies of a limb phantom arrive in the embedded PACS and run through the real path; from a stated
case on they come from another scanner (more noise).  Nothing but what the runs left is read.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adapters.compose import Site
from adapters.home import Home
from adapters.monitoring.alarming import alarm_name, decide
from adapters.monitoring.plans import set_plan
from adapters.rt.write_phantom import PhantomStudy, encode_limb
from governance.monitoring import reference as references
from governance.monitoring.plan import INPUT, OPERATIONS, RATE, RELEASE, STATED, SUSPEND, Item, Plan
from governance.monitoring.reference import Observation, make_reference
from plugins.host.images import Geometry, Volume
from plugins.host.texture import texture
from tests.simulators.drifting_site import Played, play
from tests.simulators.example_site import prepare, served
from tests.simulators.governed_site import PHYSICIST, add_accounts
from validation.phantoms.limb import LimbParameters, LimbPhantom, limb

USUAL_HU, OTHER_HU, SCATTER_HU = 12.0, 24.0, 0.6
PLAN = Plan(
    "example",
    (
        Item("input", INPUT, ("ct_noise", "ct_edge"), RELEASE, 2000.0, SUSPEND, "physicist"),
        Item("failures", RATE, ("failed",), STATED, 2000.0, "notify", "engineer", rate=0.05),
        Item("latency", OPERATIONS, ("seconds",), "first", 2000.0, "notify", "engineer", 20),
    ),
)


def _phantom(number: int, noise_hu: float) -> LimbPhantom:
    generator = np.random.default_rng(number)
    parameters = LimbParameters(
        seed=number, has_pet=False, margin_mm=(15.0, 30.0, 30.0), ct_spacing_mm=(6.0, 3.0, 3.0),
        noise_hu=noise_hu + float(generator.normal(0, SCATTER_HU)),
    )  # fmt: skip
    return limb(parameters)


def _window(digest: str, cases: int) -> bytes:
    """Return the reference window of phantoms that no run sees."""
    axes = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    observed = []
    for number in range(10_000, 10_000 + cases):
        array = _phantom(number, USUAL_HU).ct_hu
        geometry = Geometry(array.shape, (6.0, 3.0, 3.0), (0.0, 0.0, 0.0), axes, "1")
        volume = Volume(array, geometry, "CT", "1", "1", "1", "1", ("1",))
        observed.append(Observation(str(number), texture("ct", volume)))
    window = make_reference(digest, f"{cases} phantoms", observed)
    return json.dumps(references.encode(window)).encode()


def _begin(site: Site, cases: int) -> str:
    """Attach window and plan to the active release; return its digest."""
    add_accounts(site)
    with site.database.reading() as transaction:
        (deployment,) = transaction.deployments()
    digest = deployment.release_digest
    site.registry.attach(digest, references.ATTACHMENT, _window(digest, cases))
    set_plan(site, "example", digest, PLAN, PHYSICIST)
    return digest


def _arrive(site: Site, number: int, noise_hu: float) -> None:
    phantom = _phantom(number, noise_hu)
    study = PhantomStudy(name=f"monitored-{number}", patient_id=f"M-{number}")
    site.archives["pacs"].store(
        study.uid(phantom, "study"), tuple(encode_limb(phantom, study).values())
    )


def _play(root: Path, home: Home, studies: int, change_at: int, window: int) -> Played:
    """Let studies arrive one after the other; another scanner from the stated one on."""

    def arrive(site: Site, number: int) -> None:
        _arrive(site, number, USUAL_HU if number < change_at else OTHER_HU)

    def decided(site: Site, played: Played) -> None:
        for name in played.items:
            decide(site, name, "suspend", "new scanner, to be commissioned", PHYSICIST)

    return play(
        served(home, root), root, lambda site: _begin(site, window), arrive, studies, then=decided
    )


def _check_found(found: Played, change_at: int) -> None:
    (name,) = found.items
    assert name == alarm_name("input", found.digest)
    assert change_at < found.alarm_at <= change_at + 10
    assert found.state == "suspended"
    assert "monitor" in [record.body["guard"] for record in found.guards]
    assert found.items[name]["owner"] == "physicist"
    assert [line["item"] for line in found.report["alarms"]] == ["input"]


def _check_quiet(found: Played, studies: int) -> None:
    assert (found.alarm_at, found.state) == (0, "active")
    assert found.report["runs"] == studies
    assert found.report["alarms"] == []


@pytest.mark.slow
@pytest.mark.reg("AIA-72.1")
@pytest.mark.reg("AIA-26.5")
def test_a_changed_scanner_ends_in_a_suspension_and_a_report(tmp_path: Path) -> None:
    """Two quiet studies, then another scanner: alarm within ten, item, suspension, record."""
    _check_found(_play(tmp_path, prepare(tmp_path), 12, 2, 60), 2)


@pytest.mark.acceptance
def test_three_hundred_studies_with_and_without_a_changed_scanner(tmp_path: Path) -> None:
    """300 runs: changed after 150, found within ten; without the change no alarm at all."""
    for name in ("changed", "quiet"):
        (tmp_path / name).mkdir()
    changed = tmp_path / "changed"
    _check_found(_play(changed, prepare(changed), 300, 150, 60), 150)
    quiet = tmp_path / "quiet"
    _check_quiet(_play(quiet, prepare(quiet), 300, 10_000, 60), 300)
