"""Refuses what must never stand in a record: patient data, free text, full UIDs.

The log is kept for years and read by many, so it holds codes, numbers, digests and keyed
pseudonyms only (REGULATORY.md section 3, mapping rule 4; GDPR Art. 25).  The guard
knows forms, not meanings: whoever writes a record passes codes, and the guard catches
the slip.

Read next: `record.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from audit.errors import RecordError

TEXT_LIMIT = 200
KEY_LIMIT = 64
DEPTH_LIMIT = 8

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+/-]*")
_FORBIDDEN_KEYS = frozenset(
    (
        "patientname",
        "patientid",
        "patientbirthdate",
        "patientbirthtime",
        "patientaddress",
        "patientsname",
        "patienttelephonenumbers",
        "otherpatientids",
        "otherpatientnames",
        "birthdate",
        "dateofbirth",
        "dob",
        "mrn",
        "firstname",
        "lastname",
        "familyname",
        "givenname",
        "surname",
        "accessionnumber",
        "referringphysicianname",
        "operatorsname",
        "performingphysicianname",
        "studyid",
        "studydescription",
        "seriesdescription",
        "protocolname",
        "patientcomments",
        "imagecomments",
        "studyinstanceuid",
        "seriesinstanceuid",
        "sopinstanceuid",
        "frameofreferenceuid",
        "institutionaddress",
    )
)
# PS3.5 section 9.1: components of digits without leading zeros, joined by full stops.
_UID = re.compile(r"(?<![\d.])[0-2](?:\.(?:0|[1-9]\d*)){4,}(?![\d.]*\d)")
_UUID_UID = re.compile(r"(?<![\d.])2\.25\.\d{6,}")
_PSEUDONYM_UID = re.compile(r"2\.25\.(?:0|[1-9]\d{0,38})")
_DICOM_OWN = "1.2.840.10008."  # PS3.6: UIDs that the standard registers name no one
_SHORTEST_UID = 12
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PERSON_NAME = re.compile(r"\w\^|\^\w")  # PS3.5 6.2: PN components are joined by a caret
_DATE = re.compile(r"(?:19|20)\d\d(?:-\d\d-\d\d|\d{4})")


_SUSPECT = re.compile(r"[\x00-\x1f\x7f^]|\d\.\d+\.\d|\A(?:19|20)\d\d(?:-\d\d-\d\d|\d{4})\Z")
"""Every text that `_text` refuses has one of these, or is too long; most texts have none."""
_DICOM_CLASS = re.compile(r"1\.2\.840\.10008(?:\.(?:0|[1-9][0-9]{0,9})){1,12}")
_WRONG, _PLAIN, _UID_P = range(3)


def refuse_patient_data(value: Any, where: str = "body") -> None:
    """Pass over a JSON value; what is forbidden raises, with its place and never its text.

    Raises
    ------
    RecordError : a key or value has the form of patient data, is too long, too deep, or
        no JSON value.
    """
    if not is_clean(value):
        _pass(value, where, key="", depth=0)


def is_clean(value: Any, key_class: int = _PLAIN, depth: int = 0) -> bool:
    """Tell quickly that a value is permitted; False where only the slow pass can tell.

    Every record goes through here: a text costs one search instead of five, and a key is
    judged once.  A property test holds both passes together.
    """
    kind = type(value)
    if kind is str:
        if key_class == _UID_P:
            return _PSEUDONYM_UID.fullmatch(value) is not None or value == "not-evaluated"
        if len(value) > TEXT_LIMIT:
            return False
        return _SUSPECT.search(value) is None or _DICOM_CLASS.fullmatch(value) is not None
    if kind is dict:
        if depth >= DEPTH_LIMIT:
            return False
        for name, item in value.items():
            found = _key_class(name) if type(name) is str else _WRONG
            if found == _WRONG or not is_clean(item, found, depth + 1):
                return False
        return True
    if kind is list or kind is tuple:
        if depth >= DEPTH_LIMIT:
            return False
        return all(is_clean(item, key_class, depth + 1) for item in value)
    if kind is float:
        return math.isfinite(value)
    return kind is int or kind is bool or value is None


@lru_cache(maxsize=8192)
def _key_class(name: str) -> int:
    if not _is_plain(name) or _names_a_person(name) or _SUSPECT.search(name):
        return _WRONG
    return _UID_P if name.endswith("_uid_p") else _PLAIN


def _pass(value: Any, where: str, key: str, depth: int) -> None:
    if depth > DEPTH_LIMIT:
        raise RecordError(f"expected at most {DEPTH_LIMIT} levels, found more at {where}")
    if isinstance(value, str):
        _text(value, where, key)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _name(name, where)
            _pass(item, f"{where}.{name}", name, depth + 1)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _pass(item, f"{where}[{number}]", key, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RecordError(f"expected a finite number at {where}, found {value}")
    elif value is not None and not isinstance(value, (bool, int, float)):
        raise RecordError(f"expected a JSON value at {where}, found {type(value).__name__}")


def _name(name: Any, where: str) -> None:
    if not isinstance(name, str) or not _is_plain(name):
        raise RecordError(f"expected a plain key in {where}, found another")
    if _names_a_person(name):
        raise RecordError(f"expected no patient data in {where}, found a key that names some")
    _text(name, where, key="")


@lru_cache(maxsize=4096)
def _is_plain(name: str) -> bool:
    return len(name) <= KEY_LIMIT and _KEY.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _names_a_person(name: str) -> bool:
    return re.sub(r"[^a-z]", "", name.lower()) in _FORBIDDEN_KEYS


def _text(text: str, where: str, key: str) -> None:
    if len(text) > TEXT_LIMIT:
        raise RecordError(f"expected at most {TEXT_LIMIT} characters at {where}, found more")
    if _CONTROL.search(text):
        raise RecordError(f"expected no control characters at {where}, found some")
    if _PERSON_NAME.search(text):
        raise RecordError(f"expected no person's name at {where}, found the form of one")
    if _DATE.fullmatch(text):
        raise RecordError(f"expected no date of a person at {where}, found the form of one")
    if key.endswith("_uid_p"):
        if text != "not-evaluated" and not _PSEUDONYM_UID.fullmatch(text):
            raise RecordError(f"expected a pseudonymous UID at {where}, found another value")
        return
    found = [*_UID.findall(text), *_UUID_UID.findall(text)]
    if any(len(uid) >= _SHORTEST_UID and not uid.startswith(_DICOM_OWN) for uid in found):
        raise RecordError(f"expected no full UID at {where}, found one")
