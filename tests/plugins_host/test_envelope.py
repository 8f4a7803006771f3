"""What lies outside the intended purpose is refused, with a reason that may be recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plugins.host.case import Case, Subject
from plugins.host.envelope import (
    check,
    check_seed,
    extent_mm,
    oblique_deg,
    quality_flags,
    stratum_facts,
    with_fault,
)
from plugins.host.images import Contour, Geometry, Plan, RegionOfInterest, StructureSet, Volume
from plugins.host.manifest import Envelope, Input, Manifest, decode, encode
from plugins.host.prescription import PrescribedTarget, Prescription

AXIAL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
SHAPE = (40, 60, 60)
SPACING = (3.0, 2.0, 2.0)

MANIFEST = Manifest(
    *("contouring", "0.1.0", "Contouring", "Test the envelope", "real"),
    inputs=(
        Input("ct", "CT"),
        Input("pet", "PT", required=False, same_frame_as="ct"),
    ),
    outputs=(),
    envelope=Envelope(
        body_parts=("LEG", "LOWER LEG", "PELVIS"),
        age_years=(10.0, 120.0),
        slice_spacing_mm=(1.0, 6.0),
        in_plane_mm=(0.4, 2.5),
        frames=(16, 500),
        kernels_refused=("B70f", "BONEPLUS"),
        quality_flags_refused=("metal",),
        trained_field_mm=(300.0, 200.0, 200.0),
        oblique_deg=10.0,
    ),
)


def volume(
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = SPACING,
    axes: tuple[tuple[float, float, float], ...] = AXIAL,
    modality: str = "CT",
    frame: str = "1.9",
    **acquisition: str | float,
) -> Volume:
    """Return a limb of muscle in air."""
    array = np.full(shape, -1000.0, dtype=np.float32)
    array[:, 5:-5, 5:-5] = 50.0
    geometry = Geometry(shape, spacing, (-60.0, -60.0, 0.0), (axes[0], axes[1], axes[2]), frame)
    return Volume(array, geometry, modality, "1", "1.2", "1.2.3", "1.2", ("1.2.3.4",), acquisition)


def case(ct: Volume | None = None, **changes: object) -> Case:
    """Return an accepted case, changed in the given fields."""
    base = Case("1.2", Subject(40.0), {"ct": ct or volume()}, body_part="LEG")
    return replace(base, **changes)  # type: ignore[arg-type]


def edited(edit: Callable[[np.ndarray], None], **kind: object) -> Case:
    """Return a case whose voxels were edited."""
    ct = volume(**kind)  # type: ignore[arg-type]
    edit(ct.array)
    return case(ct)


def turned(angle_deg: float, axis: int) -> tuple[tuple[float, float, float], ...]:
    """Return axial axes rotated about patient axis x (0), y (1) or z (2)."""
    angle = np.deg2rad(angle_deg)
    matrix = np.eye(3)
    first, second = [other for other in range(3) if other != axis]
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return tuple(tuple(float(v) for v in matrix @ np.asarray(row)) for row in AXIAL)


def metal(array: np.ndarray) -> None:
    """Put a prosthesis of 2 ml into the limb."""
    array[10:15, 20:26, 20:26] = 3071.0


def stored_limb(array: np.ndarray) -> None:
    """Leave the rescale intercept of -1024 out."""
    array += 1024.0


def noise(array: np.ndarray) -> None:
    """Replace the limb by noise of its mean and spread."""
    generator = np.random.default_rng(20261126)
    array[:] = generator.normal(array.mean(), array.std(), array.shape)


def put(value: float) -> Callable[[np.ndarray], None]:
    """Return an edit that sets every voxel."""
    return lambda array: array.fill(value)


def one(value: float) -> Callable[[np.ndarray], None]:
    """Return an edit that sets a single voxel of the last frame."""

    def edit(array: np.ndarray) -> None:
        array[-1, 30, 30] = value

    return edit


PET = volume(modality="PT")
OUTSIDE = {
    "no CT": (case(images={"pet": PET}), "MISSING_INPUT ct"),
    "nothing at all": (case(images={}), "MISSING_INPUT ct"),
    "MR for CT": (case(volume(modality="MR")), "MODALITY ct is MR"),
    "PET for CT": (case(volume(modality="PT")), "MODALITY ct is PT"),
    "CT for PET": (case(images={"ct": volume(), "pet": volume()}), "MODALITY pet is CT"),
    "head": (case(body_part="HEAD"), "BODY_PART HEAD"),
    "chest": (case(body_part="Chest"), "BODY_PART CHEST"),
    "abdomen": (case(body_part="ABDOMEN"), "BODY_PART ABDOMEN"),
    "left chest": (case(body_part="LEFT CHEST"), "BODY_PART CHEST"),
    "a side and nothing else": (case(body_part="LEFT"), "BODY_PART LEFT"),
    "infant": (case(subject=Subject(0.5)), "AGE outside 10 to 120 years"),
    "child": (case(subject=Subject(9.9)), "AGE outside"),
    "absurd age": (case(subject=Subject(999.0)), "AGE outside"),
    "slices of 7 mm": (case(volume(spacing=(7.0, 2.0, 2.0))), "SLICE_SPACING 7 mm"),
    "slices of 10 mm": (case(volume(spacing=(10.0, 2.0, 2.0))), "SLICE_SPACING 10 mm"),
    "slices of 0.5 mm": (case(volume(spacing=(0.5, 2.0, 2.0))), "SLICE_SPACING 0.5 mm"),
    "absurd spacing": (case(volume(spacing=(1000.0, 2.0, 2.0))), "SLICE_SPACING 1000 mm"),
    "wide rows": (case(volume(spacing=(3.0, 3.1, 2.0))), "IN_PLANE_SPACING 3.1 mm"),
    "wide columns": (case(volume(spacing=(3.0, 2.0, 5.0))), "IN_PLANE_SPACING 5 mm"),
    "narrow pixels": (case(volume(spacing=(3.0, 0.1, 0.1))), "IN_PLANE_SPACING 0.1 mm"),
    "one slice": (case(volume(shape=(1, 60, 60))), "FRAMES 1 frames"),
    "15 slices": (case(volume(shape=(15, 60, 60))), "FRAMES 15 frames"),
    "501 slices": (case(volume(shape=(501, 20, 20))), "FRAMES 501 frames"),
    "sharp kernel": (case(volume(convolution_kernel="B70f")), "KERNEL B70F"),
    "bone kernel": (case(volume(convolution_kernel=" boneplus ")), "KERNEL BONEPLUS"),
    "tilted about x": (case(volume(axes=turned(15, 0))), "ORIENTATION 15.0 deg"),
    "tilted about y": (case(volume(axes=turned(-30, 1))), "ORIENTATION 30.0 deg"),
    "turned about z": (case(volume(axes=turned(45, 2))), "ORIENTATION 45.0 deg"),
    "prosthesis": (edited(metal), "QUALITY metal"),
    "too tall": (case(volume(shape=(101, 60, 60))), "SEED_REQUIRED 303 x 120 x 120 mm"),
    "too wide": (case(volume(shape=(40, 60, 101))), "SEED_REQUIRED 120 x 120 x 202 mm"),
    "too deep": (case(volume(shape=(40, 120, 60))), "SEED_REQUIRED 120 x 240 x 120 mm"),
    "seed beside the limb": (case(seed_point_mm=(500.0, 0.0, 10.0)), "SEED_OUTSIDE"),
    "seed above the CT": (case(seed_point_mm=(0.0, 0.0, 900.0)), "SEED_OUTSIDE"),
    "not a number": (edited(one(np.nan)), "NOT_FINITE ct"),
    "infinite": (edited(one(np.inf)), "NOT_FINITE ct"),
    "air only": (edited(put(-1000.0)), "SOFT_TISSUE 0.00%"),
    "not rescaled to HU": (edited(put(1074.0)), "SOFT_TISSUE 0.00%"),
    "limb and air not rescaled": (edited(stored_limb), "NOT_RESCALED"),
    "noise and no anatomy": (edited(noise), "NO_STRUCTURE"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_case_outside_the_envelope_is_refused(name: str) -> None:
    """Each of these cases is refused, with the reason that applies."""
    outside, expected = OUTSIDE[name]
    reasons = check(outside, MANIFEST)
    assert any(reason.startswith(expected) for reason in reasons), reasons


def test_the_corpus_is_large_enough() -> None:
    """At least thirty out-of-scope cases are tried, of at least twelve kinds."""
    assert len(OUTSIDE) >= 30
    assert len({expected.split()[0] for _, expected in OUTSIDE.values()}) >= 12


@pytest.mark.parametrize(
    "accepted",
    [
        case(),
        case(images={"ct": volume(), "pet": PET}),
        case(body_part=None),
        case(body_part="lower_leg"),
        *(case(body_part=name) for name in ("LEFT LEG", "RT_LOWER_LEG", "Bilateral leg", "R LEG")),
        case(subject=Subject()),
        case(subject=Subject(10.0)),
        case(volume(spacing=(1.0, 2.5, 0.4))),
        case(volume(axes=turned(9, 0))),
        case(volume(axes=(AXIAL[1], AXIAL[0], AXIAL[2]))),
        case(volume(shape=(101, 60, 60)), seed_point_mm=(0.0, 0.0, 10.0)),
        case(volume(convolution_kernel="STANDARD")),
    ],
)
def test_a_case_inside_the_envelope_is_accepted(accepted: Case) -> None:
    """What is optional may be absent, bounds are inclusive, and any axis order will do."""
    assert check(accepted, MANIFEST) == ()


def test_a_reason_carries_no_fact_of_the_patient() -> None:
    """Age is refused without being told; two patients of other age give the same words."""
    found = {check(case(subject=Subject(age)), MANIFEST) for age in (3.25, 7.75)}
    assert found == {("AGE outside 10 to 120 years",)}


def test_all_reasons_are_given_at_once() -> None:
    """A person who reads a refusal learns everything that has to be put right."""
    bad = case(volume(spacing=(9.0, 2.0, 2.0)), body_part="HEAD", subject=Subject(2.0))
    codes = [reason.split()[0] for reason in check(bad, MANIFEST)]
    assert codes == ["SLICE_SPACING", "SEED_REQUIRED", "AGE", "BODY_PART"]


def test_a_required_companion_must_share_the_frame_of_reference() -> None:
    """CT and PET of different frames of reference are never mixed."""
    inputs = (MANIFEST.inputs[0], Input("pet", "PT", same_frame_as="ct"))
    images = {"ct": volume(), "pet": volume(modality="PT", frame="1.8")}
    reasons = check(case(images=images), replace(MANIFEST, inputs=inputs))
    assert reasons == ("FRAME_OF_REFERENCE pet differs from ct",)


def structure_set(*names: str) -> StructureSet:
    """Return a structure set with one contour for each name, none for names with a dash."""
    contour = Contour(np.zeros((3, 3)))
    rois = tuple(
        RegionOfInterest(number, name, "ORGAN", () if "-" in name else (contour,))
        for number, name in enumerate(names, 1)
    )
    return StructureSet("1.2", "1.2.5", "1.2.5.1", "1.9", (), "APPROVED", rois)


@pytest.mark.parametrize(
    ("names", "missing"),
    [(("PTV", "Bladder"), ()), (("ptv ",), ("Bladder",)), (("PTV", "Bladder-"), ("Bladder",))],
)
def test_required_structures_must_be_there_and_drawn(
    names: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    """A structure is found whatever its case, and an empty one does not count."""
    manifest = replace(MANIFEST, envelope=Envelope(required_structures=("PTV", "Bladder")))
    reasons = check(case(structure_sets={"rs": structure_set(*names)}), manifest)
    assert reasons == tuple(f"MISSING_STRUCTURE {name}" for name in missing)


def test_quality_flags_tell_what_is_remarkable() -> None:
    """Metal, truncation, unknown age and body part and conflicting facts are flagged."""
    assert quality_flags(case()) == ()
    assert quality_flags(edited(metal)) == ("metal",)
    assert quality_flags(edited(put(50.0))) == ("truncated",)
    unknown = case(subject=Subject(conflicts=("sex",)), body_part=None)
    assert quality_flags(unknown) == ("age_unknown", "body_part_unknown", "conflict_sex")


def test_a_marker_clip_is_no_metal() -> None:
    """Less than half a millilitre above 3,000 HU does not refuse a case."""

    def clip(array: np.ndarray) -> None:
        array[10, 20:25, 20:25] = 3071.0  # 25 voxels of 12 mm3 are 0.3 ml

    assert check(edited(clip), MANIFEST) == ()


def test_extent_follows_the_patient_not_the_axis_order() -> None:
    """A sagittal grid of the same box has the same extent along z, y and x."""
    axial = volume(shape=(10, 20, 40), spacing=(3.0, 2.0, 1.0)).geometry
    sagittal = volume(
        shape=(40, 10, 20), spacing=(1.0, 3.0, 2.0), axes=(AXIAL[2], AXIAL[0], AXIAL[1])
    ).geometry
    assert extent_mm(axial) == pytest.approx((30.0, 40.0, 40.0))
    assert extent_mm(sagittal) == pytest.approx((30.0, 40.0, 40.0))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_obliquity_is_the_angle_to_the_nearest_axis(axis: int) -> None:
    """A grid turned by 7 degrees about any axis is 7 degrees oblique."""
    assert oblique_deg(volume(axes=turned(7, axis)).geometry) == pytest.approx(7.0, abs=1e-6)
    assert oblique_deg(volume(axes=turned(90, axis)).geometry) == pytest.approx(0.0, abs=1e-6)


def test_a_seed_of_another_frame_of_reference_is_refused() -> None:
    """A point counts in the frame of the image only; one marked on the image itself does."""
    here = case().images["ct"].geometry.frame_of_reference_uid
    assert check_seed(case(), MANIFEST, None) == ()
    assert check_seed(case(), MANIFEST, here) == ()
    (reason,) = check_seed(case(), MANIFEST, "1.2.3.999")
    assert reason.startswith("SEED_FRAME_OF_REFERENCE")
    assert "1.2.3.999" not in reason


ASKS = replace(MANIFEST, envelope=replace(MANIFEST.envelope, prescription_required=True))
STATED = Prescription((PrescribedTarget(70.0, "PTV_7000"),), "protocol", "site")


def plan(*target_doses: tuple[int, float]) -> Plan:
    """Return a plan that prescribes to these regions."""
    return Plan("1.2", "1.2.8", "1.2.9", "1.2", "", 35, (), None, (), target_doses=target_doses)


def test_a_release_that_asks_refuses_without_a_prescription() -> None:
    """A prescription of the case or doses of its plan will do; others ask for none."""
    assert check(case(), ASKS) == ("PRESCRIPTION_REQUIRED",)
    assert check(case(plans={"plan": plan()}), ASKS) == ("PRESCRIPTION_REQUIRED",)
    assert check(case(plans={"plan": plan((1, 70.0))}), ASKS) == ()
    assert check(case(prescription=STATED), ASKS) == ()
    assert check(case(), MANIFEST) == ()


def test_a_fault_says_more_than_that_nothing_is_there() -> None:
    """It stands in place of the missing prescription, beside every other reason."""
    fault = "PRESCRIPTION_CONTRADICTION plan and service_request"
    assert with_fault(("AGE", "PRESCRIPTION_REQUIRED"), fault) == ("AGE", fault)
    assert with_fault((), fault) == (fault,)
    assert with_fault(("AGE",), "") == ("AGE",)


def test_a_manifest_says_that_it_asks_only_where_it_does() -> None:
    """Manifests of before are written as they were, so that their digests stay what they are."""
    assert "prescription_required" not in encode(MANIFEST)["envelope"]
    assert encode(ASKS)["envelope"]["prescription_required"] is True
    assert decode(encode(MANIFEST)) == MANIFEST
    assert decode(encode(ASKS)) == ASKS


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("plugins/*/releases/*")))
def test_published_manifests_are_read_and_written_as_they_are(path: Path) -> None:
    """Every key that a published manifest has comes back with its value; none is added."""
    document = json.loads((path / "manifest.json").read_text("utf-8"))
    written = json.loads(json.dumps(encode(decode(document))))
    assert written == {key: document[key] for key in written}


def test_a_role_that_is_filled_twice_counts_once_for_the_strata() -> None:
    """Strata name the roles of the manifest; how many plans there are is no role."""
    wanted = Input("plan", "RTPLAN", required=False, every=True)
    asks = replace(MANIFEST, inputs=(*MANIFEST.inputs, wanted))
    found = case(plans={"plan": plan(), "plan-2": plan()})
    assert stratum_facts(found, asks).inputs == ("ct", "plan")
    assert decode(encode(asks)) == asks
    assert all("every" not in item for item in encode(MANIFEST)["inputs"])
