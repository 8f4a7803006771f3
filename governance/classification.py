"""The risk classification of a plugin: a signed record, and the class that follows from it.

The class under the MDR is a function of what the plugin declares: how far it acts by itself
(autonomy), what its output influences, and how bad a decision on a wrong output can be.  A
record that states another class is refused.  "Out of scope" of the high-risk duties is refused
where a linked hazard is serious (Art. 6(1a) and (1b) of Regulation (EU) 2024/1689 as amended).

Source: Regulation (EU) 2017/745 Annex VIII rules 9, 11, 22 and implementing rule 3.5; MDCG
2019-11 rev. 1; MDCG 2025-6; REGULATORY.md AIA-6.1, MDR-VIII.

Read next: `technical_file/gates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from audit.errors import RefusalError
from governance.reading import Table
from governance.risk import RiskRegister, at_least_serious

KIND = "classification"
SCHEMA = "osteon.classification/1"
ROUTES = ("high_risk", "out_of_scope", "in_house")
"""Art. 6(1) of the AI Act through a notified body; ancillary only; MDR Art. 5(5)."""
AUTONOMY = ("proposes", "applies_when_confirmed", "applies_unattended")
INFLUENCE = ("information", "decision", "delivery")
"""Shown only; used for a diagnostic or therapeutic decision; influences a treatment machine."""
HARMS = ("none", "serious", "critical")
"""Worst outcome of a decision on a wrong output: below serious; serious deterioration of
health or an operation; death or irreversible deterioration."""
CLASSES = ("I", "IIa", "IIb", "III")
SOFTWARE_CLASSES = ("A", "B", "C")


@dataclass(frozen=True, slots=True)
class Classification:
    """What a plugin is under the law, who says so until when, and why.

    Parameters
    ----------
    route : how the AI Act reaches it.
    mdr_class, mdr_rule : of Annex VIII of the MDR.
    software_class : safety class of IEC 62304.
    safety_component : whether it is one (AI Act Art. 3(14)), with ``rationale`` and the
        hazards of the risk register that it rests on.
    """

    plugin: str
    route: str
    autonomy: str
    influence: str
    decision_harm: str
    mdr_class: str
    mdr_rule: str
    software_class: str
    safety_component: bool
    rationale: str
    hazards: tuple[str, ...]
    valid_until: date


def mdr_class(autonomy: str, influence: str, decision_harm: str) -> tuple[str, str]:
    """Return class and rule of Annex VIII; where several apply, the strictest (3.5).

    Rule 22: closed loop, the output steers treatment and nobody stands between: III.
    Rule 9: influences directly a device that emits ionising radiation for therapy: IIb.
    Rule 11: information for decisions: IIa; serious harm IIb; death or irreversible III.
    """
    found = [("I", "11")]
    if influence in ("decision", "delivery"):
        of_harm = {"none": "IIa", "serious": "IIb", "critical": "III"}
        found.append((of_harm[decision_harm], "11"))
    if influence == "delivery":
        found.append(("IIb", "9"))
        if autonomy == "applies_unattended":
            found.append(("III", "22"))
    return max(reversed(found), key=lambda item: CLASSES.index(item[0]))


def read_classification(document: Mapping[str, Any]) -> Classification:
    """Return the classification that a document states; ConfigurationError when malformed."""
    top = Table("classification", document).only(
        (
            *("schema", "plugin", "route", "autonomy", "influence", "decision_harm", "mdr_class"),
            *("mdr_rule", "iec_62304_class", "safety_component", "rationale", "hazards"),
            *("valid_until", "author", "role"),
        )
    )
    if top.text("schema") != SCHEMA:
        raise top.fault("schema", SCHEMA)
    return Classification(
        plugin=top.text("plugin"),
        route=top.word("route", ROUTES),
        autonomy=top.word("autonomy", AUTONOMY),
        influence=top.word("influence", INFLUENCE),
        decision_harm=top.word("decision_harm", HARMS),
        mdr_class=top.word("mdr_class", CLASSES),
        mdr_rule=top.text("mdr_rule"),
        software_class=top.word("iec_62304_class", SOFTWARE_CLASSES),
        safety_component=top.flag("safety_component", True),
        rationale=top.text("rationale"),
        hazards=top.texts("hazards"),
        valid_until=top.day("valid_until"),
    )


def check_classification(record: Classification, register: RiskRegister | None) -> None:
    """Return when a record is consistent; raise RefusalError with every reason if not.

    Parameters
    ----------
    register : the risk register of the plugin; without one no record can be linked to it.
    """
    found = []
    wanted = mdr_class(record.autonomy, record.influence, record.decision_harm)
    if (record.mdr_class, record.mdr_rule) != wanted:
        stated = f"{record.mdr_class} by rule {record.mdr_rule}"
        text = f"the declared use is class {wanted[0]} by rule {wanted[1]}, the record says"
        found.append(("CLASSIFICATION_CLASS", f"{text} {stated}"))
    known = {item.hazard_id: item for item in register.hazards} if register else {}
    unknown = sorted(set(record.hazards) - set(known))
    if unknown or not record.hazards:
        text = f"expected linked hazards of the register, found {', '.join(unknown) or 'none'}"
        found.append(("CLASSIFICATION_HAZARDS", text))
    serious = [name for name in record.hazards if name in known]
    serious = [name for name in serious if at_least_serious(known[name].severity)]
    if record.route == "out_of_scope" and serious:
        text = f"out of scope, but {', '.join(serious)} can do serious harm"
        found.append(("CLASSIFICATION_OUT_OF_SCOPE", text))
    if found:
        raise RefusalError(
            f"the classification of {record.plugin} is refused: "
            + "; ".join(text for _, text in found),
            reasons=tuple(code for code, _ in found),
            advice="Correct the record, or the risk register that it is linked to.",
        )
