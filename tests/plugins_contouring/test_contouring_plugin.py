"""The contouring plugin: what it answers, when it abstains, what it keeps for monitoring."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.errors import ConfigurationError, RefusalError
from models.weights.store import read_index
from plugins.contouring.plugin import BODY_PARTS, DIAMETER, MANIFEST, VOLUME, Contouring
from plugins.host.envelope import check
from plugins.host.findings import EMBEDDING_LIMIT, Prediction, Segmentation
from plugins.host.images import Volume
from plugins.host.manifest import decode, encode
from tests.simulators.hand_set_contouring import (
    CENTRE_MM,
    SEMI_AXES_MM,
    Bench,
    calibration,
    grid,
    limb_case,
    sampled,
)

ALL = {"members": "all", "mirrored": True}


@pytest.fixture(scope="module")
def prediction(bench: Bench) -> Prediction:
    """Return the answer for the limb."""
    return bench.plugin.predict(bench.case, ALL)


def mask_of(prediction: Prediction) -> np.ndarray:
    """Return the mask of the one contour."""
    (finding,) = prediction.findings
    assert isinstance(finding, Segmentation)
    return finding.mask


def test_the_manifest_survives_json() -> None:
    """What the release freezes is what the author wrote."""
    assert decode(json.loads(json.dumps(encode(MANIFEST)))) == MANIFEST


def test_the_weights_are_those_of_the_index() -> None:
    """The manifest names every committed member of the ensemble, in order of its fold."""
    named = tuple(item.file for item in read_index() if item.role == "contouring")
    assert MANIFEST.weights == named
    assert len(named) == 5


def test_the_limb_lies_inside_the_envelope(bench: Bench) -> None:
    """The phantom of these tests is a case that the plugin is for."""
    assert check(bench.case, MANIFEST) == ()


@pytest.mark.parametrize("part", [*BODY_PARTS, "LOWER EXTREMITY", "upper_limb"])
def test_a_limb_is_not_refused_for_its_name(bench: Bench, part: str) -> None:
    """Every standard term of limb, girdle and pelvis is let in, however it is written."""
    assert check(replace(bench.case, body_part=part), MANIFEST) == ()


@pytest.mark.parametrize("part", ["BRAIN", "HEADNECK", "CHEST", "ABDOMEN", "LSPINE", "PROSTATE"])
def test_another_part_of_the_body_is_refused(bench: Bench, part: str) -> None:
    """What the network never saw stays outside."""
    (reason,) = check(replace(bench.case, body_part=part), MANIFEST)
    assert reason.startswith("BODY_PART")


def test_the_terms_are_those_of_the_standard() -> None:
    """Terms are of PS3.16 Annex L, but for six that scanners write all the same."""
    path = Path(__file__).parents[2] / "adapters" / "rt" / "anatomic_regions.json"
    standard = set(json.loads(path.read_text("utf-8")).values())
    assert len(set(BODY_PARTS)) == len(BODY_PARTS)
    assert set(BODY_PARTS) - standard == {
        *("LOWEREXTREMITY", "UPPEREXTREMITY", "LEG", "ARM", "GROIN", "GLUTEUS"),
    }  # fmt: skip


def test_volume_and_diameter_are_those_of_the_tumour(prediction: Prediction) -> None:
    """The known ellipsoid is found: volume within 15 %, diameter within two slices."""
    (finding,) = prediction.findings
    assert isinstance(finding, Segmentation)
    assert (finding.name, finding.interpreted_type) == ("GTVp", "GTV")
    values = {item.code: item for item in finding.measurements}
    truth_ml = 4 / 3 * np.pi * float(np.prod(SEMI_AXES_MM)) / 1000
    assert values[VOLUME].value == pytest.approx(truth_ml, rel=0.15)
    assert values[DIAMETER].value == pytest.approx(2 * SEMI_AXES_MM.max(), abs=6.0)
    assert (values[VOLUME].unit, values[DIAMETER].unit) == ("ml", "mm")
    counted = finding.mask.sum() * finding.geometry.voxel_volume_ml()
    assert values[VOLUME].value == pytest.approx(counted, rel=1e-9)
    low, high = values[VOLUME].interval or (0.0, 0.0)
    assert low < values[VOLUME].value < high


def test_the_uncertainty_map_is_widest_at_the_border(prediction: Prediction) -> None:
    """The map lies on the CT, between 0 and 1, and is low in the middle of the tumour."""
    uncertainty = prediction.uncertainty
    assert uncertainty.voxels is not None
    assert uncertainty.geometry is not None
    assert uncertainty.voxels.dtype == np.float32
    assert 0.0 <= uncertainty.voxels.min() <= uncertainty.voxels.max() <= 1.0
    centre = uncertainty.geometry.to_index(CENTRE_MM).round().astype(int)
    assert uncertainty.voxels[tuple(centre)] < 0.2 < uncertainty.voxels.max()
    assert not uncertainty.abstain


def test_the_same_case_gives_the_same_answer(bench: Bench, prediction: Prediction) -> None:
    """Inference is deterministic: a replay can compare digests."""
    again = bench.plugin.predict(bench.case, ALL)
    assert np.array_equal(mask_of(again), mask_of(prediction))
    assert again.uncertainty.score == prediction.uncertainty.score
    assert again.statistics == prediction.statistics


def test_without_a_tumour_it_abstains_and_explains_nothing(bench: Bench) -> None:
    """An even limb has no contour: the answer says so instead of outlining something."""
    even = sampled(bench.case.images["pet"].geometry, lambda points: points[..., 0] * 0 + 1, "PT")
    empty = replace(bench.case, images={**bench.case.images, "pet": even})
    answer = bench.plugin.predict(empty, ALL)
    assert answer.findings == ()
    assert answer.uncertainty.abstain
    assert answer.uncertainty.reasons == ("NO_TUMOUR_FOUND",)
    assert bench.plugin.explain(empty, answer).contributions == ()


def test_a_contour_that_is_not_to_be_trusted_is_marked(bench: Bench) -> None:
    """Below the calibrated limit the plugin abstains, with the figure and the limit."""
    strict = Contouring()
    strict.prepare(bench.plugin.ensemble, calibration(abstain_below=0.999))
    answer = strict.predict(bench.case, ALL)
    assert answer.uncertainty.abstain
    assert answer.uncertainty.reasons[0].endswith("withheld below 1.00")
    assert answer.uncertainty.reasons[0].startswith("PREDICTED_DSC 0.")


def two_lesions() -> tuple[Volume, Volume]:
    """Return a CT larger than the trained field, and a PET with a bladder and a tumour."""
    centre = CENTRE_MM + np.array([0.0, 0.0, 120.0])
    ct_grid = grid((170, 60, 60), (3.0, 2.5, 2.5), centre_mm=centre)
    pet_grid = grid((160, 34, 34), (3.3, 4.5, 4.5), centre_mm=centre)
    first = limb_case(ct_grid, pet_grid)
    places = np.stack(np.meshgrid(*(np.arange(n) for n in pet_grid.shape), indexing="ij"), -1)
    points = pet_grid.to_patient(places.astype(np.float64))
    bladder = np.linalg.norm(points - CENTRE_MM - np.array([0, 0, 280]), axis=-1) < 35
    pet = first.images["pet"]
    pet.array[bladder] = 30.0
    return first.images["ct"], pet


def test_a_large_field_of_view_needs_a_seed_point(bench: Bench) -> None:
    """Without a seed point a whole leg is refused; with one, the seeded lesion is outlined."""
    ct, pet = two_lesions()
    case = replace(bench.case, images={"ct": ct, "pet": pet})
    assert any(reason.startswith("SEED_REQUIRED") for reason in check(case, MANIFEST))
    with pytest.raises(RefusalError):
        bench.plugin.predict(case, ALL)
    x, y, z = (float(value) for value in CENTRE_MM)
    seeded = replace(case, seed_point_mm=(x, y, z))
    assert check(seeded, MANIFEST) == ()
    answer = bench.plugin.predict(seeded, ALL)
    mask = mask_of(answer)
    assert mask.shape == ct.array.shape
    centroid = ct.geometry.to_patient(np.argwhere(mask).astype(np.float64)).mean(axis=0)
    assert np.abs(centroid - CENTRE_MM).max() < 3.0


def test_a_pet_of_another_frame_of_reference_is_not_used(bench: Bench) -> None:
    """A PET that lies elsewhere is left out: the answer is that of the CT alone."""
    elsewhere = grid((50, 34, 34), (3.3, 4.1, 4.1), frame="1.2.10")
    case = limb_case(pet_grid=elsewhere)
    alone = replace(case, images={"ct": case.images["ct"]})
    one, other = (bench.plugin.predict(item, ALL) for item in (case, alone))
    assert one.findings == other.findings == ()


def test_members_can_be_chosen_by_name(bench: Bench, prediction: Prediction) -> None:
    """A held-out run uses only members that never saw the patient; a wrong name is told."""
    one = bench.plugin.predict(bench.case, {"members": "fold-3"})
    assert mask_of(one).sum() < mask_of(prediction).sum()
    both = bench.plugin.predict(bench.case, {"members": "fold-0, fold-3"})
    assert np.array_equal(mask_of(both), mask_of(prediction))
    with pytest.raises(ConfigurationError, match="fold-7"):
        bench.plugin.predict(bench.case, {"members": "fold-7"})


def test_statistics_are_numbers_of_the_case(prediction: Prediction) -> None:
    """Monitoring gets an embedding, intensities and geometry, and no voxel."""
    statistics = prediction.statistics
    assert 0 < len(statistics.embedding) <= EMBEDDING_LIMIT
    assert statistics.intensity["ct_hu_p50"] == pytest.approx(50.0, abs=1.0)
    assert statistics.intensity["pet_suv_max"] == pytest.approx(8.0)
    assert statistics.geometry["slice_spacing_mm"] == 3.0
    assert statistics.geometry["pet_given"] == 1.0
    assert statistics.geometry["contour_volume_ml"] > 50
    assert statistics.quality_flags == ()
    json.dumps([dict(statistics.acquisition), dict(statistics.intensity), statistics.embedding])
