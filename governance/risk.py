"""The risk register: hazards of a plugin, what controls them, and what is left over.

A hazard leads by a foreseeable sequence of events to harm; its severity and its probability
before and after the controls give the risk by one matrix.  Controls come in the order of
effectiveness that the law asks for: design the hazard out, protect against it, inform about
it.  The register is data that a plugin ships (``risk_register.json``); its numbers are
judgements and name who made them.

Source: ISO 14971:2019 clauses 3 and 5 to 8, ISO/TR 24971:2020 annex C (scales); Regulation
(EU) 2024/1689 Art. 9; REGULATORY.md AIA-9.1, AIA-9.5.

Read next: `risk_trace.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import ConfigurationError
from governance.reading import Table

KIND = "risk_register"
SCHEMA = "osteon.risk_register/1"
SEVERITIES = ("negligible", "minor", "serious", "critical", "catastrophic")
PROBABILITIES = ("improbable", "remote", "occasional", "probable", "frequent")
CONTROL_TYPES = ("design", "protect", "inform")
ACCEPTABLE, WITH_REASON, UNACCEPTABLE = "acceptable", "with reason", "unacceptable"

# Rows: probability from improbable to frequent; columns: severity from negligible on.
_A, _R, _U = ACCEPTABLE, WITH_REASON, UNACCEPTABLE
_MATRIX = (
    (_A, _A, _A, _R, _R),
    (_A, _A, _R, _R, _R),
    (_A, _R, _R, _R, _U),
    (_A, _R, _R, _U, _U),
    (_R, _R, _U, _U, _U),
)


@dataclass(frozen=True, slots=True)
class Control:
    """One measure against a hazard.

    Parameters
    ----------
    kind : design | protect | inform.
    code : where it is: ``path/file.py::name``; empty only for inform.
    tests : node ids that show that it is implemented and works.
    ifu : key of the section of the instructions for use, where it informs.
    """

    control_id: str
    kind: str
    text: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    ifu: str


@dataclass(frozen=True, slots=True)
class Hazard:
    """One hazard with its sequence, harm, risk before and after, and controls.

    Parameters
    ----------
    sequence : how the hazard comes to be a hazardous situation.
    estimate : what the probabilities rest on, in words.
    effect : links to measured evidence that the controls work.
    """

    hazard_id: str
    title: str
    sequence: str
    harm: str
    severity: str
    before: str
    after: str
    estimate: str
    controls: tuple[Control, ...]
    effect: tuple[str, ...]

    @property
    def risk_before(self) -> str:
        """Return how the matrix judges the risk without controls."""
        return acceptability(self.severity, self.before)

    @property
    def risk_after(self) -> str:
        """Return how the matrix judges the residual risk."""
        return acceptability(self.severity, self.after)


@dataclass(frozen=True, slots=True)
class RiskRegister:
    """All hazards of a plugin.

    Parameters
    ----------
    estimated_by : who judged severities and probabilities.
    """

    plugin: str
    version: str
    estimated_by: str
    hazards: tuple[Hazard, ...]

    def hazard(self, hazard_id: str) -> Hazard | None:
        """Return a hazard by its id."""
        return next((item for item in self.hazards if item.hazard_id == hazard_id), None)


def acceptability(severity: str, probability: str) -> str:
    """Return acceptable, with reason (a person accepts it, saying why), or unacceptable.

    Source: ISO 14971:2019, 4.4 (criteria for risk acceptability are the manufacturer's);
    "with reason" is the region in which Regulation (EU) 2017/745 Annex I, 2 asks that risks
    be reduced as far as possible.
    """
    return _MATRIX[PROBABILITIES.index(probability)][SEVERITIES.index(severity)]


def at_least_serious(severity: str) -> bool:
    """Return whether a severity is serious or worse."""
    return SEVERITIES.index(severity) >= SEVERITIES.index("serious")


def read_register(document: Mapping[str, Any]) -> RiskRegister:
    """Return the register that a document states.

    Raises
    ------
    ConfigurationError : a value is missing, unknown or used twice, a control of type design
        or protect names no code, or a hazard's probability rises by its controls.
    """
    top = Table("risk_register", document).only(
        ("schema", "plugin", "version", "estimated_by", "hazards")
    )
    if top.text("schema") != SCHEMA:
        raise top.fault("schema", SCHEMA)
    hazards = tuple(_hazard(row) for row in top.tables("hazards"))
    names = [item.hazard_id for item in hazards]
    names += [control.control_id for item in hazards for control in item.controls]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled or not hazards:
        raise ConfigurationError(
            f"expected hazards and controls with ids of their own, found {doubled or 'none'}"
        )
    return RiskRegister(top.text("plugin"), top.text("version"), top.text("estimated_by"), hazards)


def _hazard(row: Table) -> Hazard:
    row.only(
        (
            *("id", "title", "sequence", "harm", "severity", "probability_before"),
            *("probability_after", "estimate", "controls", "effect"),
        )
    )
    hazard = Hazard(
        hazard_id=row.text("id"),
        title=row.text("title"),
        sequence=row.text("sequence"),
        harm=row.text("harm"),
        severity=row.word("severity", SEVERITIES),
        before=row.word("probability_before", PROBABILITIES),
        after=row.word("probability_after", PROBABILITIES),
        estimate=row.text("estimate"),
        controls=tuple(_control(item) for item in row.tables("controls")),
        effect=row.texts("effect"),
    )
    if PROBABILITIES.index(hazard.after) > PROBABILITIES.index(hazard.before):
        raise row.fault("probability_after", "a probability that the controls do not raise")
    return hazard


def _control(row: Table) -> Control:
    row.only(("id", "type", "text", "code", "tests", "ifu"))
    control = Control(
        control_id=row.text("id"),
        kind=row.word("type", CONTROL_TYPES),
        text=row.text("text"),
        code=row.texts("code"),
        tests=row.texts("tests"),
        ifu=row.text("ifu", ""),
    )
    if control.kind == "inform" and not control.ifu:
        raise row.fault("ifu", "the section of the instructions for use that informs")
    if control.kind != "inform" and not control.code:
        raise row.fault("code", "where the control is")
    return control
