"""Fields that come from governed documents: provider, risks, changes, oversight, declaration.

Read next: `contents.py`.
"""

from __future__ import annotations

from typing import Any

from governance import classification, declaration, risk, risk_trace
from governance.provider import (
    PLACING,
    PROVIDER,
    QMS,
    QMS_ASPECTS,
    RETENTION_YEARS,
    STANDARDS,
    qms_gaps,
    read_placing,
    read_provider,
    read_qms,
    read_standards,
)
from governance.release import MANIFEST
from governance.risk import RiskRegister, read_register
from governance.technical_file.found import Absent, Answer, Found, Missing, Rule, needs
from governance.technical_file.sources import (
    CHANGE,
    MONITORING,
    OVERSEERS,
    PLAN,
    SBOM,
    VERSIONS,
    Sources,
)


@needs(PROVIDER)
def provider(sources: Sources) -> Answer:
    """Return who the provider is."""
    found = read_provider(sources.content(PROVIDER))
    value = {
        "name": found.name,
        "address": found.address,
        "email": found.email,
        "representative": found.representative or "none: established in the Union",
    }
    return Found(value, (PROVIDER,))


@needs(PROVIDER)
def udi(sources: Sources) -> Answer:
    """Return name, type and UDI of the plugin on the market."""
    device = read_provider(sources.content(PROVIDER)).devices.get(sources.plugin)
    if device is None or not device.udi_di:
        return Missing(f"the provider names no UDI of {sources.plugin}")
    value = {
        "name": device.name,
        "type": device.kind,
        "basic_udi_di": device.basic_udi_di,
        "udi_di": device.udi_di,
        "udi_pi": sources.version,
    }
    return Found(value, (PROVIDER,))


@needs(classification.KIND)
def classified(sources: Sources) -> Answer:
    """Return route, classes and rationale."""
    document = sources.content(classification.KIND)
    record = classification.read_classification(_plain(document))
    if record.valid_until < sources.on:
        return Missing(f"the classification expired on {record.valid_until.isoformat()}")
    value = {
        "route": record.route,
        "mdr_class": f"{record.mdr_class} by rule {record.mdr_rule} of Annex VIII",
        "iec_62304_class": record.software_class,
        "autonomy": record.autonomy,
        "influence": record.influence,
        "safety_component": "yes" if record.safety_component else "no",
        "rationale": record.rationale,
        "hazards": list(record.hazards),
        "valid_until": record.valid_until.isoformat(),
    }
    return Found(value, (classification.KIND,))


@needs(risk.KIND)
def unintended_outcomes(sources: Sources) -> Answer:
    """Return what can come of it, with severity and residual risk."""
    rows = [
        {
            "hazard": f"{item.hazard_id} {item.title}",
            "harm": item.harm,
            "severity": item.severity,
            "residual": item.risk_after,
        }
        for item in register_of(sources).hazards
    ]
    return Found(rows, (risk.KIND,))


@needs(risk.KIND)
def risk_sources(sources: Sources) -> Answer:
    """Return how each hazard comes about."""
    rows = [
        {"hazard": f"{item.hazard_id} {item.title}", "sequence": item.sequence}
        for item in register_of(sources).hazards
    ]
    return Found(rows, (risk.KIND,))


@needs(risk.KIND)
def rms(sources: Sources) -> Answer:
    """Return hazards, controls and how their tests ended."""
    register = register_of(sources)
    evidence = evidence_of(sources)
    rows = risk_trace.trace(register, evidence)
    controls = [control for item in register.hazards for control in item.controls]
    value = {
        "register": f"version {register.version}, estimated by {register.estimated_by}",
        "hazards": len(register.hazards),
        "controls": {kind: sum(c.kind == kind for c in controls) for kind in risk.CONTROL_TYPES},
        "residual": {
            word: sum(item.risk_after == word for item in register.hazards)
            for word in (risk.ACCEPTABLE, risk.WITH_REASON, risk.UNACCEPTABLE)
        },
        "tests": {
            outcome: sum(row.outcome == outcome for row in rows)
            for outcome in (*risk_trace.OUTCOMES, "missing", "–")
            if any(row.outcome == outcome for row in rows)
        },
    }
    names = (risk.KIND,) if evidence is None else (risk.KIND, risk_trace.EVIDENCE_KIND)
    return Found(value, names)


@needs(risk.KIND, OVERSEERS)
def oversight_measures(sources: Sources) -> Answer:
    """Return who oversees it, and the controls that a person takes part in."""
    measures = [
        {"control": control.control_id, "type": control.kind, "measure": control.text}
        for item in register_of(sources).hazards
        for control in item.controls
        if control.kind in ("protect", "inform")
    ]
    value = {"overseers": _overseers(sources), "measures": measures}
    return Found(value, (risk.KIND, OVERSEERS))


@needs(PLAN)
def predetermined_changes(sources: Sources) -> Answer:
    """Return the modifications of the change plan."""
    plan = sources.content(PLAN)
    content = plan.get("plan", plan)
    return Found(content.get("modification", content), (PLAN,))


@needs(PLAN)
def compliance_solutions(sources: Sources) -> Answer:
    """Return protocol steps and budget of the change plan."""
    plan = sources.content(PLAN)
    content = plan.get("plan", plan)
    value = {key: content[key] for key in ("step", "budget") if key in content}
    return Found(value, (PLAN,)) if value else Missing("the change plan has no protocol")


def lifecycle_changes(sources: Sources) -> Answer:
    """Return the change request that led to this release; absent for the first version."""
    request = sources.content(CHANGE)
    if request is not None:
        keys = ("change_class", "kinds", "old_digest", "baseline_digest", "recorded_at")
        return Found({key: request[key] for key in keys if key in request}, (CHANGE,))
    versions = sources.content(VERSIONS)
    if versions is None:
        return Missing("no source: versions, change_request")
    older = [row for row in versions if row["digest"] != sources.release_digest]
    if older:
        return Missing("there are other versions, and no change request: `osteon change classify`")
    return Absent("this is the first version that is known at this site", (VERSIONS,))


@needs(STANDARDS)
def standards(sources: Sources) -> Answer:
    """Return the standards that the provider applies; presumption only with an OJ reference."""
    rows = [
        {
            "standard": item.reference,
            "title": item.title,
            "extent": item.extent,
            "oj_reference": item.oj_reference or "not cited in the OJ: no presumption",
        }
        for item in read_standards(sources.content(STANDARDS))
    ]
    return Found(rows, (STANDARDS,))


@needs(STANDARDS)
def uncited_draft(sources: Sources) -> Answer:
    """Return the standards that the OJ does not cite: what a person has to describe instead."""
    rows = read_standards(sources.content(STANDARDS))
    uncited = [item.reference for item in rows if not item.oj_reference]
    return Found(uncited, (STANDARDS,)) if uncited else Missing("every standard is cited")


@needs(declaration.KIND)
def eu_doc(sources: Sources) -> Answer:
    """Return a copy of the signed act, and nothing generated."""
    act = sources.content(declaration.KIND)
    if act["release_digest"] != sources.release_digest:
        return Missing("the declaration is of another release")
    if act["revoked"] or declaration.open_items(act):
        return Missing("the declaration was revoked, or leaves an item open")
    return Found(act, (declaration.KIND,))


def eu_doc_or_in_house(sources: Sources) -> Answer:
    """Return the act; absent for a device that a health institution makes for itself."""
    document = sources.content(classification.KIND)
    if document is not None and document.get("route") == "in_house":
        return Absent("made and used in one health institution (MDR Art. 5(5))",
                      (classification.KIND,))  # fmt: skip
    return eu_doc(sources)


@needs(MONITORING)
def pmm_plan(sources: Sources) -> Answer:
    """Return the plan of post-market monitoring."""
    return Found(_plain(sources.content(MONITORING)), (MONITORING,))


@needs(MONITORING)
def pmm_system(sources: Sources) -> Answer:
    """Return what the plan says of the system: what is watched, how often, by whom."""
    plan = sources.content(MONITORING)
    system = plan.get("system")
    if not system:
        return Missing("the monitoring plan does not describe its system")
    return Found(system, (MONITORING,))


@needs(QMS)
def qms_map(sources: Sources) -> Answer:
    """Return the map of the thirteen aspects; missing while one is, or is overdue."""
    aspects = read_qms(sources.content(QMS))
    gaps = qms_gaps(aspects, sources.on)
    if gaps:
        return Missing(f"not mapped or overdue: {', '.join(f'({letter})' for letter in gaps)}")
    rows = [
        {
            "aspect": f"({letter}) {QMS_ASPECTS[letter]}",
            "procedure": item.procedure,
            "owner": item.owner,
            "review_due": item.review_due.isoformat(),
        }
        for letter, item in sorted(aspects.items())
    ]
    return Found(rows, (QMS,))


@needs(PLACING)
def retention(sources: Sources) -> Answer:
    """Return until when the documents are kept: ten years after the last unit."""
    placing = read_placing(sources.content(PLACING))
    until = placing.kept_until()
    value = {
        "first_placed": placing.first_placed.isoformat(),
        "last_placed": placing.last_placed.isoformat() if placing.last_placed else "still placed",
        "kept_until": until.isoformat()
        if until
        else f"{RETENTION_YEARS} years after the last unit is placed",
    }
    return Found(value, (PLACING,))


@needs(OVERSEERS)
def oversight_draft(sources: Sources) -> Answer:
    """Return the overseers that the site named."""
    return Found(_overseers(sources), (OVERSEERS,))


@needs(MANIFEST, SBOM)
def security_draft(sources: Sources) -> Answer:
    """Return what protects the release from being exchanged."""
    signers = [
        name.removeprefix("signatures/").removesuffix(".json")
        for name in sources.found
        if name.startswith("signatures/")
    ]
    value: dict[str, Any] = {
        "release_digest": sources.release_digest,
        "signed_by": signers,
        "components": len(sources.content(SBOM).get("components", ())),
    }
    return Found(value, (MANIFEST, SBOM))


def _overseers(sources: Sources) -> list[Any]:
    named = sources.content(OVERSEERS)["overseers"]
    if not isinstance(named, list) or not named:
        raise ValueError("nobody is named as overseer")
    return named


def register_of(sources: Sources) -> RiskRegister:
    """Return the risk register of the plugin; ConfigurationError when it is malformed."""
    return read_register(_plain(sources.content(risk.KIND)))


def evidence_of(sources: Sources) -> risk_trace.Evidence | None:
    """Return the recorded outcomes of the tests, None where nothing was recorded."""
    document = sources.content(risk_trace.EVIDENCE_KIND)
    return None if document is None else risk_trace.read_evidence(document)


def _plain(document: Any) -> dict[str, Any]:
    """Return a governed document without the seal and without who recorded it."""
    return {
        key: value
        for key, value in dict(document).items()
        if key not in ("signature", "author", "role")
    }


RULES: dict[str, Rule] = {
    "p1.a.provider": provider,
    "mdr.udi": udi,
    "classification": classified,
    "p3.unintended_outcomes": unintended_outcomes,
    "p3.risk_sources": risk_sources,
    "p3.oversight_measures": oversight_measures,
    "p5.rms": rms,
    "p2.f.predetermined_changes": predetermined_changes,
    "p2.f.continuous_compliance_solutions": compliance_solutions,
    "p6.lifecycle_changes": lifecycle_changes,
    "p7.standards": standards,
    "p8.eu_doc": eu_doc_or_in_house,
    "p9.pmm_plan": pmm_plan,
    "p9.pmm_system": pmm_system,
    "qms.map": qms_map,
    "retention.until": retention,
}
DRAFTS: dict[str, Rule] = {
    "p2.e.oversight_assessment": oversight_draft,
    "p2.h.cybersecurity": security_draft,
    "p7.alternative_solutions": uncited_draft,
}
