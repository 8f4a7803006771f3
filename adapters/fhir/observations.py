"""What a plugin found and how sure it is, as FHIR R4 Observations.

One Observation for each measurement (UCUM), one for each classification, for each point of a
predicted dose and each goal of the protocol, one for the
case-level uncertainty with its 90 % interval, and one that states an abstention.  What an
abstaining plugin found is withheld, here as everywhere.

Read next: `bundle.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from adapters.fhir.identity import FhirIdentity
from adapters.fhir.resources import Names, meta, reason, subject
from adapters.fhir.terminology import (
    CONCEPT,
    DCM,
    PLUGIN,
    RUN,
    Json,
    coded,
    concept,
    identifier,
    instant,
    interval,
    quantity,
    slug,
)
from plugins.host.findings import (
    Classification,
    DoseGrid,
    Finding,
    Goal,
    Measurement,
    Prediction,
    RegionDose,
    Segmentation,
    Uncertainty,
)
from plugins.host.manifest import Manifest
from plugins.host.ports import RunRequest

PREDICTED: Json = {"text": "Predicted by software; not for treatment"}
VERDICT_TEXT = {
    "met": "Met as predicted",
    "not-met": "Not met as predicted",
    "uncertain": "Within the interval of the prediction",
}


def observations(
    request: RunRequest,
    manifest: Manifest,
    identity: FhirIdentity,
    prediction: Prediction,
    names: Names,
) -> list[Json]:
    """Return all Observations of a prediction, in the order of its findings."""
    bodies: list[tuple[str, Json]] = [("uncertainty", _uncertainty(prediction.uncertainty))]
    if prediction.uncertainty.abstain:
        bodies.append(("abstention", _abstention(prediction.uncertainty)))
    else:
        for number, finding in enumerate(prediction.findings, start=1):
            for part, body in enumerate(_of_finding(finding), start=1):
                bodies.append((f"{number}.{part}", body))
    shared = _shared(request, manifest, identity, names)
    return [
        {
            "resourceType": "Observation",
            "identifier": [identifier(RUN, f"{request.run_id}.{key}")],
            **shared,
            **body,
        }
        for key, body in bodies
    ]


def _shared(request: RunRequest, manifest: Manifest, identity: FhirIdentity, names: Names) -> Json:
    method = concept(manifest.plugin, PLUGIN, text=f"{manifest.title} {manifest.version}")
    return {
        "meta": meta(request),
        "status": "preliminary",
        "category": [
            concept(
                "imaging", "http://terminology.hl7.org/CodeSystem/observation-category", "Imaging"
            )
        ],
        "subject": subject(identity),
        "effectiveDateTime": instant(request.opened_at),
        "issued": instant(request.opened_at),
        "method": method,
        "device": names.to("device"),
        "derivedFrom": [names.to("study")],
    }


def _of_finding(finding: Finding) -> Iterator[Json]:
    if isinstance(finding, Segmentation):
        for item in finding.measurements:
            yield _measurement(item, finding)
    elif isinstance(finding, DoseGrid):
        for part in finding.regions:
            yield from _dose(part)
    elif isinstance(finding, Classification):
        yield _classification(finding)
    else:
        yield _measurement(finding)


def _measurement(item: Measurement, region: Segmentation | None = None) -> Json:
    """Return value and interval; of a region also its name and type, as SR TID 1411 does."""
    body: Json = {"code": coded(item.code), "valueQuantity": quantity(item.value, item.unit)}
    components = []
    if region is not None:
        body["code"]["text"] = f"{item.code.meaning} of {region.name}"
        if region.anatomy is not None:
            body["bodySite"] = coded(region.anatomy)
        components = [
            {
                "code": concept("112039", DCM, "Tracking Identifier"),
                "valueString": region.name,
            },
            {
                "code": concept("121071", DCM, "Finding"),
                "valueCodeableConcept": coded(region.property_type),
            },
        ]
    if item.interval is not None:
        components.append(_interval90(item.interval, item.unit))
    return body | ({"component": components} if components else {})


def _dose(region: RegionDose) -> Iterator[Json]:
    """Yield the points of one structure's predicted histogram, then the protocol's goals."""
    for item in region.measurements:
        body = _measurement(item)
        body["code"]["text"] = f"{item.code.meaning} of {region.name}, predicted"
        tracking = {
            "code": concept("112039", DCM, "Tracking Identifier"),
            "valueString": region.name,
        }
        yield body | {"component": [tracking, *body.get("component", [])], "note": [PREDICTED]}
    for goal in region.goals:
        yield _goal(region, goal)


def _goal(region: RegionDose, goal: Goal) -> Json:
    """Return whether a goal is met as predicted, with the limit as reference range."""
    item = goal.measured
    bound = {"high" if goal.at_most else "low": quantity(goal.limit, item.unit)}
    text = f"Goal for {item.code.meaning} of {region.name}, predicted"
    body: Json = {
        "code": concept(slug(f"goal-{item.code.value}"), CONCEPT, "Goal of the protocol", text),
        "valueCodeableConcept": concept(goal.verdict, CONCEPT, VERDICT_TEXT[goal.verdict]),
        "referenceRange": [bound | ({"text": goal.source} if goal.source else {})],
        "note": [PREDICTED],
    }
    return body


def _interval90(bounds: tuple[float, float], unit: str) -> Json:
    code = concept("interval-90", CONCEPT, "90 % interval", "90 % interval")
    return {"code": code, "valueRange": interval(bounds, unit)}


def _classification(finding: Classification) -> Json:
    components = [
        {"code": coded(code), "valueQuantity": quantity(probability, "1")}
        for code, probability in finding.probabilities
    ]
    best = max(finding.probabilities, key=lambda pair: pair[1], default=None)
    body: Json = {"code": coded(finding.question), "component": components}
    if best is not None:
        body["valueCodeableConcept"] = coded(best[0])
    if finding.operating_point:
        body["note"] = [{"text": f"Operating point: {finding.operating_point}"}]
    return body


def _uncertainty(uncertainty: Uncertainty) -> Json:
    text = f"Uncertainty: {uncertainty.measure}"
    code = concept(slug(f"uncertainty-{uncertainty.measure}"), CONCEPT, text, text)
    return {
        "code": code,
        "valueQuantity": quantity(uncertainty.score, "1"),
        "component": [_interval90(uncertainty.interval, "1")],
    }


def _abstention(uncertainty: Uncertainty) -> Json:
    text = "The software withholds its result"
    components = [
        {"code": concept("reason", CONCEPT), "valueCodeableConcept": reason(item)}
        for item in uncertainty.reasons
    ]
    body: Json = {"code": concept("abstention", CONCEPT, text, text), "valueBoolean": True}
    return body | ({"component": components} if components else {})
