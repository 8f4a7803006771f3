"""Inherited attributes are valid in every written object, whatever the source carried."""

import io
import struct

import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from adapters.rt.equipment import encode
from adapters.rt.identity import inherit
from adapters.rt.write_structure_set import write_structure_set
from audit.errors import MissingAttributeError
from tests.simulators.dicom_validators import dciodvfy_errors
from tests.simulators.limb_case import limb_run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def header(**attributes: bytes) -> Dataset:
    """Return a header as it comes from a file: raw bytes, nothing checked."""
    dataset = Dataset()
    for keyword, content in {"StudyInstanceUID": b"1.2.3", **attributes}.items():
        tag = Tag(keyword)
        vr = pydicom.datadict.dictionary_VR(tag)
        dataset[tag] = RawDataElement(tag, vr, len(content), content, 0, False, True)
    if "SpecificCharacterSet" in attributes:  # as a reader does before any other value
        dataset._character_set = pydicom.charset.convert_encodings(
            attributes["SpecificCharacterSet"].decode().split("\\")
        )
    return dataset


CASES = [
    ("StudyID", b"IBSI_1_STS_042_PET", "IBSI_1_STS_042_P", "repaired:StudyID:length"),
    ("AccessionNumber", b"A" * 20, "A" * 16, "repaired:AccessionNumber:length"),
    ("PatientID", b"P" * 80, "P" * 64, "repaired:PatientID:length"),
    ("PatientID", b"A\\B", "A_B", "repaired:PatientID:multiplicity"),
    ("StudyDescription", b"leg\x07\x1b left", "leg left", "repaired:StudyDescription:characters"),
    ("StudyDate", b"2001.11.17", "20011117", "repaired:StudyDate:format"),
    ("StudyDate", b"20010231", "", "repaired:StudyDate:value"),
    ("PatientBirthDate", b"unknown", "", "repaired:PatientBirthDate:value"),
    ("StudyTime", b"15:42:58", "154258", "repaired:StudyTime:format"),
    ("StudyTime", b"256199", "", "repaired:StudyTime:value"),
    ("PatientSex", b"FEMALE", "F", "repaired:PatientSex:format"),
    ("PatientSex", b"X", "", "repaired:PatientSex:value"),
    ("PatientAge", b"45Y", "045Y", "repaired:PatientAge:format"),
    ("PatientAge", b"45", "", "repaired:PatientAge:value"),
    ("PatientWeight", b"heavy", "", "repaired:PatientWeight:value"),
    ("PatientWeight", b"71.000000000000000001", "71.0", "repaired:PatientWeight:length"),
    ("PatientWeight", b"-1", "", "repaired:PatientWeight:value"),
    ("PatientName", b"A^B^C^D^E^F", "A^B^C^D^E F", "repaired:PatientName:format"),
    ("PatientName", b"N" * 70, "N" * 64, "repaired:PatientName:length"),
    ("TimezoneOffsetFromUTC", b"0200", "", "repaired:TimezoneOffsetFromUTC:value"),
    ("PatientIdentityRemoved", b"yes", "YES", "repaired:PatientIdentityRemoved:format"),
]


@pytest.mark.parametrize(("keyword", "found", "expected", "note"), CASES)
def test_an_invalid_value_is_repaired_and_noted(keyword, found, expected, note):
    """Each broken value becomes valid or empty, and a stable code without the value says so."""
    inherited = inherit(header(**{keyword: found}))
    assert inherited.text(keyword) == expected
    assert note in inherited.notes
    assert found.decode("latin-1") not in "".join(inherited.notes)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyID", b"ABC"),
        ("StudyDate", b"20240229"),
        ("StudyTime", b"235959.123456"),
        ("PatientSex", b"O "),
        ("PatientAge", b"012M"),
        ("PatientWeight", b"71.5"),
        ("PatientName", b"Doe^Jane"),
        ("TimezoneOffsetFromUTC", b"+0200"),
    ],
)
def test_a_valid_value_is_kept_as_it_is(keyword, value):
    """What is valid is inherited unchanged and without a note about it."""
    inherited = inherit(header(**{keyword: value}))
    assert inherited.text(keyword) == value.decode().strip()
    assert not [note for note in inherited.notes if keyword in note and "missing" not in note]


def test_missing_type_2_attributes_are_added_empty():
    """Attributes that must be there are, empty, and noted."""
    inherited = inherit(header())
    assert "PatientSex" in inherited.header
    assert "repaired:PatientSex:missing" in inherited.notes
    assert "repaired:StudyID:missing" in inherited.notes


def test_an_empty_attribute_is_not_a_repair():
    """An attribute that is there without a value stays so, without a note."""
    assert "repaired:PatientSex:missing" not in inherit(header(PatientSex=b"")).notes


def test_an_invalid_study_uid_is_kept():
    """Another UID would tear the result from its study: it is kept and noted."""
    inherited = inherit(header(StudyInstanceUID=b"1.2.03"))
    assert inherited.text("StudyInstanceUID") == "1.2.03"
    assert "kept:StudyInstanceUID:invalid" in inherited.notes


def test_without_a_study_uid_nothing_can_be_inherited():
    """A header without Study Instance UID is refused by name."""
    with pytest.raises(MissingAttributeError):
        inherit(header(StudyInstanceUID=b""))


CHARACTER_SETS = [
    (b"ISO_IR 100", "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen", "ISO_IR 100"),
    (b"ISO_IR 144", "Люкceмбypг".encode("iso8859-5"), "Люкceмбypг", "ISO_IR 144"),
    (b"ISO_IR 192", "Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东", "ISO_IR 192"),
    (b"GB18030", "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东", "GB18030"),
    (None, "Müller^Jürgen".encode(), "Müller^Jürgen", "ISO_IR 192"),
    (None, "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen", "ISO_IR 192"),
    (b"ISO_IR 999", "Müller^Jürgen".encode(), "Müller^Jürgen", "ISO_IR 192"),
    (
        b"\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        "Yamada^Tarou=山田^太郎",
        "\\ISO 2022 IR 87",
    ),
]


@pytest.mark.parametrize(("stated", "found", "expected", "written"), CHARACTER_SETS)
def test_names_survive_whatever_the_character_set(stated, found, expected, written):
    """A name reads the same in a written object, whose character set fits it."""
    attributes = {"PatientName": found}
    if stated is not None:
        attributes = {"SpecificCharacterSet": stated, **attributes}
    source = read_back(attributes)
    inherited = inherit(source)
    assert inherited.text("PatientName") == expected
    run = limb_run()
    dataset = write_structure_set(run.context(), run.sources["ct"], [run.segmentation])
    inherited.copy_to(dataset)
    back = pydicom.dcmread(io.BytesIO(encode(dataset)))
    assert str(back.PatientName) == expected
    stated_back = back.SpecificCharacterSet
    terms = [stated_back] if isinstance(stated_back, str) else list(stated_back)
    assert "\\".join(terms) == written


def read_back(attributes: dict[str, bytes]) -> Dataset:
    """Return a header read from bytes, so that the reader itself decodes the texts."""
    body = b""
    for keyword in sorted({**attributes, "StudyInstanceUID": b""}, key=Tag):
        content = attributes.get(keyword, b"1.2.3")
        content += b" " * (len(content) % 2)
        tag = Tag(keyword)
        vr = pydicom.datadict.dictionary_VR(tag).encode()
        body += struct.pack("<HH2sH", tag.group, tag.element, vr, len(content)) + content
    syntax = b"1.2.840.10008.1.2.1\0"
    meta = b"\x02\x00\x10\x00UI" + struct.pack("<H", len(syntax)) + syntax
    length = b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", len(meta))
    return pydicom.dcmread(io.BytesIO(bytes(128) + b"DICM" + length + meta + body))


def test_a_sequence_in_place_of_a_text_becomes_empty():
    """An attribute of a wholly wrong kind leaves nothing of its content behind."""
    source = header()
    source[Tag("PatientName")] = pydicom.DataElement(Tag("PatientName"), "SQ", [Dataset()])
    assert inherit(source).text("PatientName") == ""


def test_a_removed_identity_states_its_method():
    """A de-identified source without a method gets a stated one, codes are copied if valid."""
    source = header(PatientIdentityRemoved=b"YES")
    broken, good = Dataset(), Dataset()
    broken.CodeValue = "113100"
    good.CodeValue, good.CodingSchemeDesignator = "113101", "DCM"
    good.CodeMeaning = "Clean Pixel Data Option"
    assert "repaired:DeidentificationMethod:missing" in inherit(source).notes
    source.DeidentificationMethodCodeSequence = [broken, good]
    inherited = inherit(source)
    (item,) = inherited.header.DeidentificationMethodCodeSequence
    assert item.CodeValue == "113101"
    assert "repaired:DeidentificationMethodCodeSequence:value" in inherited.notes


def test_an_object_of_the_worst_header_passes_dciodvfy(tmp_path):
    """All broken values at once give a structure set without an error."""

    def spoil(dataset: Dataset) -> None:
        for keyword, found, _, _ in CASES:
            tag = Tag(keyword)
            vr = pydicom.datadict.dictionary_VR(tag)
            dataset[tag] = RawDataElement(tag, vr, len(found), found, 0, False, True)
        for keyword in ("ReferringPhysicianName", "AccessionNumber"):
            del dataset[keyword]

    run = limb_run(edit=spoil)
    dataset = write_structure_set(run.context(), run.sources["ct"], [run.segmentation])
    (tmp_path / "RS.dcm").write_bytes(encode(dataset))
    assert dciodvfy_errors(tmp_path / "RS.dcm") == []
    assert "repaired:ReferringPhysicianName:missing" in run.context().inherited.notes
