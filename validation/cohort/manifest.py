"""The manifest of a cohort: cases, reference standard, provenance, whom it covers and whom not.

    {"schema": "osteon.cohort/1", "name": ..., "cases": [{"case_id", "patient_group", ...}], ...}

The digest of the canonical JSON (RFC 8785) names the whole lot, because the manifest holds the
digest of every file.  A patient is a keyed pseudonym and never an id; a case has an id of the
cohort's own.  ``seal`` is part of the manifest, so that its wear budget cannot be raised without
another digest; `content_digest` leaves it out and counts the same cases as the same.

Source: Regulation (EU) 2024/1689 Art. 10(2)(a) to (h), 10(3); REGULATORY.md AIA-10.2, AIA-10.3,
AIA-15.4L (labels that a model made and nobody edited are no reference standard).

Read next: `reading.py`, `strata.py`, `coverage.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import PurePosixPath

from audit.errors import RefusalError
from validation.cohort.strata import AGE_BANDS, StratumRule, age_band

SCHEMA = "osteon.cohort/1"
LETTERS = ("a", "b", "c", "d", "e", "f", "g", "h")
ORIGINS = ("manual", "ai-edited", "ai-unedited", "consensus", "analytic")
OPERATIONS = ("pre", "post", "none", "unknown")
AXES = ("tumour_type", "tumour_site", "age_band", "sex", "scanner", "metal", "operation")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PSEUDONYM = re.compile(r"p-[0-9a-f]{32}")
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
_CODE = re.compile(r"[\w .,+/()-]{0,80}")
_SIZE_LIMIT = 1 << 40


class CohortError(RefusalError):
    """A cohort cannot be used: the reasons name what is wrong with which of its cases."""

    code = "COHORT"
    advice = "Correct the cohort where the reasons say, and build it again: `osteon cohort build`."


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of the cohort: relative path, digest of its bytes, size in bytes."""

    path: str
    digest: str
    size: int

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        plain = bool(parts) and not self.path.startswith("/") and ".." not in parts
        whole = isinstance(self.size, int) and 0 <= self.size < _SIZE_LIMIT
        if not (plain and "\\" not in self.path and _DIGEST.fullmatch(self.digest) and whole):
            raise refused("COHORT_MALFORMED", "file entry with a relative path, digest and size")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who made a reference standard, when, how, and what a model had to do with it.

    Parameters
    ----------
    made_by : role or panel (``radiation oncologist``); never a name.
    made_on : ISO 8601 date, or empty where only the publication is dated.
    method : how: on which images, under which protocol.
    origin : manual | ai-edited | ai-unedited | consensus | analytic.
    """

    made_by: str
    made_on: str
    method: str
    origin: str

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS or not (self.made_by.strip() and self.method.strip()):
            raise refused("COHORT_MALFORMED", f"a provenance with an origin of {ORIGINS}")
        if self.made_on:
            try:
                date.fromisoformat(self.made_on)
            except ValueError as error:
                raise refused("COHORT_MALFORMED", "made_on as an ISO 8601 date") from error


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference standard of a case: its file and where it comes from."""

    file: FileEntry
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class CohortFacts:
    """What is known of a patient, as far as strata and coverage need it.

    Parameters
    ----------
    age_years : None where only the band is known, or neither.
    age_band : one of `AGE_BANDS`; made from the years where these are given.
    sex : M | F | O, None when unknown.
    scanner : manufacturer and model, as the images say; empty when unknown.
    manufacturer, model, station : of that scanner, as a run reads them; empty when unknown.
    flags : quality and vulnerability flags, e.g. ``metal``, ``pregnant``; sorted.
    tumour_type, tumour_site, grade : words of the axes of the coverage table.
    operation : pre | post | none | unknown.
    """

    age_years: float | None = None
    age_band: str = "unknown"
    sex: str | None = None
    body_part: str = ""
    scanner: str = ""
    flags: tuple[str, ...] = ()
    tumour_type: str = ""
    tumour_site: str = ""
    grade: str = ""
    operation: str = "unknown"
    manufacturer: str = ""
    model: str = ""
    station: str = ""

    def __post_init__(self) -> None:
        if self.age_years is not None:
            object.__setattr__(self, "age_band", age_band(self.age_years))
        texts = (
            self.body_part, self.scanner, self.tumour_type, self.tumour_site, self.grade,
            self.manufacturer, self.model, self.station,
        )  # fmt: skip
        well = (
            (self.age_years is None or 0 <= self.age_years < 150)
            and self.age_band in AGE_BANDS
            and self.sex in ("M", "F", "O", None)
            and self.operation in OPERATIONS
            and all(_CODE.fullmatch(text) for text in (*texts, *self.flags))
            and tuple(sorted(set(self.flags))) == self.flags
        )
        if not well:
            raise refused("COHORT_MALFORMED", "facts in the terms of the manifest")

    def on(self, axis: str) -> str:
        """Return the level of the patient on one axis of the coverage table."""
        if axis == "metal":
            return "metal" if "metal" in self.flags else "no metal"
        value = getattr(self, axis)
        return str(value) if value else "unknown"


@dataclass(frozen=True, slots=True)
class CohortCase:
    """One case: inputs by role, the reference standard, and what is known of the patient.

    Parameters
    ----------
    patient_group : keyed pseudonym (`linkage.py`); cases of one patient share it.
    site : code of where it was acquired.
    split : name of one of the cohort's splits, e.g. ``test``.
    expected : ``answer``, or ``refusal`` for a case outside the intended purpose.
    seed_point_mm : LPS point inside the lesion that the case is asked with; None where none is.
    """

    case_id: str
    patient_group: str
    site: str
    facts: CohortFacts
    inputs: Mapping[str, FileEntry]
    reference: Reference | None
    split: str = "test"
    expected: str = "answer"
    seed_point_mm: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if not _PSEUDONYM.fullmatch(self.patient_group):
            raise refused("COHORT_PATIENT_ID", "a keyed pseudonym as patient group")
        well = (
            bool(_NAME.fullmatch(self.case_id) and _NAME.fullmatch(self.split))
            and bool(_NAME.fullmatch(self.site) and self.inputs)
            and all(_NAME.fullmatch(role) for role in self.inputs)
            and self.expected in ("answer", "refusal")
            and (self.reference is not None or self.expected == "refusal")
        )
        if not well:
            raise refused("COHORT_MALFORMED", f"case {self.case_id[:40]} in the manifest's terms")
        if self.reference and self.reference.provenance.origin == "ai-unedited":
            raise refused("COHORT_LABEL_AI_UNEDITED", "a label that a person made", self.case_id)

    def files(self) -> tuple[FileEntry, ...]:
        """Return every file of the case, inputs by role and the reference last."""
        inputs = tuple(self.inputs[role] for role in sorted(self.inputs))
        return inputs if self.reference is None else (*inputs, self.reference.file)


@dataclass(frozen=True, slots=True)
class Seal:
    """Whether the cohort is sealed, and how often it may be opened.

    Parameters
    ----------
    state : none | sealed.
    openings : runs that may open it; 0 where it is not sealed.
    alpha : type I error that all looks of one family of hypotheses may spend together.
    """

    state: str = "none"
    openings: int = 0
    alpha: float = 0.05

    def __post_init__(self) -> None:
        known = {"none": self.openings == 0, "sealed": self.openings > 0}
        if not known.get(self.state, False) or not 0 < self.alpha < 1:
            raise refused("COHORT_MALFORMED", "a seal of none, or sealed with its openings")


@dataclass(frozen=True, slots=True)
class Cohort:
    """The cases of one evaluation with everything that an auditor asks of them.

    Parameters
    ----------
    data_governance : letters a to h of Art. 10(2), each in words.
    linkage_key_id : which key made the pseudonyms (`linkage.py`).
    strata : groups that are judged apart; the mandatory ones are always among them.
    target : level -> words for each axis of the coverage table: the population of the
        intended purpose.  A level without a case is an explicit cell "not covered".
    """

    name: str
    version: str
    purpose: str
    reference_standard: str
    legal_basis: str
    de_identification: str
    data_governance: Mapping[str, str]
    linkage_key_id: str
    sites: Mapping[str, str]
    splits: Mapping[str, str]
    strata: tuple[StratumRule, ...]
    target: Mapping[str, tuple[str, ...]]
    cases: tuple[CohortCase, ...]
    seal: Seal = field(default_factory=Seal)

    def __post_init__(self) -> None:
        reasons = [*_words_missing(self), *_terms_unknown(self), *_doubles(self)]
        if reasons:
            raise CohortError("expected a complete cohort, found faults", reasons=tuple(reasons))

    def case(self, case_id: str) -> CohortCase:
        """Return one case.

        Raises
        ------
        CohortError : there is none of that id (COHORT_CASE_UNKNOWN).
        """
        for item in self.cases:
            if item.case_id == case_id:
                return item
        raise refused("COHORT_CASE_UNKNOWN", f"a case {case_id[:40]!r}")

    def with_seal(self, seal: Seal) -> Cohort:
        """Return the same cases under another seal: another digest, the same content."""
        return replace(self, seal=seal)


def refused(code: str, expected: str, case_id: str = "") -> CohortError:
    """Return the error that says what was expected of a cohort, by a stable code."""
    reason = f"{code} {case_id}" if case_id else code
    return CohortError(f"expected {expected}, found another", reasons=(reason,))


def _words_missing(cohort: Cohort) -> list[str]:
    """Return what has to be written in words and is empty."""
    texts = ("purpose", "reference_standard", "legal_basis", "de_identification", "linkage_key_id")
    empty = [name for name in texts if not str(getattr(cohort, name)).strip()]
    empty += [
        f"data_governance.{letter}"
        for letter in LETTERS
        if not str(cohort.data_governance.get(letter, "")).strip()
    ]
    return [f"COHORT_WORDS_MISSING {name}" for name in empty]


def _terms_unknown(cohort: Cohort) -> list[str]:
    """Return names that stand nowhere in the cohort's own lists."""
    found = [f"COHORT_NAME {value[:40]}" for value in (cohort.name,) if not _NAME.fullmatch(value)]
    if not re.fullmatch(r"[0-9]+(\.[0-9]+){0,2}", cohort.version):
        found.append("COHORT_VERSION")
    found += [f"COHORT_AXIS_UNKNOWN {axis[:40]}" for axis in cohort.target if axis not in AXES]
    found += [f"COHORT_AXIS_MISSING {axis}" for axis in AXES if not cohort.target.get(axis)]
    for case in cohort.cases:
        if case.site not in cohort.sites:
            found.append(f"COHORT_SITE_UNKNOWN {case.case_id}")
        if case.split not in cohort.splits:
            found.append(f"COHORT_SPLIT_UNKNOWN {case.case_id}")
    return found


def _doubles(cohort: Cohort) -> list[str]:
    """Return what must be there once and is there twice, or not at all."""
    found = [] if cohort.cases else ["COHORT_EMPTY"]
    ids = [case.case_id for case in cohort.cases]
    found += [f"COHORT_CASE_TWICE {name}" for name in sorted({i for i in ids if ids.count(i) > 1})]
    paths = [entry.path for case in cohort.cases for entry in case.files()]
    if len(set(paths)) != len(paths):
        found.append("COHORT_PATH_TWICE")
    names = [rule.name for rule in cohort.strata]
    if len(set(names)) != len(names):
        found.append("COHORT_STRATUM_TWICE")
    splits: dict[str, set[str]] = {}
    for case in cohort.cases:
        splits.setdefault(case.patient_group, set()).add(case.split)
    found += [
        f"COHORT_PATIENT_IN_TWO_SPLITS {group}"
        for group, names_of in sorted(splits.items())
        if len(names_of) > 1
    ]
    return found
