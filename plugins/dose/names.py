"""What a structure is by its name alone: one TG-263 name, or why there is none.

    name → words (folded, split at separators, capitals and digits) → each word understood, or
    the name is not → one structure, with its side or dose, or a question to a person

Nothing is guessed: a word that is not understood, a side that is missing, a number that may
be a version, two structures in one name all end at the review list.  Helper structures,
planning risk volumes and targets that are no PTV are understood and left out.

Standard: AAPM TG-263 (names; doses in cGy); DICOM PS3.3 C.8.8.5 (ROI Name, free text).

Read next: `structures.py`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from plugins.dose.words import PLURALS, STRUCTURES, VOCABULARY, Word

MAPPED, AMBIGUOUS, NOT_RECOGNISED, EXCLUDED = "mapped", "ambiguous", "not_recognised", "excluded"
STATUSES = (MAPPED, AMBIGUOUS, NOT_RECOGNISED, EXCLUDED)

HELPER, PRV, MARGIN, DERIVED = "HELPER", "PRV", "MARGIN", "DERIVED"
UNKNOWN_WORD, NO_NAME, QUALIFIED = "UNKNOWN_WORD", "NO_NAME", "QUALIFIED"
TWO_STRUCTURES, SIDE_MISSING, SIDE_UNEXPECTED = "TWO_STRUCTURES", "SIDE_MISSING", "SIDE_UNEXPECTED"
NUMBERED, DOSE_UNCLEAR, BOOST_DOSE = "NUMBERED", "DOSE_UNCLEAR", "BOOST_DOSE"

BARE_GY = (20.0, 90.0)
"""A number without unit in a target's name is Gy in this range; below it may be an index."""
BARE_CGY = (1000.0, 9000.0)
BOOST_GY = 40.0
"""A boost below this may be the boost's own dose and not the total."""
_SEPARATORS = re.compile(r"[\s_\-–.,/\\()\[\]:;+&#'\"]+")
_CAMEL = re.compile(r"(?<=[a-zäöüß])(?=[A-ZÄÖÜ])|(?<=[A-ZÄÖÜ])(?=[A-ZÄÖÜ][a-zäöü])")
_POINT = "\ue000"
"""Stands for a decimal point while a name is split; private use, so that no name has it."""
_PART = re.compile(rf"[a-z]+|[0-9]+(?:{_POINT}[0-9]+)?|[^a-z0-9]+")
_MINUS_TARGET = re.compile(r"[-–]\s*[pcg]tv")
_PLUS_MARGIN = re.compile(r"\+\s*[0-9]")
_LONGEST = 4
_ADDITIONS = {"side", "prv", "helper", "level", "classifier", "boost"}
"""Kinds of words that are written together with a structure's: PTVhigh, lparotid, BrainstemPRV."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a name says.

    Parameters
    ----------
    status : mapped, ambiguous, not_recognised or excluded.
    tg263 : the name by TG-263; empty unless mapped.
    code : why it is not mapped.
    candidates : TG-263 names that it might mean.
    dose_gy : total dose that the name of a target states; None where it states none.
    level : High, Mid or Low, where the name of a target says so.
    """

    status: str
    tg263: str = ""
    code: str = ""
    candidates: tuple[str, ...] = ()
    dose_gy: float | None = None
    level: str = ""

    @property
    def is_target(self) -> bool:
        """Whether it is mapped to a PTV."""
        return self.tg263.startswith("PTV")


def recognise(name: str) -> Recognition:
    """Return what a structure is by its name.

    Examples
    --------
    >>> recognise("re. Parotis").tg263, recognise("PTV 66 Gy boost").tg263
    ('Parotid_R', 'PTV_6600')
    >>> recognise("Parotis").candidates
    ('Parotid_L', 'Parotid_R')
    """
    words = _words(name)
    kinds = {word.kind for word in words}
    if "helper" in kinds:
        return Recognition(EXCLUDED, code=HELPER)
    if "prv" in kinds:
        return Recognition(EXCLUDED, code=PRV)
    plain = _folded(name)
    named = tuple(dict.fromkeys(word for word in words if word.kind in STRUCTURES))
    if named and _MINUS_TARGET.search(plain):
        return Recognition(EXCLUDED, code=DERIVED)
    hints = tuple(name for word in named for name in _possible(word))
    if _PLUS_MARGIN.search(plain) or any(w.kind == "unit" and w.value[1:] == "m" for w in words):
        status = AMBIGUOUS if "target" in kinds else EXCLUDED
        return Recognition(status, code=MARGIN, candidates=hints)
    if not named:
        hints = ("PTV",) if "ptv" in plain else ()
        return Recognition(NOT_RECOGNISED, code=NO_NAME, candidates=hints)
    if len(named) > 1:
        return Recognition(AMBIGUOUS, code=TWO_STRUCTURES, candidates=hints)
    if named[0].kind == "other_target":
        return Recognition(EXCLUDED, code=named[0].value)
    if "qualifier" in kinds:
        return Recognition(AMBIGUOUS, code=QUALIFIED, candidates=hints)
    if "unknown" in kinds:
        return Recognition(NOT_RECOGNISED, code=UNKNOWN_WORD, candidates=hints)
    return _target(words) if named[0].kind == "target" else _organ(named[0], words)


def _organ(named: Word, words: tuple[Word, ...]) -> Recognition:
    """Return an organ with its side; anything more in the name is a question."""
    possible = _possible(named)
    if any(w.kind in ("number", "unit", "level", "boost", "classifier") for w in words):
        return Recognition(AMBIGUOUS, code=NUMBERED, candidates=possible)
    sides = {word.value for word in words if word.kind == "side"}
    if named.kind == "both_of":
        whole = sides <= {"both"}
        return _one(named.value) if whole else _unclear(SIDE_UNEXPECTED, possible)
    if named.kind == "unpaired":
        return _one(named.value) if not sides else _unclear(SIDE_UNEXPECTED, possible)
    if sides == {"both"}:
        return _one(PLURALS[named.value])
    if len(sides) != 1:
        return _unclear(SIDE_UNEXPECTED if sides else SIDE_MISSING, possible)
    return _one(f"{named.value}_{sides.pop()}")


def _target(words: tuple[Word, ...]) -> Recognition:
    """Return a PTV with classifier, index, side and dose, in the order of TG-263."""
    sides = sorted({word.value for word in words if word.kind == "side"})
    levels = sorted({word.value for word in words if word.kind == "level"})
    classifiers = sorted(
        {word.value for word in words if word.kind in ("target", "classifier")} - {""}
    )
    if max(len(sides), len(levels), len(classifiers)) > 1 or "both" in sides:
        return _unclear(TWO_STRUCTURES, ("PTV",))
    read = _numbers(words)
    if read is None:
        return _unclear(DOSE_UNCLEAR, ("PTV",))
    index, dose_gy = read
    if any(word.kind == "boost" for word in words) and dose_gy is not None and dose_gy < BOOST_GY:
        return _unclear(BOOST_DOSE, ("PTV",))
    level = levels[0] if levels else ""
    if level and dose_gy is not None:
        return _unclear(DOSE_UNCLEAR, ("PTV",))
    parts = [f"PTV{''.join(classifiers)}{index}", *sides]
    parts += [level] if level else []
    parts += [f"{round(dose_gy * 100):04d}"] if dose_gy is not None else []
    return Recognition(MAPPED, "_".join(parts), dose_gy=dose_gy, level=level)


def _numbers(words: tuple[Word, ...]) -> tuple[str, float | None] | None:
    """Return index and dose in Gy of a target's name; None where its numbers are unclear."""
    index, doses = "", []
    for place, word in enumerate(words):
        if word.kind != "number":
            continue
        after = words[place + 1] if place + 1 < len(words) else Word("", "")
        unit = after.value if after.kind == "unit" else ""
        dose = _dose_gy(float(word.value), unit)
        follows_target = place > 0 and words[place - 1].kind in ("target", "classifier")
        if dose is not None:
            doses.append(dose)
        elif not unit and follows_target and re.fullmatch("[1-9]", word.value) and not index:
            index = word.value
        else:
            return None
    if len(doses) > 1:
        return None
    return index, doses[0] if doses else None


def _dose_gy(number: float, unit: str) -> float | None:
    """Return the dose that a number means; None where it may be something else."""
    if unit == "Gy":
        return number if 0.0 < number <= 200.0 else None
    if unit == "cGy":
        return number / 100.0 if 0.0 < number <= 20_000.0 else None
    if BARE_GY[0] <= number <= BARE_GY[1]:
        return number
    return number / 100.0 if BARE_CGY[0] <= number <= BARE_CGY[1] else None


def _words(name: str) -> tuple[Word, ...]:
    """Return what each word of a name is, capitals as borders only where that helps."""
    text = _decimals(name)
    plain = _parsed(text)
    return (
        plain if all(word.kind != "unknown" for word in plain) else _parsed(_CAMEL.sub(" ", text))
    )


def _parsed(text: str) -> tuple[Word, ...]:
    """Return what each word of a text is; the longest run of words that is known counts."""
    parts = [
        part.replace(_POINT, ".")
        for piece in _SEPARATORS.split(_folded(text))
        for part in _PART.findall(piece)
    ]
    found: list[Word] = []
    place = 0
    while place < len(parts):
        size, word = _longest(parts[place:])
        found += _glued(parts[place]) if word is None else [word]
        place += size
    return tuple(found)


def _longest(parts: list[str]) -> tuple[int, Word | None]:
    """Return how many parts the first word takes, and what it is."""
    first = parts[0]
    if not first.isalpha() or not first.isascii():
        return 1, Word("number", first) if first[0].isdigit() else Word("qualifier", first)
    for size in range(min(_LONGEST, len(parts)), 0, -1):
        known = VOCABULARY.get("".join(parts[:size]))
        if known is not None and all(part.isalpha() for part in parts[:size]):
            return size, known
    return 1, None


def _glued(text: str) -> list[Word]:
    """Return the words of one that is written together: zptv, lparotid, parotislinks."""
    if text == "z" or (text[0] == "z" and _is_structure(text[1:])):
        return [Word("helper", "")]
    for cut in range(1, len(text)):
        before, after = VOCABULARY.get(text[:cut]), VOCABULARY.get(text[cut:])
        if before is None or after is None or (after.kind == "side" and len(text) - cut == 1):
            continue  # "cochlear" is no right cochlea
        kinds = {before.kind, after.kind}
        if kinds & set(STRUCTURES) and kinds & _ADDITIONS:
            return [before, after]
    return [Word("unknown", text)]


def _is_structure(text: str) -> bool:
    return text in VOCABULARY and VOCABULARY[text].kind in STRUCTURES


def _decimals(name: str) -> str:
    """Return the name with German decimal commas as points, between digits only."""
    text = re.sub(r"(?<=[0-9]),(?=[0-9])", ".", unicodedata.normalize("NFKC", name))
    return re.sub(r"(?<=[0-9])\.(?=[0-9])", _POINT, text)


def _folded(text: str) -> str:
    """Return text without case and diacritics."""
    split = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in split if not unicodedata.combining(letter))


def _possible(named: Word) -> tuple[str, ...]:
    if named.kind == "paired":
        return f"{named.value}_L", f"{named.value}_R"
    return ("PTV",) if named.kind == "target" else (named.value,)


def _one(tg263: str) -> Recognition:
    return Recognition(MAPPED, tg263)


def _unclear(code: str, candidates: tuple[str, ...]) -> Recognition:
    return Recognition(AMBIGUOUS, code=code, candidates=candidates)
