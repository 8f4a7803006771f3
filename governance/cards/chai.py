"""The CHAI applied model card as XML, schema version 0.2.

Element names and order are those of the public XSD (namespace below); every element that it
requires is there, and one that no source states holds MISSING.  Figures are ``ValueJson`` of
kind ``estimate_ci`` as in the schema's own examples, at full precision.

Source: Coalition for Health AI, applied model card, ``v0.2/schema.xsd``.

Read next: `readable.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from governance.accuracy import Accuracy, Group, given_text
from governance.cards.facts import MISSING, CardFacts

NAMESPACE = "https://mc.chai.org/v0.2/schema.xsd"
LEVEL = 95
_FORBIDDEN = {code: None for code in range(32) if chr(code) not in "\t\n\r"}
"""Characters that XML 1.0 cannot hold."""
Texts = Sequence[tuple[str, str]]


def chai_xml(facts: CardFacts) -> bytes:
    """Return the card as UTF-8 XML; the same facts give the same bytes."""
    root = Element("AppliedModelCard", {"xmlns": NAMESPACE})
    _texts(SubElement(root, "BasicInfo"), (
        ("ModelName", facts.title),
        ("ModelDeveloper", facts.developer),
        ("DeveloperContact", facts.contact),
    ))  # fmt: skip
    _texts(SubElement(root, "ReleaseInfo"), (
        ("ReleaseStage", facts.stage),
        ("ReleaseDate", MISSING),
        ("ReleaseVersion", f"{facts.version} ({facts.release_digest})"),
        ("GlobalAvailability", MISSING),
        ("RegulatoryApproval", facts.stage),
    ))  # fmt: skip
    summary = SubElement(root, "ModelSummary")
    _texts(summary, (("Summary", facts.purpose),))
    keywords = SubElement(summary, "Keywords")
    _texts(keywords, tuple(("Keyword", word) for word in ("radiotherapy", *facts.modalities())))
    _texts(SubElement(root, "UsesAndDirections"), _uses(facts))
    _texts(SubElement(root, "Warnings"), (
        ("KnownRisksAndLimitations", "\n".join(facts.limits) or MISSING),
        ("KnownBiasesOrEthicalConsiderations", _biases(facts)),
        ("ClinicalRiskLevel", facts.risk_class),
    ))  # fmt: skip
    trust = SubElement(root, "TrustIngredients")
    _texts(SubElement(trust, "AISystemFacts"), _system(facts))
    _texts(SubElement(trust, "TransparencyInformation"), (
        ("FundingSource", MISSING),
        ("ThirdPartyInformation", facts.stated("p2.a.third_party_tools")),
        ("StakeholdersConsulted", MISSING),
    ))  # fmt: skip
    _metrics(SubElement(root, "KeyMetrics"), facts)
    _texts(SubElement(root, "Resources"), (
        ("PeerReviewedPublications", MISSING),
        ("PatientConsentOrDisclosure", MISSING),
    ))  # fmt: skip
    _texts(root, (("Bibliography", MISSING),))
    ElementTree.indent(root, "\t")
    text = ElementTree.tostring(root, "unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _uses(facts: CardFacts) -> Texts:
    population = [facts.specification.get(key, "") for key in ("age_years", "body_parts")]
    return (
        ("IntendedUseAndWorkflow", facts.purpose),
        ("PrimaryIntendedUsers", facts.stated("p1.a.intended_purpose")),
        ("HowToUse", facts.text("output")),
        ("TargetedPatientPopulation", "; ".join(p for p in population if p) or MISSING),
        ("CautionedOutOfScopeSettings", facts.text("not meant for")),
    )


def _system(facts: CardFacts) -> Texts:
    return (
        ("OutcomesAndOutputs", facts.text("output")),
        ("ModelType", facts.text("method")),
        ("InputDataSource", facts.text("data")),
        ("OutputAndInputDataTypes", facts.text("input")),
        ("DevelopmentDataCharacterization", facts.text("data")),
        ("BiasMitigationApproaches", facts.stated("p2.b.trade_offs")),
        ("OngoingMaintenance", facts.monitoring),
        ("Security", facts.stated("p2.h.cybersecurity")),
        ("Transparency", facts.text("explanation")),
    )


def _biases(facts: CardFacts) -> str:
    if facts.accuracy is None or not facts.accuracy.covers_persons():
        return MISSING
    few = [g for g in facts.accuracy.groups if g.about == "person" and g.insufficient]
    names = sorted({f"{g.name} (n = {g.n})" for g in few})
    return f"Too few to say: {', '.join(names)}" if names else "See FairnessEquity"


def _metrics(parent: Element, facts: CardFacts) -> None:
    measured = facts.accuracy
    overall = measured.overall() if measured else ()
    persons = tuple(g for g in measured.groups if g.about == "person") if measured else ()
    others = (
        tuple(g for g in measured.groups if g.about in ("finding", "device")) if measured else ()
    )
    for name, groups in (
        ("UsefulnessUsabilityEfficacy", overall),
        ("FairnessEquity", persons),
        ("SafetyReliability", others),
    ):
        _metric(SubElement(parent, name), measured, groups, facts)


def _metric(
    element: Element, measured: Accuracy | None, groups: tuple[Group, ...], facts: CardFacts
) -> None:
    _texts(element, (("MetricGoal", facts.stated("p4.metric_appropriateness")),))
    results = SubElement(element, "Results")
    rows = list(_results(measured, groups)) if measured else []
    for label, value in rows or [(MISSING, json.dumps({"kind": "single", "value": MISSING}))]:
        _texts(SubElement(results, "MetricResult"), (("Label", label), ("ValueJson", value)))
    method = measured.method if measured else MISSING
    source = f"{measured.interval}. Report {measured.report_sha256}" if measured else MISSING
    _texts(element, (
        ("Interpretation", facts.stated("p4.metric_appropriateness")),
        ("TestType", method),
        ("TestingDataDescription", facts.text("data")),
        ("ValidationProcessAndJustification", source),
    ))  # fmt: skip


def _results(measured: Accuracy, groups: tuple[Group, ...]) -> Texts:
    rows = []
    for group in groups:
        head = f"{given_text(group.given)}, {group.name}"
        if group.insufficient:
            value = {"kind": "single", "value": "insufficient", "n": group.n}
            rows.append((head, json.dumps(value)))
            continue
        for metric in measured.metrics:
            figure = group.figures.get(metric.key)
            if figure is None:
                continue
            value = {
                "kind": "estimate_ci", "estimate": figure.value, "lower": figure.low,
                "upper": figure.high, "level": LEVEL, "unit": metric.unit, "n": figure.n,
            }  # fmt: skip
            rows.append((f"{metric.title}: {head}", json.dumps(value, ensure_ascii=False)))
    return rows


def _texts(parent: Element, rows: Texts) -> None:
    for name, text in rows:
        SubElement(parent, name).text = text.translate(_FORBIDDEN)
