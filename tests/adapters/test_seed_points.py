"""Seed points in reports, structure sets and Observations: found where meant, nowhere else."""

from __future__ import annotations

import copy
import io
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.fhir.client import FhirClient
from adapters.seeds.in_dicom import is_seed_name, seeds_in
from adapters.seeds.in_fhir import search_seeds, seeds_of
from adapters.seeds.points import (
    OTHER_STUDY,
    SHAPE,
    UNITS,
    Seed,
    Unusable,
    distinct,
    parse_point,
    with_seed,
)
from audit.errors import ConfigurationError
from tests.simulators.example_site import small_phantom
from tests.simulators.seed_objects import (
    NONE,
    ct_headers,
    point_report,
    point_structures,
    seed_observation,
)

NAMES = ("SEED", "*_SEED", "SEED_*")
POINT = (12.5, -7.25, 40.0)
STUDY, FILES = small_phantom()
IMAGES = ct_headers(FILES)
FRAME = str(IMAGES[0].FrameOfReferenceUID)
OBSERVATION = seed_observation(STUDY, POINT, FRAME) | {"id": "17"}


def where(seeds: tuple[Seed, ...]) -> list[tuple[tuple[float, float, float], str, str]]:
    """Return point, frame and source of each seed."""
    return [(item.point_mm, item.frame_of_reference_uid, item.source) for item in seeds]


@pytest.mark.parametrize("by_finding", [False, True])
def test_a_named_point_of_a_report_is_a_seed(by_finding: bool) -> None:
    """Name in tracking identifier or finding; patient coordinates of the stated frame."""
    data = point_report(IMAGES, [POINT], name="GTVp_seed", by_finding=by_finding)
    (seed,) = seeds_in(data, NAMES, STUDY)
    assert where((seed,)) == [(POINT, FRAME, "sr")]
    assert seed.given_by == "Marker^Anna"
    assert seed.object_id == pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID


def test_a_named_point_of_a_structure_set_is_a_seed() -> None:
    """An ROI with a seed's name and a POINT contour gives that point."""
    (seed,) = seeds_in(point_structures(IMAGES, [POINT]), NAMES, STUDY)
    assert where((seed,)) == [(POINT, FRAME, "rtstruct")]
    assert seed.given_by == "Marker^Anna"


@pytest.mark.parametrize(
    "data",
    [
        point_report(IMAGES, [POINT], name="Bladder neck"),
        point_structures(IMAGES, [POINT], name="ISOCENTER"),
        FILES[0],
        b"",
        b"not DICOM",
    ],
    ids=["other name", "isocenter", "image", "empty", "text"],
)
def test_what_has_no_seeds_name_is_no_seed(data: bytes) -> None:
    """Another point, an image or no DICOM at all is not taken for a seed."""
    assert seeds_in(data, NAMES, STUDY) == ()


@pytest.mark.parametrize(
    ("data", "study", "reason"),
    [
        (point_report(IMAGES, [POINT], graphic_type="MULTIPOINT"), STUDY, SHAPE),
        (point_report(IMAGES, [POINT], frame=NONE), STUDY, SHAPE),
        (point_structures(IMAGES, [POINT], kind="CLOSED_PLANAR"), STUDY, SHAPE),
        (point_structures(IMAGES, [POINT], frame=NONE), STUDY, SHAPE),
        (point_report(IMAGES, [POINT]), "1.2.3", OTHER_STUDY),
        (point_structures(IMAGES, [POINT]), "1.2.3", OTHER_STUDY),
    ],
    ids=[
        *("several in one", "report without frame", "outline", "structures without frame"),
        *("report of another study", "structures of another study"),
    ],
)
def test_a_named_point_that_cannot_be_used_says_why(data: bytes, study: str, reason: str) -> None:
    """What has a seed's name was meant: it is not passed over in silence."""
    name = str(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID)
    assert seeds_in(data, NAMES, study) == (Unusable(name, reason),)


def test_several_points_are_all_found() -> None:
    """Nothing is chosen here: every point is returned, and they stay several."""
    other = (80.0, 0.0, 0.0)
    report = seeds_in(point_report(IMAGES, [POINT, other]), NAMES, STUDY)
    structures = seeds_in(point_structures(IMAGES, [POINT, other]), NAMES, STUDY)
    assert len(report) == len(structures) == 2
    assert len(distinct([*report, *structures])) == 2


@pytest.mark.parametrize("keep", [200, 400, 900, 2000])
def test_a_damaged_object_holds_no_seed(keep: int) -> None:
    """A report that ends early gives nothing and raises nothing."""
    seeds_in(point_report(IMAGES, [POINT])[:keep], NAMES, STUDY)
    seeds_in(point_structures(IMAGES, [POINT])[:keep], NAMES, STUDY)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 2000))
def test_hostile_bytes_raise_nothing(noise: bytes, place: int) -> None:
    """Whatever lies in the archive, looking for a seed never fails."""
    whole = bytearray(STRUCTURES)
    place = place % len(whole)
    whole[place : place + len(noise)] = noise
    seeds_in(bytes(whole), NAMES, STUDY)


STRUCTURES = point_structures(IMAGES, [POINT])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *[("SEED", True), (" seed ", True), ("GTVp_seed", True), ("seed_1", True)],
        *[("GTVp", False), ("seeds of doubt", False), ("", False)],
    ],
)
def test_names_of_seeds(name: str, wanted: bool) -> None:
    """Case and padding do not matter; a part of a word does not make a seed."""
    assert is_seed_name(name, NAMES) is wanted


def test_marks_of_one_point_are_one() -> None:
    """Two objects that carry the same mark, to a fraction of a voxel, are one seed."""
    near = Seed((12.9, -7.25, 40.3), FRAME, "rtstruct", "2")
    far = Seed((14.5, -7.25, 40.0), FRAME, "sr", "3")
    here = Seed(POINT, FRAME, "sr", "1")
    assert distinct([near, here]) == (here,)
    assert distinct([far, near, here]) == (here, far)


def test_points_are_parsed_and_name_the_run() -> None:
    """x,y,z in millimetres; anything else is refused."""
    assert parse_point("1.5,-2,3e1") == (1.5, -2.0, 30.0)
    assert parse_point("") is None
    assert with_seed({"a": 1.0}, (1.234, 5.0, 6.0)) == {"a": 1.0, "seed_point": "1.23,5.00,6.00"}
    for text in ("1,2", "a,b,c", "nan,1,2", "1,2,inf"):
        with pytest.raises(ConfigurationError):
            parse_point(text)


def test_an_observation_of_the_documented_shape_is_a_seed() -> None:
    """Position, frame and who gave it come from the resource."""
    (seed,) = seeds_of([OBSERVATION], STUDY)
    assert seed == Seed(POINT, FRAME, "fhir", "Observation/17", "Practitioner/4")


def _without(index: int) -> list[dict[str, Any]]:
    parts = OBSERVATION["component"]
    return parts[:index] + parts[index + 1 :]


def _with_value(**changes: Any) -> list[dict[str, Any]]:
    parts = copy.deepcopy(OBSERVATION["component"])
    parts[0]["valueQuantity"] |= changes
    return parts


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"component": _without(0)}, SHAPE),
        ({"component": _without(3)}, SHAPE),
        ({"component": OBSERVATION["component"] * 2}, SHAPE),
        ({"component": "x"}, SHAPE),
        ({"component": _with_value(code="cm")}, UNITS),
        ({"component": _with_value(system="urn:other")}, UNITS),
        ({"component": _with_value(value="12")}, SHAPE),
        ({"component": _with_value(value=True)}, SHAPE),
        ({"component": _with_value(value=float("inf"))}, SHAPE),
        (
            {"derivedFrom": [{"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.9"}}]},
            OTHER_STUDY,
        ),
    ],
)
def test_an_observation_of_another_shape_says_why(changes: dict[str, Any], reason: str) -> None:
    """A seed that somebody meant and that cannot be used has a stable reason."""
    (found,) = seeds_of([OBSERVATION | changes], STUDY)
    assert found == Unusable("Observation/17", reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "entered-in-error"},
        {"status": "cancelled"},
        {"status": "registered"},
        {"identifier": [{"system": "urn:osteon:seed", "value": "urn:oid:1.2.3"}]},
        {"identifier": None},
        {"code": {"coding": [{"system": "http://loinc.org", "code": "18748-4"}]}},
        {"code": None},
    ],
)
def test_another_observation_is_none_of_ours(changes: dict[str, Any]) -> None:
    """A withdrawn one, another study's or another kind of Observation is passed over."""
    assert list(seeds_of([OBSERVATION | changes], STUDY)) == []


@pytest.mark.server
def test_a_seed_is_found_on_a_server_that_we_did_not_write(fhir: Any) -> None:
    """The documented resource is valid R4 and found by its identifier alone."""
    for study in (STUDY, "1.2.3.4"):
        resource = {
            key: value
            for key, value in seed_observation(study, POINT, FRAME).items()
            if key != "id"
        }
        fhir.post("Observation", resource)
    with FhirClient(fhir.url) as client:
        (seed,) = search_seeds(client, STUDY)
        assert isinstance(seed, Seed)
        assert (seed.point_mm, seed.frame_of_reference_uid) == (POINT, FRAME)
        assert search_seeds(client, "1.2.3") == ()
