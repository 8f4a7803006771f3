"""Patient and study of a written object: inherited from the source, repaired, noted.

`inherit` reads the patient, patient study and general study modules (PS3.3 C.7.1.1,
C.7.2.2, C.7.2.1) of one source header and returns them valid, with a stable code for
every repair: ``repaired:StudyID:length``, ``repaired:PatientSex:value`` (the value was
removed), ``repaired:PatientID:missing`` (added empty), ``kept:StudyInstanceUID:invalid``.
The codes name attributes and never their values.

Read next: `repair.py` (the rules), `equipment.py` (what is added to every object).
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pydicom
from pydicom import Dataset
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from adapters.rt.repair import (
    BODY_PART_RULES,
    RULES,
    TYPE_2,
    Repaired,
    repair_long,
    repair_short,
)
from audit.errors import MissingAttributeError

# pydicom quotes the value that a warning is about, and the value may be the patient's.
logging.getLogger("pydicom").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")

UTF_8 = "ISO_IR 192"


@dataclass(frozen=True, slots=True)
class Inherited:
    """The valid patient and study attributes of a source, and what was repaired.

    ``header`` is shared by all objects of a run and must not be changed; `copy_to` writes
    it into an object.
    """

    header: Dataset
    notes: tuple[str, ...]
    body_part: str = ""
    laterality: str = ""

    def text(self, keyword: str) -> str:
        """Return an attribute as text, empty when it is not there."""
        return str(self.header.get(keyword, "") or "")

    def copy_to(self, dataset: Dataset) -> None:
        """Replace patient and study modules of ``dataset`` by the inherited ones."""
        for keyword in (*RULES, "DeidentificationMethodCodeSequence", "SpecificCharacterSet"):
            if keyword in dataset:
                del dataset[keyword]
        for element in self.header:
            dataset[element.tag] = element

    def copy_body_part_to(self, dataset: Dataset) -> None:
        """Write Body Part Examined where it is known, and Laterality, empty where it is not
        (type 2C of the General Series Module, PS3.3 C.7.3.1).

        A SEG states the side with its anatomic region, and then not in the series.
        """
        if self.body_part:
            dataset.BodyPartExamined = self.body_part
        if dataset.Modality != "SEG":
            dataset.Laterality = self.laterality or None


def inherit(source: Dataset, also: Sequence[str] = ()) -> Inherited:
    """Return the patient and study attributes of ``source``, valid, with repair codes.

    Parameters
    ----------
    also : further texts that the objects will carry; the character set fits them too.

    Raises
    ------
    MissingAttributeError : there is no Study Instance UID.
    """
    header, notes = Dataset(), []
    texts = {keyword: _text_of(source, keyword) for keyword in RULES}
    encoding, encoding_note = _guess_encoding(source, texts)
    notes.extend(encoding_note)
    for keyword, rule in RULES.items():
        text, note = _apply(keyword, rule, texts[keyword])
        notes.extend(note)
        if text or keyword in TYPE_2:
            setattr(header, keyword, text or None)
    if not header.get("StudyInstanceUID"):
        raise MissingAttributeError("expected a Study Instance UID, found none in the header")
    notes.extend(_inherit_deidentification(source, header))
    notes.extend(_set_character_set(header, encoding, "\n".join(also)))
    series = {}
    for keyword, rule in BODY_PART_RULES.items():
        series[keyword], note = _apply(keyword, rule, _text_of(source, keyword))
        notes.extend(note)
    return Inherited(header, tuple(notes), series["BodyPartExamined"], series["Laterality"])


def _apply(
    keyword: str, rule: Callable[[str], Repaired], found: str | None
) -> tuple[str, list[str]]:
    """Return the valid text of an attribute and the code of its repair, if any."""
    if not found:
        missing = found is None and keyword in TYPE_2
        return "", [f"repaired:{keyword}:missing"] if missing else []
    text, reason = rule(found)
    if reason == "kept":
        return text, [f"kept:{keyword}:invalid"]
    return text, [f"repaired:{keyword}:{reason}"] if reason else []


def _text_of(source: Dataset, keyword: str) -> str | None:
    """Return what stands in the header as text, whatever its encoding; None if absent."""
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in source:
        return None
    try:
        value = source[tag].value
    except Exception:  # broad: pydicom raises many kinds for a value that breaks its VR
        value = source.get_item(tag).value
    if value is None:
        return ""
    if isinstance(value, pydicom.Sequence):
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(str(item) for item in value)
    return str(value).strip(" \0")


def _guess_encoding(
    source: Dataset, texts: dict[str, str | None]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the source's character set; where it states none, correct ``texts`` in place.

    A header without a (known) Specific Character Set is read as Latin-1 by PS3.5 readers;
    bytes above 127 that form UTF-8 are UTF-8 with far greater likelihood.
    """
    stated = source.get("SpecificCharacterSet") or ""
    terms = (stated,) if isinstance(stated, str) else tuple(str(term) for term in stated)
    known = all(term in python_encoding for term in terms)
    if known and any(term not in ("", "ISO_IR 6") for term in terms):
        return terms, []
    notes = [] if known else ["repaired:SpecificCharacterSet:value"]
    if all(text is None or text.isascii() for text in texts.values()):
        return ("ISO_IR 100",), notes
    for keyword, text in texts.items():
        try:
            texts[keyword] = text and text.encode("latin-1").decode("utf-8")
        except UnicodeError:
            continue
    return (UTF_8,), notes or ["repaired:SpecificCharacterSet:missing"]


def _inherit_deidentification(source: Dataset, header: Dataset) -> list[str]:
    """Copy the codes of the de-identification, and state a method where none is (type 1C)."""
    notes = []
    items = []
    for item in source.get("DeidentificationMethodCodeSequence") or []:
        value, meaning = _text_of(item, "CodeValue"), _text_of(item, "CodeMeaning")
        scheme = _text_of(item, "CodingSchemeDesignator")
        if not value or not meaning or not scheme or len(value) > 16 or len(scheme) > 16:
            notes.append("repaired:DeidentificationMethodCodeSequence:value")
            continue
        kept = Dataset()
        kept.CodeValue, kept.CodingSchemeDesignator = repair_short(value)[0], scheme
        kept.CodeMeaning = repair_long(meaning)[0]
        items.append(kept)
    if items:
        header.DeidentificationMethodCodeSequence = items
    removed = header.get("PatientIdentityRemoved") == "YES"
    if removed and not items and not header.get("DeidentificationMethod"):
        header.DeidentificationMethod = "Not stated by the source object"
        notes.append("repaired:DeidentificationMethod:missing")
    return notes


def _set_character_set(header: Dataset, terms: tuple[str, ...], also: str) -> list[str]:
    """State the source's character set if header and further texts survive it, else UTF-8."""
    header.SpecificCharacterSet = terms[0] if len(terms) == 1 else list(terms)
    if _survives(header, also):
        return []
    header.SpecificCharacterSet = UTF_8
    return ["repaired:SpecificCharacterSet:value"]


def _survives(header: Dataset, also: str) -> bool:
    """Return whether encoding and decoding gives the same texts.

    Tried on a copy: a person name remembers its first encoding.
    """
    texts: dict[BaseTag, str] = {
        element.tag: str(element.value or "")
        for element in header
        if element.VR in ("PN", "LO", "SH")
    }
    texts[Tag("TextValue")] = also
    if all(text.isascii() for text in texts.values()):
        return True
    copy = Dataset()
    copy.SpecificCharacterSet = header.SpecificCharacterSet
    for tag, text in texts.items():
        copy.add_new(tag, dictionary_VR(tag), text)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    try:
        write_dataset(buffer, copy)
        back = dcmread(io.BytesIO(_meta() + buffer.getvalue()))
        return all(str(back[tag].value or "") == text for tag, text in texts.items())
    except (LookupError, UnicodeError, ValueError):
        return False


def _meta() -> bytes:
    """Return a preamble and the file meta of Explicit VR Little Endian."""
    syntax = b"1.2.840.10008.1.2.1\0"
    element = b"\x02\x00\x10\x00UI" + len(syntax).to_bytes(2, "little") + syntax
    group = b"\x02\x00\x00\x00UL\x04\x00" + len(element).to_bytes(4, "little")
    return bytes(128) + b"DICM" + group + element
