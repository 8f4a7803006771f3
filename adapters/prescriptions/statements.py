"""What a source states about the doses of a patient, and which statement counts.

    a plan counts before a physician's intent, an intent before an order, an order before the
    site's protocol; but nobody chooses between two that contradict each other: then there is
    no prescription, and both are named

A protocol is a rule of the site and no statement about the patient: one that would apply and
has other doses than the patient's plan simply does not apply.  One that the patient's own
intent or order names has to agree.

Read next: `protocols.py`, `finder.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from adapters.prescriptions.protocols import Protocol
from plugins.host.prescription import SOURCES, Prescription, digest_of

SAME_GY = 0.05
"""Doses as near as this are one: sources round to 0.1 Gy (33 fractions of 2.12 Gy are 70 Gy)."""

CONTRADICTION, UNUSABLE = "PRESCRIPTION_CONTRADICTION", "PRESCRIPTION_UNUSABLE"
SHAPE, UNITS, OTHER_STUDY = (
    *("PRESCRIPTION_SHAPE", "PRESCRIPTION_UNITS"),
    "PRESCRIPTION_OTHER_STUDY",
)
SEVERAL_GROUPS, NOT_PHOTONS = "PRESCRIPTION_SEVERAL_GROUPS", "PRESCRIPTION_NOT_PHOTONS"
PART_OF_COURSE = "PRESCRIPTION_PART_OF_COURSE"
"""Why something that was meant as a prescription cannot be used."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one object says.

    Parameters
    ----------
    source : one of `SOURCES`.
    object_id : SOP Instance UID, ``ServiceRequest/id``, or the protocol's name.
    prescription : None where the object only names a protocol.
    given_by : who or what made it, as the object says; may be a name, so it is only recorded
        as a code or digest.
    protocols : names or codes of protocols that the object mentions.
    replaces : ids of objects that this one supersedes.
    """

    source: str
    object_id: str
    prescription: Prescription | None = None
    given_by: str = ""
    protocols: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unusable:
    """A prescription that somebody meant to give, and the stable code why it is none."""

    source: str
    object_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What all sources together come to.

    Parameters
    ----------
    prescription : None where nobody states one, or where there is a fault.
    statement : the one that counts.
    fault : PRESCRIPTION_CONTRADICTION or PRESCRIPTION_UNUSABLE, else empty.
    reason : the fault, or the code of the first that cannot be used.
    named : (source, object id) of those that a fault is about.
    """

    prescription: Prescription | None = None
    statement: Statement | None = None
    fault: str = ""
    reason: str = ""
    named: tuple[tuple[str, str], ...] = ()

    @property
    def refusal(self) -> str:
        """Return the fault in the words of a refusal: its code and the kinds of sources."""
        sources = " and ".join(source for source, _ in self.named)
        return f"{self.fault} {sources}" if self.fault else ""


def with_prescription(
    parameters: Mapping[str, str | float | bool], prescription: Prescription | None
) -> dict[str, str | float | bool]:
    """Return the parameters of a run with a prescription's digest, so that it names the run."""
    chosen = dict(parameters)
    if prescription is not None:
        chosen["prescription"] = digest_of(prescription)
    return chosen


def choose(
    found: Iterable[Statement | Unusable],
    protocols: Sequence[Protocol] = (),
    applying: Sequence[Protocol] = (),
) -> Choice:
    """Return the prescription of a study.

    Parameters
    ----------
    found : of the patient's own sources.
    protocols : all of the site's, to look up those that a source names.
    applying : those whose rules the study fulfils.
    """
    standing = _standing(list(found))
    unusable = [item for item in standing if isinstance(item, Unusable)]
    if unusable:
        named = tuple((item.source, item.object_id) for item in unusable)
        return Choice(fault=UNUSABLE, reason=unusable[0].reason, named=named)
    stated = sorted(
        (item for item in standing if isinstance(item, Statement)),
        key=lambda item: (SOURCES.index(item.source), item.object_id),
    )
    protocol = _protocol(stated, protocols, applying)
    if isinstance(protocol, Choice):
        return protocol
    candidates = [item for item in stated if item.prescription is not None]
    if protocol is not None:
        candidates.append(Statement("protocol", protocol.name, protocol.prescription()))
    if not candidates:
        return Choice()
    first = candidates[0]
    for other in candidates[1:]:
        if not agree(_of(first), _of(other)):
            return _contradiction(first, other)
    counts = [count for item in candidates if (count := _of(item).fraction_count) is not None]
    if len(set(counts)) > 1:
        return _contradiction(*_differing(candidates))
    chosen = replace(_of(first), fraction_count=counts[0] if counts else None)
    if protocol is not None:
        chosen = replace(chosen, goals=protocol.goals, protocol=protocol.name)
    return Choice(chosen, first)


def agree(first: Prescription, second: Prescription) -> bool:
    """Return whether two prescriptions state the same levels, and the same to what both name."""
    if len(levels := _levels(first)) != len(others := _levels(second)):
        return False
    if any(abs(a - b) > SAME_GY for a, b in zip(levels, others, strict=True)):
        return False
    named = {_plain(item.roi_name): item.dose_gy for item in first.targets if item.roi_name}
    return all(
        abs(named.get(_plain(item.roi_name), item.dose_gy) - item.dose_gy) <= SAME_GY
        for item in second.targets
    )


def _protocol(
    stated: Sequence[Statement], protocols: Sequence[Protocol], applying: Sequence[Protocol]
) -> Protocol | Choice | None:
    """Return the one protocol that is named, or else that applies and agrees."""
    naming = [
        (item, protocol)
        for item in stated
        for protocol in protocols
        if set(item.protocols) & {protocol.name, *protocol.codes}
    ]
    if naming:
        (first, protocol), *others = naming
        for item, other in others:
            if other.name != protocol.name:
                return _contradiction(first, item)
        return protocol
    known = [item.prescription for item in stated if item.prescription is not None]
    fitting = [p for p in applying if not known or agree(known[0], p.prescription())]
    if len(fitting) > 1 and not known:
        first, second = (Statement("protocol", item.name) for item in fitting[:2])
        return _contradiction(first, second)
    return fitting[0] if len(fitting) == 1 else None


def _standing(found: Sequence[Statement | Unusable]) -> list[Statement | Unusable]:
    """Return what no other object supersedes."""
    replaced = {uid for item in found if isinstance(item, Statement) for uid in item.replaces}
    return [item for item in found if item.object_id not in replaced]


def _differing(candidates: Sequence[Statement]) -> tuple[Statement, Statement]:
    """Return the first two that state different numbers of fractions."""
    counted = [item for item in candidates if _of(item).fraction_count is not None]
    first = counted[0]
    other = next(i for i in counted if _of(i).fraction_count != _of(first).fraction_count)
    return first, other


def _contradiction(first: Statement, second: Statement) -> Choice:
    named = tuple((item.source, item.object_id) for item in (first, second))
    return Choice(fault=CONTRADICTION, reason=CONTRADICTION, named=named)


def _of(statement: Statement) -> Prescription:
    assert statement.prescription is not None
    return statement.prescription


def _levels(prescription: Prescription) -> list[float]:
    """Return the dose levels, ascending; those that are the same within rounding count once."""
    found: list[float] = []
    for dose_gy in sorted(item.dose_gy for item in prescription.targets):
        if not found or dose_gy - found[-1] > SAME_GY:
            found.append(dose_gy)
    return found


def _plain(name: str) -> str:
    return name.strip().casefold()
