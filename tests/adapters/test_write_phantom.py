"""The phantom as DICOM is a study that a scanner could have sent."""

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.uid import MRImageStorage

from adapters.rt.read_series import read_series
from adapters.rt.write_phantom import ORIENTATIONS, PhantomStudy, encode_limb, write_limb
from tests.simulators.dicom_validators import dciodvfy_errors
from tests.simulators.limb_case import SMALL
from validation.phantoms.limb import limb

PHANTOM = limb(replace(SMALL, has_mr=True, has_t2=True))


def series(files, prefix):
    """Return the files of one series."""
    return [content for name, content in files.items() if name.startswith(prefix)]


def in_patient(volume):
    """Return the array with frames foot to head, rows to the back, columns to the left."""
    axes = np.asarray(volume.geometry.axes)
    order = [int(np.argmax(np.abs(axes[:, axis]))) for axis in (2, 1, 0)]
    array = np.transpose(volume.array, order)
    corner = np.zeros(3)
    for axis, source in enumerate(order):
        if axes[source, 2 - axis] < 0:
            array = np.flip(array, axis)
            corner[source] = volume.geometry.shape[source] - 1
    return array, volume.geometry.to_patient(corner)


@pytest.mark.parametrize("position", sorted(ORIENTATIONS))
def test_every_patient_position_is_the_same_patient(position, tmp_path):
    """However the patient lies, the reader puts each voxel at the same place in the patient."""
    files = encode_limb(PHANTOM, PhantomStudy(patient_position=position))
    volume, _ = read_series(series(files, "CT"), "CT")
    array, corner = in_patient(volume)
    assert np.allclose(corner, PHANTOM.ct_grid.origin_mm, atol=1e-3)
    assert np.allclose(array, PHANTOM.ct_hu, atol=0.5)
    seen, _ = read_series(series(files, "MR"), "MR")
    array, corner = in_patient(seen)
    assert np.allclose(corner, PHANTOM.mr_grid.origin_mm, atol=1e-3)
    assert np.allclose(array, PHANTOM.mr, atol=0.501)
    seen, _ = read_series(series(files, "T2"), "MR")
    array, _ = in_patient(seen)
    assert np.allclose(array, PHANTOM.t2, atol=0.501)
    for name in ("CT-001.dcm", "PT-002.dcm", "MR-002.dcm", "T2-002.dcm"):
        (tmp_path / name).write_bytes(files[name])
        assert dciodvfy_errors(tmp_path / name) == []


def test_suv_comes_back_from_activity():
    """Bq/ml, weight, dose, half-life and times give the phantom's SUV again."""
    files = encode_limb(PHANTOM, PhantomStudy(patient_position="FFS"))
    volume, _ = read_series(series(files, "PT"), "PT")
    array, corner = in_patient(volume)
    assert np.allclose(corner, PHANTOM.pet_grid.origin_mm, atol=1e-3)
    assert np.allclose(array, PHANTOM.pet_suv, rtol=1e-4, atol=1e-3)


def test_the_same_phantom_gives_the_same_bytes():
    """Writing twice gives the same files; another name gives other UIDs."""
    first, again = encode_limb(PHANTOM), encode_limb(PHANTOM)
    assert first == again
    other = encode_limb(PHANTOM, PhantomStudy(name="second"))
    uid = pydicom.dcmread(io.BytesIO(first["CT-001.dcm"])).SOPInstanceUID
    assert pydicom.dcmread(io.BytesIO(other["CT-001.dcm"])).SOPInstanceUID != uid


def test_series_share_study_and_frame_of_reference():
    """CT, PET and MR belong together and to nobody."""
    files = encode_limb(PHANTOM)
    every = [pydicom.dcmread(io.BytesIO(files[f"{kind}-001.dcm"])) for kind in ("CT", "PT", "MR")]
    ct = every[0]
    assert len({item.StudyInstanceUID for item in every}) == 1
    assert len({item.FrameOfReferenceUID for item in every}) == 1
    assert len({item.SeriesInstanceUID for item in every}) == 3
    assert ct.PatientName == "SYNTHETIC^LIMB"


def test_mr_is_written_as_mr_image_storage():
    """MR instances state their sequence, have no rescale, and come after the CT."""
    files = encode_limb(PHANTOM)
    mr, ct = (pydicom.dcmread(io.BytesIO(files[name])) for name in ("MR-001.dcm", "CT-001.dcm"))
    assert (mr.SOPClassUID, mr.Modality) == (MRImageStorage, "MR")
    assert (mr.ScanningSequence, mr.MRAcquisitionType) == ("SE", "2D")
    assert "RescaleSlope" not in mr
    assert mr.SeriesTime > ct.SeriesTime


def test_a_patient_without_pet_has_a_ct_only(tmp_path):
    """Without PET only CT files are written."""
    paths = write_limb(limb(replace(SMALL, has_pet=False)), tmp_path)
    assert len(paths) == PHANTOM.ct_hu.shape[0]
    assert all(path.name.startswith("CT-") and path.exists() for path in paths)
