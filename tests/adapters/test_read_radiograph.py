"""Projection images become typed values: brightness, spacing with its meaning, views."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence as Items

from adapters.rt.read_case import read_case
from adapters.rt.read_folder import scan_folder
from adapters.rt.read_radiograph import read_radiographs
from audit.errors import MixedSeriesError, SuiteError
from plugins.host import envelope, wire
from plugins.host.case import Case
from plugins.host.facts import StudyFacts
from plugins.host.identity import case_digest
from plugins.host.manifest import Envelope, Input, Manifest, Rule
from plugins.host.ports import RunRequest
from plugins.host.routing import decide
from tests.simulators import dicom_objects as objects

DATA = Path(
    os.environ.get("OSTEON_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
VALUES = np.arange(480, dtype=float).reshape(24, 20)
MANIFEST = Manifest(
    plugin="films",
    version="1.0.0",
    title="t",
    intended_purpose="p",
    evidence="simulated",
    inputs=(Input("film", "CR"), Input("ct", "CT", required=False)),
    outputs=(),
    routing=(Rule("BodyPartExamined", "equals", "LEG", "film"),),
)


def _one(**attributes: object):
    images, _ = read_radiographs([objects.encode(objects.radiograph(**attributes))], "CR")
    return images[0]


def test_a_real_radiograph_is_bright_where_more_was_absorbed() -> None:
    """The CR of the NEMA samples: turned within ten bits, lossy, without a spacing."""
    path = DATA / "radiograph" / "RG3_J2KI.dcm"
    if not path.exists():
        pytest.skip("test data radiograph are not here (OSTEON_TEST_DATA)")
    (image,), series = read_radiographs([path], "CR")
    np.testing.assert_array_equal(image.array, 1023.0 - dcmread(path).pixel_array)
    assert (image.spacing_mm, image.spacing_meaning) == (None, "unknown")
    assert (image.view_position, image.laterality) == ("AP", "R")
    assert image.patient_orientation == ("R", "F")
    assert image.acquisition["body_part"] == "EXTREMITY"
    assert {"MONOCHROME1_TURNED", "LOSSY_COMPRESSED", "SPACING_NOT_STATED"} == set(image.notes)
    assert series.first.SOPInstanceUID == image.sop_instance_uid


def test_monochrome1_is_turned_and_monochrome2_is_not() -> None:
    """PS3.3 C.7.6.3.1.2: larger is brighter in both, within the bits stored."""
    np.testing.assert_array_equal(_one().array, 4095 - VALUES)
    plain = _one(PhotometricInterpretation="MONOCHROME2")
    np.testing.assert_array_equal(plain.array, VALUES)
    scaled = _one(RescaleSlope="2", RescaleIntercept="-10")
    np.testing.assert_array_equal(scaled.array, (4095 - VALUES) * 2 - 10)


@pytest.mark.parametrize(
    ("attributes", "spacing", "meaning"),
    [
        ({}, (0.2, 0.1), "detector"),
        ({"PixelSpacing": ["0.2", "0.1"]}, (0.2, 0.1), "detector"),
        ({"PixelSpacing": ["0.18", "0.09"]}, (0.18, 0.09), "calibrated"),
        (
            {"PixelSpacing": ["0.18", "0.09"], "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.18, 0.09),
            "fiducial",
        ),
        (
            {"PixelSpacing": ["0.18", "0.09"], "PixelSpacingCalibrationType": "GEOMETRY"},
            (0.18, 0.09),
            "geometry",
        ),
        ({"PixelSpacing": ["0.18", "0.09"], "ImagerPixelSpacing": None}, (0.18, 0.09), "unknown"),
        ({"ImagerPixelSpacing": None}, None, "unknown"),
    ],
)
def test_a_spacing_says_where_it_holds(
    attributes: dict[str, object], spacing: object, meaning: str
) -> None:
    """PS3.3 10.7: at the detector, or calibrated to the patient, and by what."""
    image = _one(**attributes)
    assert (image.spacing_mm, image.spacing_meaning) == (spacing, meaning)


def test_views_of_one_series_come_in_their_order() -> None:
    """A series holds views of different size; a second copy of one is dropped."""
    lateral = objects.radiograph(number=2, shape=(30, 40), ViewPosition="LATERAL")
    files = [objects.encode(lateral), objects.encode(objects.radiograph())]
    images, series = read_radiographs([*files, files[0]], "CR")
    assert [image.view_position for image in images] == ["AP", "LATERAL"]
    assert [image.array.shape for image in images] == [(24, 20), (30, 40)]
    assert [item.InstanceNumber for item in series.datasets] == [1, 2]


@pytest.mark.parametrize("modality", ["CR", "DX"])
def test_no_frame_of_reference_is_needed(modality: str) -> None:
    """A projection has no place in the patient."""
    dataset = objects.radiograph(modality)
    del dataset.FrameOfReferenceUID
    (image,), _ = read_radiographs([objects.encode(dataset)], modality)
    assert image.modality == modality


def _cut() -> bytes:
    return objects.encode(objects.radiograph())[:-30]


def _with(**attributes: object) -> bytes:
    return objects.encode(objects.radiograph(**attributes))


def _colour() -> bytes:
    dataset = objects.radiograph()
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    return objects.encode(dataset)


def _frames() -> bytes:
    dataset = objects.radiograph()
    dataset.NumberOfFrames, dataset.PixelData = 2, dataset.PixelData * 2
    return objects.encode(dataset)


def _without(keyword: str) -> bytes:
    dataset = objects.radiograph()
    delattr(dataset, keyword)
    return objects.encode(dataset)


WRONG = {
    "spacing of zero": (lambda: _with(ImagerPixelSpacing=["0", "0.1"]), "INPUT_GEOMETRY"),
    "spacing of a hand": (lambda: _with(PixelSpacing=["80", "80"]), "INPUT_GEOMETRY"),
    "spacing not a number": (lambda: _with(PixelSpacing=["nan", "1"]), "INPUT_GEOMETRY"),
    "one spacing only": (lambda: _with(PixelSpacing=["0.1"]), "INPUT_MISSING_ATTRIBUTE"),
    "several frames": (_frames, "INPUT_GEOMETRY"),
    "a thumbnail": (lambda: _with(shape=(8, 8)), "INPUT_GEOMETRY"),
    "colour": (_colour, "INPUT_MODALITY"),
    "cut off": (_cut, "INPUT_TRUNCATED"),
    "no pixels": (lambda: _without("PixelData"), "INPUT_TRUNCATED"),
    "no rows": (lambda: _without("Rows"), "INPUT_MISSING_ATTRIBUTE"),
    "no UID": (lambda: _without("SOPInstanceUID"), "INPUT_MISSING_ATTRIBUTE"),
    "a table": (lambda: _with(ModalityLUTSequence=Items([Dataset()])), "INPUT_UNITS"),
    "slope of zero": (lambda: _with(RescaleSlope="0"), "INPUT_UNITS"),
    "a CT": (lambda: objects.encode(objects.image_series()[0]), "INPUT_MODALITY"),
    "text": (lambda: b"Dear colleague, Zzyzx Quillfeather " * 20, "INPUT_NOT_DICOM"),
    "2 GB": (lambda: _with(Rows=40000, Columns=40000), "INPUT_TOO_LARGE"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_absurd_radiograph_is_refused_by_its_own_error(name: str) -> None:
    """The code names what is wrong, and no message holds patient data."""
    build, code = WRONG[name]
    with pytest.raises(SuiteError) as caught:
        read_radiographs([build()], "CR")
    assert caught.value.code == code
    assert not [word for word in objects.PATIENT_WORDS if word in str(caught.value)]


def test_two_objects_under_one_uid_are_refused() -> None:
    """Which of two different radiographs is meant cannot be known."""
    other = objects.radiograph()
    other.PixelData = bytes(len(other.PixelData))
    with pytest.raises(SuiteError, match="two that differ"):
        read_radiographs([_with(), objects.encode(other)], "CR")


def _study(folder: Path, *datasets: Dataset) -> tuple[StudyFacts, dict[str, list[Path]]]:
    for number, dataset in enumerate(datasets):
        (folder / str(number)).write_bytes(objects.encode(dataset))
    scan = scan_folder(folder)
    return scan.studies[0], {uid: list(paths) for uid, paths in scan.files.items()}


def _case(folder: Path, *datasets: Dataset, manifest: Manifest = MANIFEST) -> Case:
    study, files = _study(folder, *datasets)
    decision = decide(study, "sha256:00", manifest)
    assert decision.applies, decision.reasons
    request = RunRequest(
        run_id="a" * 32,
        study_instance_uid=study.study_instance_uid,
        plugin=manifest.plugin,
        plugin_version="1.0.0",
        release_digest="sha256:00",
        mode="research",
        series=decision.series,
        sop_instance_uids=decision.sop_instance_uids,
        opened_at=objects.NOON,
    )
    chosen = {uid: files[uid] for uid in decision.series.values()}
    return read_case(request, manifest, chosen).case


def test_a_plugin_gets_the_radiographs_that_it_declares(tmp_path: Path) -> None:
    """Routed by modality and body part, read, inside the envelope, across the border whole."""
    case = _case(tmp_path, objects.radiograph(), objects.radiograph(number=2))
    assert [image.view_position for image in case.radiographs["film"]] == ["AP", "AP"]
    assert len(case.sop_instance_uids()) == 2
    assert "film:MONOCHROME1_TURNED" in case.notes
    assert envelope.check(case, MANIFEST) == ()
    message = wire.encode(case, Case)
    again = wire.decode(message.header, message.block(), Case)
    assert case_digest(again) == case_digest(case)


def test_a_pixel_of_a_radiograph_counts_in_the_digest_of_the_input(tmp_path: Path) -> None:
    """The same run with another picture is found out."""
    case = _case(tmp_path, objects.radiograph())
    (image,) = case.radiographs["film"]
    changed = image.array.copy()
    changed[3, 4] += 1
    other = replace(case, radiographs={"film": (replace(image, array=changed),)})
    assert case_digest(other) != case_digest(case)


def test_the_envelope_judges_radiographs(tmp_path: Path) -> None:
    """A spacing that is out of range or unknown, an empty picture, and a missing one."""
    case = _case(tmp_path, objects.radiograph())
    narrow = replace(MANIFEST, envelope=Envelope(in_plane_mm=(0.15, 0.3)))
    assert envelope.check(case, narrow) == ("IN_PLANE_SPACING 0.1 mm, allowed 0.15 to 0.3 mm",)
    (image,) = case.radiographs["film"]
    unknown = replace(case, radiographs={"film": (replace(image, spacing_mm=None),)})
    assert envelope.check(unknown, narrow) == ("SPACING_UNKNOWN film states none",)
    assert envelope.check(unknown, MANIFEST) == ()
    flat = replace(case, radiographs={"film": (replace(image, array=image.array * 0),)})
    assert envelope.check(flat, MANIFEST) == ("FLAT_IMAGE film has one value",)
    nothing = replace(case, radiographs={})
    assert envelope.check(nothing, MANIFEST) == ("MISSING_INPUT film",)


def test_a_radiograph_shares_no_frame_of_reference(tmp_path: Path) -> None:
    """A manifest that asks for one is answered clearly, not with a picture out of place."""
    inputs = (Input("ct", "CT"), Input("film", "CR", same_frame_as="ct"))
    manifest = replace(MANIFEST, inputs=inputs, routing=())
    ct = objects.image_series("CT", series="ct")
    with pytest.raises(MixedSeriesError, match="film"):
        _case(tmp_path, *ct, objects.radiograph(), manifest=manifest)
