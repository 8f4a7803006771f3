"""What a drill measures of its releases: the outline of a bone whose place is known.

A phantom without noise says which voxels are bone; the released method outlines the same
phantom with noise.  The figures of the drill's accuracy, criteria, test log and certificate
come from here, so that its documents state nothing that was not measured, on phantoms.

Read next: `drill_papers.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from audit import canonical
from governance.accuracy import MINORS, SCHEMA
from governance.agreement import agreement_of_masks, estimate
from governance.release import digest_of
from plugins.host.case import Case, Subject
from plugins.host.discovery import find_plugin
from plugins.host.findings import Segmentation
from plugins.host.images import Geometry, Volume
from validation.phantoms.limb import CORTEX_HU, MUSCLE_HU, LimbParameters, LimbPhantom, limb

SMALLEST_GROUP = 2
PACK = "osteon-drill/1"
CRITERION = 0.9
TEST = "adapters/governance/drill_measure.py::measured"
"""Node id of the known-answer test in the drill's risk register."""
CARD = """
**Not meant for**: any patient; this is a release of a drill.

**Explanation.** None: a threshold explains itself.
"""
"""What the card of the example plugin lacks for instructions for use."""
COARSE = LimbParameters(has_pet=False, margin_mm=(15.0, 30.0, 30.0), ct_spacing_mm=(6.0, 3.0, 3.0))
PERSONS = ((0, 12.0, "F"), (1, 15.0, "M"), (2, 40.0, "F"), (3, 62.0, "M"))
"""Seed, age and sex of the synthetic persons."""
_AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def criteria() -> bytes:
    """Return the acceptance criteria of the drill's releases, as their member."""
    row = {
        "id": "dsc", "given": "ct", "stratum": "all", "metric": "dsc", "statistic": "mean",
        "at_least": CRITERION, "reason": "drill: an outline of the phantom's bone",
    }  # fmt: skip
    document = {
        "metric_pack": PACK,
        "method": "held-out",
        "recorded_at": "2026-11-26",
        "criteria": [row],
    }
    return canonical.encode(document)


@cache
def measured(plugin: str, threshold_hu: float) -> tuple[tuple[float, float, str], ...]:
    """Return (DSC, age, sex) of each synthetic person for the plugin at a threshold."""
    return tuple((_dsc(plugin, threshold_hu, seed), age, sex) for seed, age, sex in PERSONS)


def accuracy(plugin: str, threshold_hu: float, release_digest: str) -> dict[str, Any]:
    """Return the measured accuracy of a release of the drill, as it is recorded."""
    rows = measured(plugin, threshold_hu)
    groups = {
        ("all", "all"): [row[0] for row in rows],
        (MINORS, "person"): [row[0] for row in rows if row[1] < 18],
        ("female", "person"): [row[0] for row in rows if row[2] == "F"],
    }
    return {
        "schema": SCHEMA,
        "release_digest": release_digest,
        "report_sha256": digest_of(json.dumps(rows).encode()),
        "weights": [],
        "method": "drill: phantoms, held out",
        "interval": "95 % Student t",
        "smallest_group": SMALLEST_GROUP,
        "metrics": [{"key": "dsc", "title": "DSC", "digits": 3}],
        "groups": [
            {"given": "ct", "name": name, "about": about, "n": len(values),
             "figures": {"dsc": _figure(values)}}
            for (name, about), values in groups.items()
        ],
    }  # fmt: skip


def test_log(plugin: str, threshold_hu: float) -> bytes:
    """Return the JUnit file of the known-answer test: it failed where the criterion is missed."""
    met = min(row[0] for row in measured(plugin, threshold_hu)) >= CRITERION
    path, _, name = TEST.partition("::")
    module = path.removesuffix(".py").replace("/", ".")
    inside = "" if met else "<failure/>"
    case = f'<testcase classname="{module}" name="{name}">{inside}</testcase>'
    return f"<testsuites><testsuite>{case}</testsuite></testsuites>".encode()


def _figure(values: list[float]) -> dict[str, Any]:
    found = estimate(values)
    assert found.lower is not None  # every group has two persons or more
    assert found.upper is not None
    return {"value": found.mean, "low": found.lower, "high": found.upper, "n": found.n}


def _dsc(plugin: str, threshold_hu: float, seed: int) -> float:
    noisy = limb(replace(COARSE, seed=seed))
    quiet = limb(replace(COARSE, seed=seed, noise_hu=0.0))
    truth = _largest(quiet.ct_hu > (CORTEX_HU + MUSCLE_HU) / 2)
    found = find_plugin(plugin).load().predict(_case(noisy), {"threshold_hu": threshold_hu})
    masks = [item.mask for item in found.findings if isinstance(item, Segmentation)]
    if not masks:
        return 0.0
    common = int((masks[0] & truth).sum())
    return agreement_of_masks(int(masks[0].sum()), int(truth.sum()), common)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=2)[1:]
    return np.asarray(labels == 1 + int(sizes.argmax()))


def _case(phantom: LimbPhantom) -> Case:
    grid = phantom.ct_grid
    geometry = Geometry(grid.shape, grid.spacing_mm, grid.origin_mm, _AXES, "1.2.3.4")
    uids = tuple(f"1.2.3.6.{frame}" for frame in range(grid.shape[0]))
    volume = Volume(
        phantom.ct_hu, geometry, "CT", "[hnsf'U]", "1.2.3", "1.2.3.5",
        "1.2.840.10008.5.1.4.1.1.2", uids, {},
    )  # fmt: skip
    return Case("1.2.3", Subject(), {"ct": volume}, body_part="LEG")
