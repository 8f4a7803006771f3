"""Which active releases apply to a study, on which series, and why the others do not.

Pure and declarative: rules are data, nothing is evaluated as code.  Keywords and value
forms follow PS3.6 and PS3.5 Section 6.2; localizers and reformatted images are told by
Image Type (PS3.3 C.7.6.1.1.2).  `osteon route test` prints every `Reason`; a record
keeps code and keyword only, because ``found`` is a value of the study.

Read next: `envelope.py`, which judges the decoded case.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from audit.pseudonym import short
from plugins.host.facts import SeriesFacts, StudyFacts
from plugins.host.manifest import Input, Manifest, Rule

NOT_VOLUME = ("LOCALIZER", "MPR", "CPR", "MIP", "MINIP", "PROJECTION IMAGE", "REFORMATTED")
"""Values of Image Type (PS3.3 C.7.6.1.1.2, C.8.16.1.3) of images that are no acquired stack."""

_AGE_IN_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


@dataclass(frozen=True, slots=True)
class Reason:
    """Say which condition decided, on which DICOM keyword, and what was found instead.

    Parameters
    ----------
    code : STUDY_RULE, SERIES_RULE, MODALITY, INSTANCES, NOT_VOLUME, OWN_OUTPUT,
        FRAME_OF_REFERENCE, FRAME_OF_REFERENCE_UNKNOWN, LESS_PREFERRED, MISSING_INPUT.
    role : input role it is about; empty for the study.
    series : short digest of the Series Instance UID; empty for the study.
    """

    code: str
    keyword: str = ""
    expected: str = ""
    found: str = ""
    role: str = ""
    series: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Say whether one release applies to one study, on which series, with all reasons."""

    plugin: str
    plugin_version: str
    release_digest: str
    applies: bool
    series: Mapping[str, str]
    sop_instance_uids: tuple[str, ...]
    reasons: tuple[Reason, ...]


def route(
    study: StudyFacts,
    releases: Iterable[tuple[str, Manifest]],
    own_series: Collection[str] = (),
) -> tuple[Decision, ...]:
    """Return one decision for each (release digest, manifest), in the order given."""
    return tuple(decide(study, digest, manifest, own_series) for digest, manifest in releases)


def decide(
    study: StudyFacts, release_digest: str, manifest: Manifest, own_series: Collection[str] = ()
) -> Decision:
    """Return whether the release applies and which series fills each role.

    For each role the best candidate is taken: the one whose frame of reference fills most
    dependent inputs, then ORIGINAL before DERIVED, then most instances, thinnest slice,
    smallest Series Instance UID.  A role of ``every`` takes all of them, by that UID.

    Parameters
    ----------
    own_series : Series Instance UIDs that this suite wrote, as recorded; never an input.
    """
    reasons = [
        _failure(rule, study.tags)
        for rule in manifest.routing
        if not rule.applies_to and not fulfils(rule, study.tags)
    ]
    applies = not reasons
    chosen: dict[str, SeriesFacts] = {}
    usable: dict[str, list[SeriesFacts]] = {}
    for wanted in manifest.inputs:
        usable[wanted.role], found = _candidates(study, wanted, manifest, own_series)
        reasons += found
    for wanted in sorted(manifest.inputs, key=lambda item: item.same_frame_as is not None):
        candidates, found = _in_frame(usable[wanted.role], wanted, chosen)
        reasons += found
        if candidates and wanted.every:
            ordered = sorted(candidates, key=lambda item: item.series_instance_uid)
            chosen |= {wanted.numbered(n): item for n, item in enumerate(ordered, start=1)}
        elif candidates:
            best, found = _best(candidates, wanted, manifest, usable)
            chosen[wanted.role] = best
            reasons += found
        elif wanted.required:
            applies = False
            reasons.append(Reason("MISSING_INPUT", "Modality", wanted.modality, "", wanted.role))
    series = {role: item.series_instance_uid for role, item in sorted(chosen.items())}
    instances = sorted({uid for item in chosen.values() for uid in item.sop_instance_uids})
    return Decision(
        manifest.plugin,
        manifest.version,
        release_digest,
        applies,
        series if applies else {},
        tuple(instances) if applies else (),
        tuple(reasons),
    )


def fulfils(rule: Rule, tags: Mapping[str, str]) -> bool:
    """Return whether the tags fulfil a rule; text is compared without case and padding.

    A keyword that is missing or empty fulfils ``absent`` and negated rules only.  ``contains``
    asks for a part of the text or one of several values; numbers are compared by the first
    value, an age string (PS3.5 AS) in years.

    Examples
    --------
    >>> fulfils(Rule("ImageType", "contains", "PRIMARY"), {"ImageType": "ORIGINAL\\\\PRIMARY"})
    True
    """
    text = tags.get(rule.keyword, "").strip().upper()
    return _holds(rule, text) != rule.negate


def _holds(rule: Rule, text: str) -> bool:
    if rule.operator == "absent" or not text:
        return rule.operator == "absent" and not text
    values = rule.value if isinstance(rule.value, tuple) else (rule.value,)
    wanted = [str(value).strip().upper() for value in values]
    match rule.operator:
        case "present":
            return True
        case "equals" | "in":
            return text in wanted
        case "contains":
            return any(value in text for value in wanted)
        case "matches":
            return any(fnmatchcase(text, value) for value in wanted)
        case "at_least":
            return number(text) >= number(wanted[0])
        case "at_most":
            return number(text) <= number(wanted[0])
    raise ValueError(f"expected an operator of `Rule`, found {rule.operator!r}")


def number(text: str) -> float:
    """Return the first value of a DS, IS or AS text; NaN, which fulfils nothing, otherwise."""
    first = text.split("\\")[0].strip().upper()
    try:
        if first[-1:] in _AGE_IN_YEARS:
            return float(first[:-1]) * _AGE_IN_YEARS[first[-1]]
        return float(first)
    except ValueError:
        return math.nan


def _failure(rule: Rule, tags: Mapping[str, str], series: str = "") -> Reason:
    value = "|".join(rule.value) if isinstance(rule.value, tuple) else rule.value
    words = ("not " if rule.negate else "", rule.operator, "" if value is None else f" {value}")
    code = "SERIES_RULE" if series else "STUDY_RULE"
    found = tags.get(rule.keyword, "")
    return Reason(code, rule.keyword, "".join(words), found, rule.applies_to, series)


def _candidates(
    study: StudyFacts, wanted: Input, manifest: Manifest, own_series: Collection[str]
) -> tuple[list[SeriesFacts], list[Reason]]:
    usable, reasons = [], []
    for item in study.series:
        if item.modality != wanted.modality:
            continue
        reason = _exclusion(item, wanted, manifest, own_series, study.tags)
        if reason is None:
            usable.append(item)
        else:
            reasons.append(
                replace(reason, role=wanted.role, series=short(item.series_instance_uid))
            )
    if not usable and not reasons:
        there = "|".join(sorted({item.modality for item in study.series}))
        reasons.append(Reason("MODALITY", "Modality", wanted.modality, there, wanted.role))
    return usable, reasons


def _exclusion(
    item: SeriesFacts,
    wanted: Input,
    manifest: Manifest,
    own_series: Collection[str],
    study_tags: Mapping[str, str],
) -> Reason | None:
    if item.series_instance_uid in own_series:
        return Reason("OWN_OUTPUT", "SeriesInstanceUID", "not written by this suite")
    image_type = item.tags.get("ImageType", "")
    if not set(image_type.upper().split("\\")).isdisjoint(NOT_VOLUME):
        return Reason("NOT_VOLUME", "ImageType", "an acquired stack of images", image_type)
    count = item.image_count
    if count < wanted.minimum_instances:
        expected = f"at least {wanted.minimum_instances}"
        return Reason("INSTANCES", "NumberOfSeriesRelatedInstances", expected, str(count))
    tags = {**study_tags, "Modality": item.modality, **item.tags}
    for rule in manifest.routing:
        if rule.applies_to == wanted.role and not fulfils(rule, tags):
            return _failure(rule, tags, short(item.series_instance_uid))
    return None


def _in_frame(
    candidates: list[SeriesFacts], wanted: Input, chosen: Mapping[str, SeriesFacts]
) -> tuple[list[SeriesFacts], list[Reason]]:
    """Return the candidates in the frame of reference of the role that they must share.

    Where the archive does not tell the frame, the series stays and the decoded case decides.
    """
    if wanted.same_frame_as is None or not candidates:
        return candidates, []
    anchor = chosen.get(wanted.same_frame_as)
    expected = f"that of {wanted.same_frame_as}"
    kept, reasons = [], []
    for item in candidates:
        told = _same_frame(item, anchor) if anchor is not None else False
        if told is not False:
            kept.append(item)
        if told is not True:
            code = "FRAME_OF_REFERENCE" if told is False else "FRAME_OF_REFERENCE_UNKNOWN"
            found = "another" if told is False else "not told"
            series = short(item.series_instance_uid)
            reasons.append(
                Reason(code, "FrameOfReferenceUID", expected, found, wanted.role, series)
            )
    return kept, reasons


def _same_frame(first: SeriesFacts, second: SeriesFacts) -> bool | None:
    frames = (first.frame_of_reference_uid, second.frame_of_reference_uid)
    return None if None in frames else frames[0] == frames[1]


def _best(
    candidates: list[SeriesFacts],
    wanted: Input,
    manifest: Manifest,
    usable: Mapping[str, list[SeriesFacts]],
) -> tuple[SeriesFacts, list[Reason]]:
    dependent = [item for item in manifest.inputs if item.same_frame_as == wanted.role]

    def companions(item: SeriesFacts) -> int:
        return sum(
            any(_same_frame(other, item) is not False for other in usable[role.role])
            for role in dependent
        )

    def thickness(item: SeriesFacts) -> float:
        value = number(item.tags.get("SliceThickness", ""))
        return math.inf if math.isnan(value) else value

    def derived(item: SeriesFacts) -> bool:
        return item.tags.get("ImageType", "").upper().startswith("DERIVED")

    criteria = (
        ("FrameOfReferenceUID", lambda item: -companions(item)),
        ("ImageType", derived),
        ("NumberOfSeriesRelatedInstances", lambda item: -item.image_count),
        ("SliceThickness", thickness),
        ("SeriesInstanceUID", lambda item: item.series_instance_uid),
    )
    best, *others = sorted(candidates, key=lambda item: tuple(rank(item) for _, rank in criteria))
    reasons = []
    for item in others:
        keyword = next(word for word, rank in criteria if rank(item) != rank(best))
        series, better = short(item.series_instance_uid), short(best.series_instance_uid)
        reasons.append(
            Reason("LESS_PREFERRED", keyword, f"series {better} is better", "", wanted.role, series)
        )
    return best, reasons
