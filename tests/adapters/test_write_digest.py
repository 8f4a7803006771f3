"""The content digest survives what archives change, and nothing else."""

import io
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from adapters.documents.objects import objects_of
from adapters.rt.digest import content_digest, content_digest_of
from adapters.rt.equipment import encode
from tests.simulators.dicom_validators import program
from tests.simulators.limb_case import limb_run

KINDS = ("RTSTRUCT", "SEG", "SC", "PMAP", "SR")


@pytest.fixture(scope="module")
def objects():
    """One object of each kind as bytes."""
    run = limb_run()
    written = objects_of(run.context(), run.sources, "ct", run.case, run.answer)
    return {item.kind: encode(item.dataset) for item in written}


def rewritten(content, syntax, **attributes):
    """Return the object as an archive might give it back."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.walk(lambda *_: None)  # decode everything, so that it is encoded anew
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    return buffer.getvalue()


def test_what_is_settled_before_encoding_changes_no_byte():
    """Objects come out as pydicom alone would write them."""
    run = limb_run()
    for item in objects_of(run.context(), run.sources, "ct", run.case, run.answer):
        plain, buffer = item.dataset, io.BytesIO()
        plain.preamble = bytes(128)
        pydicom.dcmwrite(buffer, plain, enforce_file_format=True)
        assert encode(item.dataset) == buffer.getvalue(), item.name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_another_encoding_and_other_headers_change_nothing(objects, kind, syntax):
    """Transfer syntax and added, removed or changed headers leave the digest alone."""
    changed = rewritten(
        objects[kind],
        syntax,
        StudyDescription="changed in the archive",
        RetrieveAETitle="ARCHIVE",
        PatientName="MERGED^PATIENT",
    )
    assert changed != objects[kind]
    assert content_digest_of(changed) == content_digest_of(objects[kind])


def test_lossless_compression_changes_nothing(objects):
    """RLE gives the same pixels, so the same digest."""
    dataset = pydicom.dcmread(io.BytesIO(objects["SC"]))
    dataset.compress(RLELossless, generate_instance_uid=False)
    assert content_digest(dataset) == content_digest_of(objects["SC"])


@pytest.mark.parametrize("kind", KINDS)
def test_dcmtk_re_encodes_to_the_same_digest(objects, kind, tmp_path):
    """dcmconv, which we did not write, changes the encoding and not the content."""
    (tmp_path / "in.dcm").write_bytes(objects[kind])
    to = "+ti" if kind != "RTSTRUCT" else "+te"
    command = [program("dcmconv"), to, str(tmp_path / "in.dcm"), str(tmp_path / "out.dcm")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    back = (tmp_path / "out.dcm").read_bytes()
    assert content_digest_of(back) == content_digest_of(objects[kind])


def tamper_structures(dataset):
    """Move one point of one contour by a tenth of a millimetre."""
    contour = dataset.ROIContourSequence[0].ContourSequence[0]
    numbers = [float(number) for number in contour.ContourData]
    contour.ContourData = [f"{numbers[0] + 0.1:.4f}", *(f"{n:.4f}" for n in numbers[1:])]


def tamper_name(dataset):
    """Call the region something else."""
    dataset.StructureSetROISequence[0].ROIName = "CTV"


def tamper_approval(dataset):
    """Approve it."""
    dataset.ApprovalStatus = "APPROVED"


def tamper_bits(dataset):
    """Change one voxel of the first frame."""
    pixels = bytearray(dataset.PixelData)
    pixels[len(pixels) // 8] ^= 1
    dataset.PixelData = bytes(pixels)


def tamper_position(dataset):
    """Move a frame by a millimetre."""
    group = dataset.PerFrameFunctionalGroupsSequence[0]
    position = group.PlanePositionSequence[0]
    position.ImagePositionPatient = [1.0, *position.ImagePositionPatient[1:]]


def tamper_float(dataset):
    """Change one number of the map."""
    values = np.frombuffer(dataset.FloatPixelData, "<f4").copy()
    values[values.size // 2] += np.float32(1e-3)
    dataset.FloatPixelData = values.tobytes()


def tamper_number(dataset):
    """Change a measurement."""

    def visit(_, element):
        if element.keyword == "NumericValue" and float(element.value) > 1:
            element.value = "1.5"

    dataset.walk(visit)


def tamper_uid(dataset):
    """Give it another identity."""
    dataset.SOPInstanceUID = "1.2.3.4.5"


@pytest.mark.parametrize(
    ("kind", "tamper"),
    [
        ("RTSTRUCT", tamper_structures),
        ("RTSTRUCT", tamper_name),
        ("RTSTRUCT", tamper_approval),
        ("SEG", tamper_bits),
        ("SEG", tamper_position),
        ("SC", tamper_bits),
        ("PMAP", tamper_float),
        ("PMAP", tamper_position),
        ("SR", tamper_number),
        ("SR", tamper_uid),
    ],
)
def test_other_content_has_another_digest(objects, kind, tamper):
    """A changed point, voxel, number, name, position or UID is noticed."""
    dataset = pydicom.dcmread(io.BytesIO(objects[kind]))
    tamper(dataset)
    assert content_digest(dataset) != content_digest_of(objects[kind])
