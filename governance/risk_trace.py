"""From hazard to control to test to evidence: what of the risk management stands in the way.

A control counts when every test that it names passed in the evidence recorded for this
release, on the code of this release; one that informs counts when the instructions for use
have its section.  A residual risk in the middle region counts when a person accepted exactly
this hazard as it is written; a changed hazard asks again.

Source: ISO 14971:2019 clauses 7.2 (verify implementation and effect), 7.3, 8; Regulation (EU)
2024/1689 Art. 9(5); REGULATORY.md AIA-9.5.

Read next: `technical_file/gates.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit import canonical
from governance.gates import Objection
from governance.reading import Table
from governance.release import digest_of
from governance.risk import UNACCEPTABLE, WITH_REASON, Control, Hazard, RiskRegister

EVIDENCE_KIND = "verification"
"""Governed document by release digest: outcomes of the tests."""
EVIDENCE_SCHEMA = "osteon.verification/1"
ACCEPTANCE_KIND = "risk_acceptance"
"""Governed document ``PLUGIN/HAZARD``: who accepts a residual risk, and why."""
OUTCOMES = ("passed", "failed", "skipped")

ADVICE = {
    "RISK_REGISTER_MISSING": "Record one: `osteon technical-file record risk_register FILE`.",
    "RISK_REGISTER_INVALID": "Correct the register and record it again.",
    "RISK_EVIDENCE_MISSING": (
        "Run the tests with --junit-xml and record them: `osteon technical-file verify RELEASE`."
    ),
    "RISK_EVIDENCE_OTHER_CODE": "Run the tests on the code of this release and record them again.",
    "RISK_WITHOUT_CONTROL": "Give the hazard a control, or take the function out.",
    "RISK_CONTROL_UNTESTED": "Name a test that shows the control, and run it.",
    "RISK_TEST_MISSING": "Correct the node id, or run the whole suite and record it again.",
    "RISK_TEST_FAILED": "Mend the control; a release with a broken control does not go out.",
    "RISK_TEST_SKIPPED": "Install what the test needs and record a run in which it is not skipped.",
    "RISK_IFU_MISSING": "Name a section that the instructions for use have.",
    "RISK_EFFECT_MISSING": "Record the evidence that the hazard names.",
    "RISK_UNACCEPTABLE": "Add controls until the residual risk is lower; nobody can accept it.",
    "RISK_NOT_ACCEPTED": "Let a person decide: `osteon technical-file accept RELEASE HAZARD`.",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """How the tests of a release ended.

    Parameters
    ----------
    outcomes : node id without parameters -> passed | failed | skipped; the worst of all its
        parameters counts, and skipped counts as worse than passed.
    junit_sha256 : digest of the JUnit file that it was read from.
    other_code : members of the release that differ from the code that was tested.
    """

    release_digest: str
    outcomes: Mapping[str, str]
    junit_sha256: str
    other_code: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One line of the trace: hazard, control, test, how it ended."""

    hazard: Hazard
    control: Control | None
    test: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a register is held against.

    Parameters
    ----------
    accepted : digests of hazards, as written, whose residual risk a person accepted.
    ifu_sections : keys of the sections that the instructions for use have.
    sources : names of the evidence that exists, e.g. ``accuracy``.
    """

    evidence: Evidence | None
    accepted: frozenset[str]
    ifu_sections: frozenset[str]
    sources: frozenset[str]


def read_evidence(document: Mapping[str, Any]) -> Evidence:
    """Return the evidence that a document states; ConfigurationError when it is malformed."""
    top = Table("verification", document)
    if top.text("schema") != EVIDENCE_SCHEMA:
        raise top.fault("schema", EVIDENCE_SCHEMA)
    outcomes = top.table("outcomes")
    if not all(value in OUTCOMES for value in outcomes.content.values()):
        raise top.fault("outcomes", f"outcomes in {', '.join(OUTCOMES)}")
    return Evidence(
        release_digest=top.text("release_digest"),
        outcomes=dict(outcomes.content),
        junit_sha256=top.text("junit_sha256"),
        other_code=top.texts("other_code"),
    )


def hazard_digests(document: Mapping[str, Any]) -> dict[str, str]:
    """Return hazard id -> digest of the hazard as a register document writes it."""
    return {row["id"]: digest_of(canonical.encode(row)) for row in document.get("hazards", ())}


def trace(register: RiskRegister, evidence: Evidence | None) -> tuple[TraceRow, ...]:
    """Return one row for each hazard, control and test, in order; ``–`` where there is none."""
    return tuple(row for hazard in register.hazards for row in _rows(hazard, evidence))


def objections(
    register: RiskRegister, digests: Mapping[str, str], known: Known
) -> tuple[Objection, ...]:
    """Return what of a register stands in the way of a release, hazard by hazard."""
    found = list(_evidence(known.evidence))
    for hazard in register.hazards:
        found += _hazard(hazard, digests.get(hazard.hazard_id, ""), known)
    return tuple(found)


def objection(code: str, text: str) -> Objection:
    """Return an objection with the advice of its code."""
    return Objection(code, text, ADVICE[code])


def _rows(hazard: Hazard, evidence: Evidence | None) -> Iterator[TraceRow]:
    if not hazard.controls:
        yield TraceRow(hazard, None, "", "–")
    for control in hazard.controls:
        for test in control.tests or ("",):
            outcome = evidence.outcomes.get(test, "missing") if evidence and test else "–"
            yield TraceRow(hazard, control, test, outcome)


def _evidence(evidence: Evidence | None) -> Iterator[Objection]:
    if evidence is None:
        yield objection("RISK_EVIDENCE_MISSING", "expected recorded tests of the release")
    elif evidence.other_code:
        names = ", ".join(evidence.other_code[:3])
        text = f"the recorded tests ran on other code than the release: {names}"
        yield objection("RISK_EVIDENCE_OTHER_CODE", text)


def _hazard(hazard: Hazard, digest: str, known: Known) -> Iterator[Objection]:
    name = f"hazard {hazard.hazard_id}"
    if not hazard.controls:
        yield objection("RISK_WITHOUT_CONTROL", f"{name} has no control")
    for control in hazard.controls:
        yield from _control(hazard, control, known)
    for source in hazard.effect:
        if source not in known.sources:
            yield objection("RISK_EFFECT_MISSING", f"{name} names {source}, which is not there")
    if hazard.risk_after == UNACCEPTABLE:
        yield objection("RISK_UNACCEPTABLE", f"the residual risk of {name} is unacceptable")
    elif hazard.risk_after == WITH_REASON and digest not in known.accepted:
        yield objection("RISK_NOT_ACCEPTED", f"nobody accepted the residual risk of {name}")


def _control(hazard: Hazard, control: Control, known: Known) -> Iterator[Objection]:
    name = f"control {control.control_id} of hazard {hazard.hazard_id}"
    if control.kind == "inform" and control.ifu not in known.ifu_sections:
        yield objection("RISK_IFU_MISSING", f"{name} informs in {control.ifu}, which is not there")
    if control.kind != "inform" and not control.tests:
        yield objection("RISK_CONTROL_UNTESTED", f"{name} names no test")
    if known.evidence is None:
        return
    for test in control.tests:
        outcome = known.evidence.outcomes.get(test)
        if outcome is None:
            yield objection("RISK_TEST_MISSING", f"{name}: no outcome of {test} is recorded")
        elif outcome != "passed":
            yield objection(f"RISK_TEST_{outcome.upper()}", f"{name}: {test} {outcome}")
