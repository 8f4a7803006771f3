"""Leakage: a case is no evidence about a model that learned from its patient.

By patient, from the release's training manifest; by content and by likeness of the images, from
another cohort or within this one, where a patient may go under two ids.  With the method
``cross-fitted`` a case is judged by the members of an ensemble that never saw its patient; one
that every member saw is refused by name.  A weight file that names no training is refused too:
what it saw cannot be ruled out.

Source: REGULATORY.md AIA-10.2, VAL-1; SEAMS, Host protocol (an ensemble names the patients of
each member).

Read next: `seal.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from validation.cohort.cases import CohortFiles, load_case
from validation.cohort.fingerprint import FloatArray, content_hash, descriptor, near_duplicates
from validation.cohort.linkage import Linkage
from validation.cohort.manifest import Cohort, CohortCase, CohortError
from validation.cohort.structures import ROLE

LEAKED, UNSTATED, DUPLICATE = "LEAKED_PATIENT", "TRAINING_UNSTATED", "DUPLICATE_IMAGE"


@dataclass(frozen=True, slots=True)
class Member:
    """One set of weights and the pseudonyms of the patients that it was trained on.

    Parameters
    ----------
    name : as the parameter ``members`` of the plugin selects it, ``fold-0``.
    """

    name: str
    patients: frozenset[str]


@dataclass(frozen=True, slots=True)
class Images:
    """What the images of a cohort are recognised by, by case id."""

    groups: Mapping[str, str]
    hashes: Mapping[str, str]
    descriptors: Mapping[str, FloatArray]


def members_of(manifest: Mapping[str, Any], linkage: Linkage) -> tuple[Member, ...]:
    """Return what each weight file of a release was trained on; none for one without weights.

    Raises
    ------
    CohortError : a weight file names no patients (TRAINING_UNSTATED).
    """
    stated = {str(item["file"]): item for item in manifest.get("training", ())}
    silent = [
        name for name in manifest.get("weights", ()) if not stated.get(name, {}).get("trained_on")
    ]
    if silent:
        raise CohortError(
            f"expected the patients of every weight file, found {len(silent)} without",
            reasons=tuple(f"{UNSTATED} {name[:16]}" for name in silent),
            advice="Publish the release again with a training manifest.",
        )
    return tuple(
        Member(
            f"fold-{item['fold']}" if item.get("fold") is not None else name[:16],
            frozenset(linkage.pseudonym(str(patient)) for patient in item["trained_on"]),
        )
        for name, item in stated.items()
    )


def fair_members(case: CohortCase, members: Sequence[Member]) -> tuple[str, ...]:
    """Return the names of the members that never saw the patient of a case, sorted."""
    return tuple(sorted({m.name for m in members if case.patient_group not in m.patients}))


def leaked(cohort: Cohort, members: Sequence[Member], method: str) -> tuple[str, ...]:
    """Return a reason for each case whose patient the release learned from.

    Parameters
    ----------
    method : held-out: no member may have seen the patient; cross-fitted: one member at least
        has not.
    """
    reasons = []
    for case in cohort.cases:
        fair = fair_members(case, members)
        names = {member.name for member in members}
        is_fair = bool(fair) if method == "cross-fitted" else set(fair) == names
        if members and not is_fair:
            reasons.append(f"{LEAKED} {case.case_id}")
    return tuple(reasons)


def require_no_leak(cohort: Cohort, members: Sequence[Member], method: str) -> None:
    """Return when no case's patient was learned from.

    Raises
    ------
    CohortError : some were, each by name (LEAKED_PATIENT).
    """
    reasons = leaked(cohort, members, method)
    if reasons:
        raise CohortError(
            f"expected patients that the release never saw, found {len(reasons)} cases of others",
            reasons=reasons,
            advice="Leave these cases out, or judge them cross-fitted by members that never saw "
            "them.",
        )


def images_of(cohort: Cohort, files: CohortFiles) -> Images:
    """Return what the images of a cohort are recognised by: of each case its CT, or the first
    image by role where it has none.

    Likeness is sought among CT alone, on which its threshold was measured; equal images among all.
    """
    hashes, descriptors = {}, {}
    for case in cohort.cases:
        roles = sorted(set(case.inputs) - {ROLE}, key=lambda role: (role != "ct", role))
        if not roles:
            continue
        volume = load_case(case, files, roles[:1]).images[roles[0]]
        hashes[case.case_id] = content_hash(volume)
        if volume.modality == "CT":
            descriptors[case.case_id] = descriptor(volume)
    groups = {case.case_id: case.patient_group for case in cohort.cases}
    return Images(groups, hashes, descriptors)


def duplicates(found: Images, known: Images | None = None) -> tuple[str, ...]:
    """Return a reason for each pair of images that are one patient's and say otherwise.

    Parameters
    ----------
    known : images that a release learned from; within the cohort itself where it is None, and
        then images that are said to be one patient's are none.
    """
    against = found if known is None else known
    same = {
        tuple(sorted((one, other))) if known is None else (one, other)
        for one, value in found.hashes.items()
        for other, second in against.hashes.items()
        if value == second and (known is not None or one != other)
    }
    alike = near_duplicates(found.descriptors, None if known is None else known.descriptors)
    pairs = dict.fromkeys(same, "equal")
    pairs.update({(a, b): f"{score:.3f}" for a, b, score in alike if (a, b) not in pairs})
    return tuple(
        f"{DUPLICATE} {one} {other} {how}"
        for (one, other), how in sorted(pairs.items())
        if known is not None or found.groups[one] != found.groups[other]
    )
