"""Structure sets, dose grids and plans become typed values."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from adapters.rt.read_dose import read_dose
from adapters.rt.read_plan import read_plan
from adapters.rt.read_structures import read_structures
from audit.errors import (
    GeometryError,
    MissingAttributeError,
    MixedSeriesError,
    ModalityError,
    UnitsError,
)
from tests.simulators import dicom_objects as objects

SQUARE = np.array([[0.0, 0, 30], [5, 0, 30], [5, 5, 30], [0, 5, 30]])


def test_a_structure_set_gives_its_regions_and_points() -> None:
    """Name, type, points and references come through unchanged."""
    images = objects.image_series()
    structures, source = read_structures(
        objects.encode(objects.structure_set([SQUARE], images=images))
    )
    roi = structures.rois[0]
    assert (roi.number, roi.name, roi.interpreted_type) == (1, "GTVp", "GTV")
    np.testing.assert_array_equal(roi.contours[0].points_mm, SQUARE)
    assert roi.contours[0].referenced_sop_instance_uid == images[0].SOPInstanceUID
    assert structures.referenced_series_instance_uids == (images[0].SeriesInstanceUID,)
    assert structures.frame_of_reference_uid == images[0].FrameOfReferenceUID
    assert structures.notes == ()
    assert source.first.SOPInstanceUID == structures.sop_instance_uid


def test_odd_structure_sets_are_read_with_notes() -> None:
    """Damaged contours, missing types and stray references cost a note, not the set."""
    dataset = objects.structure_set([SQUARE, SQUARE, SQUARE])
    contours = dataset.ROIContourSequence[0].ContourSequence
    contours[0].ContourData = contours[0].ContourData[:-1]
    contours[1].NumberOfContourPoints = 7
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = "2.25.99"
    contours[2].ContourImageSequence = Items([reference])
    stray = Dataset()
    stray.ReferencedROINumber = 9
    stray.ContourSequence = Items([contours[2]])
    dataset.ROIContourSequence.append(stray)
    empty = Dataset()
    empty.ROINumber, empty.ROIName = 2, "Empty"
    dataset.StructureSetROISequence.append(empty)
    dataset.Modality = "RTDOSE"
    structures, _ = read_structures(objects.encode(dataset))
    assert len(structures.rois[0].contours) == 2
    assert structures.rois[1].contours == ()
    assert set(structures.notes) == {
        "CONTOUR_DAMAGED",
        "CONTOUR_IMAGE_MISSING",
        "CONTOUR_POINT_COUNT",
        "MODALITY_DISAGREES_WITH_SOP_CLASS",
        "REFERENCE_NOT_IN_SET",
        "ROI_CONTOUR_WITHOUT_ROI",
        "ROI_WITHOUT_CONTOURS",
        "ROI_WITHOUT_OBSERVATION",
    }


def test_regions_in_two_frames_of_reference_are_not_mixed() -> None:
    """Points of two coordinate systems cannot stand in one set."""
    dataset = objects.structure_set([SQUARE])
    other = Dataset()
    other.ROINumber, other.ROIName, other.ReferencedFrameOfReferenceUID = 2, "PTV", "2.25.5"
    dataset.StructureSetROISequence.append(other)
    with pytest.raises(MixedSeriesError):
        read_structures(objects.encode(dataset))


VALUES = np.arange(4 * 3 * 5, dtype=np.uint32).reshape(4, 3, 5) * 70_000_000


@pytest.mark.parametrize(
    ("offsets", "order"),
    [
        ([0, 3, 6, 9], [0, 1, 2, 3]),
        ([30, 33, 36, 39], [0, 1, 2, 3]),
        ([0, -3, -6, -9], [3, 2, 1, 0]),
    ],
)
def test_dose_planes_lie_at_relative_or_absolute_offsets(
    offsets: list[float], order: list[int]
) -> None:
    """PS3.3 C.8.8.3.2, both forms, and planes stored from head to feet."""
    volume, source = read_dose(objects.encode(objects.dose_grid(VALUES, offsets=offsets)))
    np.testing.assert_allclose(volume.array, VALUES[order] * 0.001, rtol=1e-6)
    first = 30.0 if offsets[-1] > 0 else 21.0
    assert volume.geometry.origin_mm == (-10.0, 20.0, first)
    assert volume.geometry.spacing_mm == (3.0, 2.0, 2.5)
    assert volume.units == "Gy"
    assert [source.frame(index).frame_number for index in range(4)] == [i + 1 for i in order]


def test_dose_of_a_patient_lying_feet_first_runs_along_its_normal() -> None:
    """Relative offsets count along the normal, which points to the feet here."""
    orientation = objects.ORIENTATIONS["FFS"]
    volume, _ = read_dose(
        objects.encode(objects.dose_grid(VALUES, offsets=[0, 3, 6, 9], orientation=orientation))
    )
    np.testing.assert_allclose(
        volume.geometry.to_patient(np.array([3.0, 0, 0])), [-10.0, 20.0, 21.0]
    )


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"DoseUnits": "RELATIVE"}, UnitsError),
        ({"DoseType": "ERROR"}, UnitsError),
        ({"DoseGridScaling": "0"}, UnitsError),
        ({"GridFrameOffsetVector": [0, 3, 6, 10]}, GeometryError),
        ({"GridFrameOffsetVector": [5, 8, 11, 14]}, GeometryError),
        ({"GridFrameOffsetVector": [0, 3, 6]}, MissingAttributeError),
        ({"GridFrameOffsetVector": [0, 3, 6, 9, 12]}, GeometryError),
        ({"FrameOfReferenceUID": ""}, MissingAttributeError),
        ({"SOPClassUID": objects.CLASSES["CT"], "Modality": "CT"}, ModalityError),
    ],
)
def test_dose_that_cannot_be_trusted_is_refused(
    changes: dict[str, object], error: type[Exception]
) -> None:
    """Units, scaling and planes are checked before a value is given."""
    dataset = objects.dose_grid(VALUES, offsets=[0, 3, 6, 9])
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    with pytest.raises(error):
        read_dose(objects.encode(dataset))


def _plan(ion: bool = False) -> Dataset:
    plan = objects.header("RTPLAN", series="plan")
    beam, group, used = Dataset(), Dataset(), Dataset()
    beam.BeamNumber, beam.BeamName, beam.RadiationType = 3, "ARC", "PROTON" if ion else "PHOTON"
    points = []
    for index in range(3):
        point = Dataset()
        point.ControlPointIndex, point.CumulativeMetersetWeight = index, str(index / 2)
        points.append(point)
    points[0].GantryAngle, points[0].BeamLimitingDeviceAngle = "181", "10"
    points[0].PatientSupportAngle, points[0].IsocenterPosition = "0", ["1", "2", "3"]
    points[2].GantryAngle = "179"
    for index, positions in ((0, ["-5", "5"]), (1, ["-4", "4"])):
        device = Dataset()
        device.RTBeamLimitingDeviceType, device.LeafJawPositions = "ASYMY", positions
        points[index].BeamLimitingDevicePositionSequence = Items([device])
    if ion:
        plan.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.8"
        beam.IonControlPointSequence = Items(points)
        plan.IonBeamSequence = Items([beam])
    else:
        beam.ControlPointSequence = Items(points)
        plan.BeamSequence = Items([beam])
    used.ReferencedBeamNumber, used.BeamMeterset = 3, "123.5"
    group.NumberOfFractionsPlanned = 25
    group.ReferencedBeamSequence = Items([used])
    plan.FractionGroupSequence = Items([group])
    dose = Dataset()
    dose.TargetPrescriptionDose = "50"
    plan.DoseReferenceSequence = Items([dose])
    return plan


@pytest.mark.parametrize("ion", [False, True])
def test_control_points_inherit_what_they_leave_out(ion: bool) -> None:
    """PS3.3 C.8.8.14.5: only changes are written, every value is given."""
    plan, _ = read_plan(objects.encode(_plan(ion)))
    beam = plan.beams[0]
    assert (beam.number, beam.meterset, plan.fraction_count) == (3, 123.5, 25)
    assert plan.prescriptions_gy == (50.0,)
    assert [point.gantry_angle_deg for point in beam.control_points] == [181, 181, 179]
    assert [point.collimator_angle_deg for point in beam.control_points] == [10, 10, 10]
    assert beam.control_points[2].isocentre_mm == (1, 2, 3)
    assert [point.device_positions_mm["ASYMY"] for point in beam.control_points] == [
        (-5, 5),
        (-4, 4),
        (-4, 4),
    ]


def test_a_beam_has_the_patient_position_of_its_setup() -> None:
    """By number; a beam that names none has that of the one setup there is, else none."""
    dataset = _plan()
    setups = [Dataset(), Dataset()]
    for number, (item, position) in enumerate(zip(setups, ("HFS", "FFP"), strict=True), 1):
        item.PatientSetupNumber, item.PatientPosition = number, position
    beam = dataset.BeamSequence[0]
    for used, named, expected in ((2, 2, "FFP"), (2, None, ""), (1, None, "HFS"), (1, 2, "")):
        dataset.PatientSetupSequence = Items(setups[:used])
        beam.ReferencedPatientSetupNumber = named
        assert read_plan(objects.encode(dataset))[0].beams[0].patient_position == expected


def test_what_a_plan_is_for_and_what_it_replaces_is_read() -> None:
    """Intent, frame of reference, delivery type; of related plans the predecessors only."""
    dataset = _plan()
    dataset.PlanIntent, dataset.FrameOfReferenceUID = "VERIFICATION", "1.2.3"
    dataset.BeamSequence[0].TreatmentDeliveryType = "SETUP"
    related = [Dataset(), Dataset()]
    for item, kind in zip(related, ("PREDECESSOR", "PRIOR"), strict=True):
        item.ReferencedSOPInstanceUID, item.RTPlanRelationship = f"1.2.{len(kind)}", kind
    dataset.ReferencedRTPlanSequence = Items(related)
    plan, _ = read_plan(objects.encode(dataset))
    assert (plan.intent, plan.frame_of_reference_uid) == ("VERIFICATION", "1.2.3")
    assert (plan.beams[0].delivery_type, plan.replaces) == ("SETUP", ("1.2.11",))


def test_a_leaf_position_that_is_no_number_is_refused() -> None:
    """A plan is not read around a damaged leaf."""
    dataset = _plan()
    point = dataset.BeamSequence[0].ControlPointSequence[0]
    point.BeamLimitingDevicePositionSequence[0].LeafJawPositions = ["-5", "nan"]
    with pytest.raises(GeometryError, match="control point 0 of beam 3"):
        read_plan(objects.encode(dataset))
