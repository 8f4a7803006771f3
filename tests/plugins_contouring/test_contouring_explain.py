"""The explanation of a contour: shares that add up, a map in place, measured faithfulness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from plugins.contouring.explain import INTEGRATION_STEPS, VOXEL_PASSES, members_explained
from plugins.host.findings import Explanation
from plugins.host.wire import decode, encode
from tests.simulators.hand_set_contouring import Bench, inside_tumour

ALL = {"members": "all", "mirrored": False}


@pytest.fixture(scope="module")
def explanation(bench: Bench) -> Explanation:
    """Return the explanation of the limb's contour."""
    return bench.plugin.explain(bench.case, bench.plugin.predict(bench.case, ALL))


def test_shares_add_up_to_what_is_explained(explanation: Explanation) -> None:
    """Exact Shapley values sum to the value with all sources less that with none."""
    told = explanation.faithfulness
    total = sum(share for _, share in explanation.contributions)
    assert total == pytest.approx(told["value_present"] - told["value_absent"], abs=1e-5)


def test_a_source_that_the_network_ignores_has_no_share(explanation: Explanation) -> None:
    """The hand-set network looks at PET alone: CT gets nothing, PET all of it."""
    shares = dict(explanation.contributions)
    assert list(shares) == ["ct", "pet"]
    assert shares["ct"] == pytest.approx(0.0, abs=1e-5)
    assert shares["pet"] > 0.3


def test_a_seed_point_is_a_source_of_its_own(bench: Bench) -> None:
    """With a seed point there are three sources, and still exact shares."""
    seeded = replace(bench.case, seed_point_mm=(118.0, 12.0, -400.0))
    found = bench.plugin.explain(seeded, bench.plugin.predict(seeded, ALL))
    assert [name for name, _ in found.contributions] == ["ct", "pet", "seed"]
    assert dict(found.contributions)["seed"] == pytest.approx(0.0, abs=1e-5)


def test_the_attribution_lies_on_the_tumour(bench: Bench, explanation: Explanation) -> None:
    """The map is on the voxels of the CT, within -1 and 1, and strongest in the tumour."""
    ct = bench.case.images["ct"]
    assert explanation.geometry == ct.geometry
    attribution = explanation.attribution
    assert attribution is not None
    assert attribution.shape == ct.array.shape
    assert np.abs(attribution).max() <= 1.0 + 1e-6
    index = np.stack(np.meshgrid(*(np.arange(n) for n in ct.array.shape), indexing="ij"), -1)
    tumour = inside_tumour(ct.geometry.to_patient(index.astype(np.float64)))
    assert attribution[tumour].mean() > 10 * abs(attribution[~tumour].mean())


def test_the_explanation_is_faithful_by_its_own_measures(explanation: Explanation) -> None:
    """Deletion beats a random order, and a shuffled network is explained otherwise."""
    told = explanation.faithfulness
    assert told["deletion_auc"] < told["deletion_auc_random"]
    assert told["randomisation_rank_correlation"] < 0.5
    assert told["completeness_error"] < 0.2
    assert told["members_explained"] == 2.0


def test_the_same_case_is_explained_in_the_same_way(bench: Bench, explanation: Explanation) -> None:
    """Seeds are fixed and effort is counted in passes, so a replay gives the same numbers."""
    again = bench.plugin.explain(bench.case, bench.plugin.predict(bench.case, ALL))
    assert again.contributions == explanation.contributions
    assert again.faithfulness == explanation.faithfulness
    assert np.array_equal(again.attribution, explanation.attribution)


def test_a_case_can_be_explained_without_a_prediction_before(
    bench: Bench, explanation: Explanation
) -> None:
    """A worker that was restarted between the two calls contours again, then explains."""
    prediction = bench.plugin.predict(bench.case, ALL)
    bench.plugin.prepare(bench.plugin.ensemble, bench.plugin.calibration)
    later = bench.plugin.explain(bench.case, prediction)
    assert dict(later.contributions)["pet"] == pytest.approx(
        dict(explanation.contributions)["pet"], abs=0.1
    )


@pytest.mark.parametrize(("voxels", "groups"), [(20_000, 1), (40_000, 2), (150_000, 3)])
def test_the_effort_is_bounded(voxels: int, groups: int) -> None:
    """At least one member is explained; more only while the budget of passes allows it."""
    count = members_explained(voxels, groups, 5)
    assert 1 <= count <= 5
    passes = count * (2**groups + 2.5 * INTEGRATION_STEPS + 16) + 2.5 * INTEGRATION_STEPS
    assert count == 1 or passes * voxels <= VOXEL_PASSES


def test_the_explanation_crosses_the_border_of_the_worker(explanation: Explanation) -> None:
    """Encoded and decoded it is the same."""
    message = encode(explanation, Explanation)
    block = bytearray(message.size)
    for offset, buffer in message.buffers:
        block[offset : offset + buffer.nbytes] = buffer
    back = decode(message.header, memoryview(block), Explanation)
    assert back.contributions == explanation.contributions
    assert np.array_equal(back.attribution, explanation.attribution)
