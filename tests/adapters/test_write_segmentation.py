"""Segmentation and parametric maps come back from highdicom as the arrays they were."""

import io

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adapters.rt.equipment import encode
from adapters.rt.sources import SourceSeries
from adapters.rt.write_frames import reference_grid
from adapters.rt.write_parametric_map import VoxelMap, write_parametric_map
from adapters.rt.write_segmentation import tracking_uid, write_segmentation
from plugins.host.images import Code
from tests.simulators.dicom_validators import dciodvfy_errors
from tests.simulators.limb_case import context_for, headers_for, limb_run, oblique, segmentation_of

QUANTITY = Code("uncertainty-map", "99OSTEON", "Voxel uncertainty")
MASKS = arrays(np.bool_, (3, 7, 6), elements=st.booleans())


def placed(volume, geometry):
    """Return the array of a highdicom volume put onto ``geometry`` by patient coordinates."""
    index = np.stack(np.meshgrid(*map(np.arange, volume.array.shape[:3]), indexing="ij"), axis=-1)
    points = index.reshape(-1, 3) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    found = geometry.to_index(points)
    assert np.allclose(found, np.rint(found), atol=1e-3)
    array = np.zeros(geometry.shape)
    array[tuple(np.rint(found).astype(int).T)] = volume.array.reshape(-1)
    return array


def segments(masks, geometry, source=None):
    """Return the SEG of masks as bytes."""
    source = source or headers_for(geometry)
    context = context_for(source)
    named = [segmentation_of(mask, geometry, f"GTV{i}") for i, mask in enumerate(masks)]
    return encode(write_segmentation(context, reference_grid(context, source, geometry), named))


@settings(max_examples=12, deadline=None)
@given(MASKS.filter(lambda mask: mask.any()), st.sampled_from([0.0, 20.0]))
def test_highdicom_reads_the_same_mask(mask, tilt_deg):
    """Whatever the mask and the grid, highdicom gives the same voxels back."""
    geometry = oblique(mask.shape, tilt_deg)
    back = highdicom.seg.segread(io.BytesIO(segments([mask], geometry)))
    volume = back.get_volume(
        segment_numbers=[1], combine_segments=True, allow_missing_positions=True
    )
    assert np.array_equal(placed(volume, geometry) > 0, mask)


def test_two_overlapping_segments_stay_apart():
    """Segments may overlap; each comes back by its own number and name."""
    geometry = oblique((3, 7, 6))
    first, second = np.zeros((2, *geometry.shape), dtype=bool)
    first[:2, 1:5, 1:5] = True
    second[1:, 2:6, 2:6] = True
    back = highdicom.seg.segread(io.BytesIO(segments([first, second], geometry)))
    assert [item.SegmentLabel for item in back.SegmentSequence] == ["GTV0", "GTV1"]
    for number, mask in ((1, first), (2, second)):
        volume = back.get_volume(segment_numbers=[number], combine_segments=True)
        assert np.array_equal(placed(volume, geometry) > 0, mask)


def test_a_mask_without_a_voxel_is_a_valid_object(tmp_path):
    """An empty mask is written as empty frames and passes dciodvfy."""
    geometry = oblique((2, 7, 6))
    content = segments([np.zeros(geometry.shape, dtype=bool)], geometry)
    (tmp_path / "empty.dcm").write_bytes(content)
    assert dciodvfy_errors(tmp_path / "empty.dcm") == []
    assert not pydicom.dcmread(io.BytesIO(content)).pixel_array.any()


def test_the_segment_says_who_made_it():
    """Algorithm, codes and tracking UID of the finding stand in the segment."""
    run = limb_run()
    grid = reference_grid(run.context(), run.sources["ct"], run.segmentation.geometry)
    dataset = write_segmentation(run.context(), grid, [run.segmentation])
    segment = dataset.SegmentSequence[0]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("contouring", "0.1.0")
    assert segment.TrackingUID == tracking_uid(run.context(), "GTVp")
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "86049000"


def test_frames_of_an_enhanced_source_are_named():
    """Each frame of the SEG names the frame of the enhanced source it was made from."""
    geometry = oblique((3, 7, 6))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[1:, 2:5, 2:5] = True
    source = SourceSeries("1.2.3.5", headers_for(geometry).datasets[:1], (3, 2, 1))
    dataset = pydicom.dcmread(io.BytesIO(segments([mask], geometry, source)))
    named = {}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        corner = np.asarray(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        named[round(geometry.to_index(corner)[0])] = int(image.ReferencedFrameNumber)
    assert named == {1: 2, 2: 1}
    instances = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert len(instances) == 1


def written_map(values, geometry, grid_geometry=None):
    """Return the parametric map of values as bytes."""
    source = headers_for(grid_geometry or geometry)
    context = context_for(source)
    grid = reference_grid(context, source, grid_geometry or geometry)
    voxel_map = VoxelMap("uncertainty", "0 to 1", values, geometry, QUANTITY)
    return encode(write_parametric_map(context, grid, voxel_map))


FLOATS = arrays(np.float32, (3, 5, 6), elements=st.floats(-8, 8, width=32))


@settings(max_examples=12, deadline=None)
@given(FLOATS, st.booleans())
def test_a_map_comes_back_bit_by_bit(values, own_grid):
    """Floats survive unchanged, signed or not, on the source's grid or on one of their own."""
    geometry = oblique(values.shape)
    content = written_map(values, geometry, oblique((4, 9, 8), 0.0) if own_grid else None)
    back = highdicom.pm.ParametricMap.from_dataset(pydicom.dcmread(io.BytesIO(content)))
    volume = back.get_volume(
        apply_real_world_transform=False, dtype=np.float32, allow_missing_positions=True
    )
    assert np.array_equal(placed(volume, geometry).astype(np.float32), values)


def test_a_map_on_its_own_grid_is_a_valid_object(tmp_path):
    """A map on another grid than the source passes dciodvfy."""
    geometry = oblique((2, 5, 6))
    values = np.ones(geometry.shape, dtype=np.float32)
    (tmp_path / "map.dcm").write_bytes(written_map(values, geometry, oblique((4, 9, 8), 0.0)))
    assert dciodvfy_errors(tmp_path / "map.dcm") == []


def test_the_map_says_what_its_numbers_mean():
    """Unit, quantity and range stand in the real world value mapping."""
    values = np.linspace(-1, 2, 90, dtype=np.float32).reshape(3, 5, 6)
    dataset = pydicom.dcmread(io.BytesIO(written_map(values, oblique(values.shape))))
    mapping = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert mapping.LUTLabel == "uncertainty"
    assert mapping.DoubleFloatRealWorldValueFirstValueMapped == pytest.approx(-1.0)
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == pytest.approx(2.0)
    assert dataset.ContentQualification == "RESEARCH"


@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_constant_maps_are_valid_objects(tmp_path, fill):
    """A map that is the same everywhere, even zero, passes dciodvfy."""
    values = np.full((2, 5, 6), fill, dtype=np.float32)
    (tmp_path / "map.dcm").write_bytes(written_map(values, oblique(values.shape)))
    assert dciodvfy_errors(tmp_path / "map.dcm") == []
