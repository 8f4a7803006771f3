"""The RT Structure Set comes back as the mask that it was made from, in every reader."""

import io

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adapters.rt.equipment import encode
from adapters.rt.raster import mask_from_contours
from adapters.rt.read_structures import read_structures
from adapters.rt.sources import SourceSeries
from adapters.rt.write_contours import enclosed_area
from adapters.rt.write_structure_set import write_structure_set
from tests.simulators.dicom_validators import dciodvfy_errors, dsc, plastimatch_mask
from tests.simulators.limb_case import (
    SMALL,
    context_for,
    headers_for,
    limb_run,
    oblique,
    segmentation_of,
)
from validation.phantoms.limb import limb

MASKS = arrays(np.bool_, (3, 9, 8), elements=st.booleans())


def written(mask, geometry):
    """Return the structure set of a mask as bytes."""
    source = headers_for(geometry)
    dataset = write_structure_set(context_for(source), source, [segmentation_of(mask, geometry)])
    return encode(dataset)


@settings(max_examples=60, deadline=None)
@given(MASKS, st.sampled_from([0.0, 7.0, 20.0, -33.0]))
def test_the_mask_comes_back_on_any_grid(mask, tilt_deg):
    """Mask to RTSTRUCT to mask differs in no voxel, with holes, islands and oblique grids."""
    geometry = oblique(mask.shape, tilt_deg)
    structures, _ = read_structures(written(mask, geometry))
    back = mask_from_contours(structures.rois[0].contours, geometry)
    assert np.array_equal(back, mask)


@settings(max_examples=25, deadline=None)
@given(MASKS)
def test_coordinates_are_valid_decimal_strings(mask):
    """Every number has at most 16 characters, every contour at least three points."""
    dataset = pydicom.dcmread(io.BytesIO(written(mask, oblique(mask.shape))))
    for contour in dataset.ROIContourSequence[0].get("ContourSequence") or []:
        numbers = contour.get_item("ContourData").value.decode("ascii").split("\\")
        assert all(len(number.strip()) <= 16 for number in numbers)
        assert len(numbers) == 3 * int(contour.NumberOfContourPoints) >= 9
        assert contour.ContourGeometricType == "CLOSED_PLANAR"


def test_a_contour_longer_than_an_explicit_length_is_kept_whole():
    """A contour of more than 65,534 bytes comes back whole (PS3.5 7.1.2)."""
    mask = np.zeros((1, 60, 120), dtype=bool)
    mask[0, ::2, :] = True
    mask[0, :, 0] = True
    mask[0, 1::2, 2::2] = True
    mask[0, :, -1] = True
    content = written(mask, oblique(mask.shape))
    dataset = pydicom.dcmread(io.BytesIO(content))
    longest = max(
        len(item.get_item("ContourData").value)
        for item in dataset.ROIContourSequence[0].ContourSequence
    )
    assert longest > 65_534
    structures, _ = read_structures(content)
    back = mask_from_contours(structures.rois[0].contours, oblique(mask.shape))
    assert np.array_equal(back, mask)


def test_what_a_planning_system_asks_for_is_there():
    """Frame of reference, every instance, names, types, algorithm and approval are stated."""
    run = limb_run()
    source = run.sources["ct"]
    dataset = write_structure_set(run.context(), source, [run.segmentation])
    frame = dataset.ReferencedFrameOfReferenceSequence[0]
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    referenced = {str(item.ReferencedSOPInstanceUID) for item in series.ContourImageSequence}
    assert referenced == {str(header.SOPInstanceUID) for header in source.datasets}
    assert frame.FrameOfReferenceUID == source.first.FrameOfReferenceUID
    region, observation = dataset.StructureSetROISequence[0], dataset.RTROIObservationsSequence[0]
    assert (region.ROIName, region.ROIGenerationAlgorithm) == ("GTVp", "AUTOMATIC")
    assert observation.RTROIInterpretedType == "GTV"
    assert region.ROIDerivationAlgorithmIdentificationSequence[0].AlgorithmVersion == "0.1.0"
    assert dataset.ApprovalStatus == "UNAPPROVED"
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        assert str(contour.ContourImageSequence[0].ReferencedSOPInstanceUID) in referenced


def test_a_contour_lies_on_the_image_that_it_names():
    """The image of each contour has the contour's own position."""
    run = limb_run()
    source = run.sources["ct"]
    heights = {str(h.SOPInstanceUID): float(h.ImagePositionPatient[2]) for h in source.datasets}
    dataset = write_structure_set(run.context(), source, [run.segmentation])
    content = pydicom.dcmread(io.BytesIO(encode(dataset)))
    for contour in content.ROIContourSequence[0].ContourSequence:
        expected = heights[str(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)]
        assert np.allclose(np.asarray(contour.ContourData[2::3], float), expected, atol=1e-3)


def test_contours_enclose_the_volume_of_the_mask():
    """Area times slice distance over all contours is the ROI volume and that of the mask."""
    run = limb_run()
    dataset = write_structure_set(run.context(), run.sources["ct"], [run.segmentation])
    content = pydicom.dcmread(io.BytesIO(encode(dataset)))
    area = sum(
        enclosed_area(np.asarray(item.ContourData, dtype=float).reshape(-1, 3)[:, 1::-1])
        for item in content.ROIContourSequence[0].ContourSequence
    )
    volume = area * run.phantom.ct_grid.spacing_mm[0] / 1000.0
    stated = float(content.StructureSetROISequence[0].ROIVolume)
    assert volume == pytest.approx(stated, rel=1e-4)
    assert stated == pytest.approx(run.segmentation.measurements[0].value, rel=1e-6)


def test_an_empty_region_is_written_without_contours(tmp_path):
    """A region without a voxel is a valid object with no contour."""
    geometry = oblique((3, 5, 6))
    content = written(np.zeros(geometry.shape, dtype=bool), geometry)
    (tmp_path / "empty.dcm").write_bytes(content)
    assert dciodvfy_errors(tmp_path / "empty.dcm") == []
    structures, _ = read_structures(content)
    assert structures.rois[0].contours == ()


def test_frames_of_an_enhanced_source_are_named():
    """A contour on an enhanced multi-frame image names the frame that it lies on."""
    geometry = oblique((3, 5, 6))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[1, 1:4, 2:5] = True
    enhanced = SourceSeries("1.2.3.5", headers_for(geometry).datasets[:1], (3, 2, 1))
    segmentation = segmentation_of(mask, geometry)
    dataset = write_structure_set(context_for(enhanced), enhanced, [segmentation])
    image = dataset.ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0]
    assert image.ReferencedFrameNumber == 2


@pytest.mark.parametrize("hollow", [False, True])
def test_plastimatch_reads_the_same_mask(tmp_path, hollow):
    """plastimatch makes the same mask of it, also of one with a hole (DSC at least 0.99)."""
    run = limb_run()
    mask = run.phantom.tumour.copy()
    if hollow:
        middle = np.argwhere(mask).mean(axis=0).astype(int)
        mask[:, middle[1] - 2 : middle[1] + 2, middle[2] - 2 : middle[2] + 2] = False
    images = tmp_path / "images"
    images.mkdir()
    for name, content in run.files.items():
        if name.startswith("CT"):
            (images / name).write_bytes(content)
    geometry = run.segmentation.geometry
    dataset = write_structure_set(
        run.context(), run.sources["ct"], [segmentation_of(mask, geometry)]
    )
    (tmp_path / "RS.dcm").write_bytes(encode(dataset))
    assert dciodvfy_errors(tmp_path / "RS.dcm") == []
    found = plastimatch_mask(tmp_path / "RS.dcm", images, tmp_path / "out", "GTVp", geometry)
    assert dsc(found, mask) >= 0.99


def test_the_small_phantom_is_the_one_that_is_tested():
    """The runs of these tests are made from the phantom whose geometry is known."""
    assert np.array_equal(limb(SMALL).tumour, limb_run().segmentation.mask)
