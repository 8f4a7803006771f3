"""Rules that make one inherited attribute valid again, by value representation.

Real headers carry values that the standard forbids: a Study ID of 20 characters, dates
with points, a sex spelled out.  A written object must not carry them on, and must not
fail because of them.  Each rule takes the text that was found and returns a valid text
and, where it changed something, the reason; a text that cannot be saved becomes empty.

Source: PS3.5 Table 6.2-1 (value representations), PS3.3 C.7.1.1, C.7.2.1, C.7.2.2.
Read next: `identity.py`, which applies the rules to a whole header.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from pydicom.valuerep import format_number_as_ds

Repaired = tuple[str, str]
"""A valid text and the reason of its repair, empty when it was valid as it stood."""

_DATE = re.compile(r"^(\d{4})[-./]?(\d{2})[-./]?(\d{2})$")
_TIME = re.compile(r"^(\d{2}):?(\d{2})?:?(\d{2})?(\.\d+)?$")
_AGE = re.compile(r"^(\d{1,3})([DWMY])$")
_UID = re.compile(r"^(0|[1-9]\d*)(\.(0|[1-9]\d*))*$")
_SEX = {"M": "M", "F": "F", "O": "O", "MALE": "M", "FEMALE": "F", "OTHER": "O"}
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def repair_text(text: str, limit: int) -> Repaired:
    """Return ``text`` as SH or LO: one line, one value, at most ``limit`` characters."""
    reason = ""
    plain = "".join(character for character in text if character.isprintable())
    if plain != text:
        reason = "characters"
    if "\\" in plain:
        plain, reason = plain.replace("\\", "_"), "multiplicity"
    plain = plain.strip()
    if len(plain) > limit:
        plain, reason = plain[:limit].rstrip(), "length"
    return plain, reason


def repair_person_name(text: str) -> Repaired:
    """Return ``text`` as PN: three groups of five components, 64 characters a group.

    Source: PS3.5 6.2.1.
    """
    plain, reason = repair_text(text, 3 * 64 + 2)
    groups = plain.split("=")
    if len(groups) > 3:
        groups, reason = groups[:3], "format"
    kept = []
    for group in groups:
        components = group.split("^")
        if len(components) > 5:
            components, reason = [*components[:4], " ".join(components[4:])], "format"
        group = "^".join(components)
        if len(group) > 64:
            group, reason = group[:64], "length"
        kept.append(group)
    return "=".join(kept), reason


def repair_date(text: str) -> Repaired:
    """Return ``text`` as DA (YYYYMMDD); other orders of day and month become empty."""
    found = _DATE.match(text.strip())
    if found is None:
        return "", "value"
    year, month, day = (int(part) for part in found.groups())
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS[month - 1] or year < 1:
        return "", "value"
    if (month, day) == (2, 29) and not leap:
        return "", "value"
    date = "".join(found.groups())
    return date, "" if date == text.strip() else "format"


def repair_time(text: str) -> Repaired:
    """Return ``text`` as TM (HHMMSS.FFFFFF); colons of the old form are removed."""
    found = _TIME.match(text.strip())
    if found is None:
        return "", "value"
    hours, minutes, seconds, fraction = found.groups()
    if int(hours) > 23 or int(minutes or 0) > 59 or int(seconds or 0) > 60:
        return "", "value"
    time = hours + (minutes or "") + ((seconds or "") if minutes else "")
    if fraction and seconds:
        time += fraction[:7]
    return time, "" if time == text.strip() else "format"


def repair_sex(text: str) -> Repaired:
    """Return ``text`` as Patient's Sex: M, F or O (PS3.3 C.7.1.1)."""
    sex = _SEX.get(text.strip().upper(), "")
    if not sex:
        return "", "value"
    return sex, "" if sex == text.strip() else "format"


def repair_age(text: str) -> Repaired:
    """Return ``text`` as AS: three digits and D, W, M or Y; no unit, no age."""
    found = _AGE.match(text.strip().upper())
    if found is None:
        return "", "value"
    age = found[1].zfill(3) + found[2]
    return age, "" if age == text.strip() else "format"


def repair_decimal(text: str) -> Repaired:
    """Return ``text`` as one positive DS of at most 16 characters (size and weight)."""
    plain = text.strip()
    try:
        number = float(plain)
    except ValueError:
        return "", "value"
    if not math.isfinite(number) or number <= 0:
        return "", "value"
    if len(plain) > 16 or not re.fullmatch(r"[0-9+.eE-]+", plain):
        return str(format_number_as_ds(number)), "length"
    return plain, ""


def repair_yes_no(text: str) -> Repaired:
    """Return ``text`` as YES or NO."""
    plain = text.strip().upper()
    if plain not in ("YES", "NO"):
        return "", "value"
    return plain, "" if plain == text.strip() else "format"


def repair_longitudinal(text: str) -> Repaired:
    """Return Longitudinal Temporal Information Modified as one of its enumerated values."""
    plain = text.strip()
    known = plain in ("UNMODIFIED", "MODIFIED", "REMOVED")
    return (plain, "") if known else ("", "value")


def repair_code_string(text: str) -> Repaired:
    """Return ``text`` as CS: capitals, digits, space and underscore, 16 characters."""
    plain = re.sub(r"[^A-Z0-9_ ]", "_", text.strip().upper())[:16].strip()
    return plain, "" if plain == text.strip() else "format"


def repair_laterality(text: str) -> Repaired:
    """Return Laterality: L, R, or empty (PS3.3 C.7.3.1)."""
    plain = text.strip().upper()[:1]
    if plain not in ("L", "R"):
        return "", "value"
    return plain, "" if plain == text.strip() else "format"


def repair_timezone(text: str) -> Repaired:
    """Return Timezone Offset From UTC as &ZZXX, -1200 to +1400 (PS3.3 C.12.1)."""
    found = re.fullmatch(r"([+-])(\d{2})(\d{2})", text.strip())
    if found is None or int(found[2]) > 14 or int(found[3]) > 59 or text.strip() == "-0000":
        return "", "value"
    return text.strip(), ""


def is_valid_uid(text: str) -> bool:
    """Return whether ``text`` is a UID: at most 64 characters, no leading zeros (PS3.5 9.1)."""
    return len(text) <= 64 and _UID.match(text) is not None


def keep_uid(text: str) -> Repaired:
    """Return ``text`` unchanged: another UID would tear the result from its study.

    The archive knows the study under the UID that it was sent with, valid or not; the
    reason says so and nothing is repaired.
    """
    return text.strip(), "" if is_valid_uid(text.strip()) else "kept"


def repair_short(text: str) -> Repaired:
    """Return ``text`` as SH (16 characters)."""
    return repair_text(text, 16)


def repair_long(text: str) -> Repaired:
    """Return ``text`` as LO (64 characters)."""
    return repair_text(text, 64)


RULES: dict[str, Callable[[str], Repaired]] = {
    "PatientName": repair_person_name,
    "PatientID": repair_long,
    "IssuerOfPatientID": repair_long,
    "PatientBirthDate": repair_date,
    "PatientSex": repair_sex,
    "PatientAge": repair_age,
    "PatientSize": repair_decimal,
    "PatientWeight": repair_decimal,
    "PatientIdentityRemoved": repair_yes_no,
    "DeidentificationMethod": repair_long,
    "LongitudinalTemporalInformationModified": repair_longitudinal,
    "StudyInstanceUID": keep_uid,
    "StudyDate": repair_date,
    "StudyTime": repair_time,
    "ReferringPhysicianName": repair_person_name,
    "StudyID": repair_short,
    "AccessionNumber": repair_short,
    "StudyDescription": repair_long,
    "TimezoneOffsetFromUTC": repair_timezone,
}
"""Attribute -> rule: what a written object inherits, and nothing else."""

BODY_PART_RULES = {"BodyPartExamined": repair_code_string, "Laterality": repair_laterality}
"""What derived images inherit of the source series besides."""

TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
"""Attributes that must be there, even empty (PS3.5 7.4.3)."""
