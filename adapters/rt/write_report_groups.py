"""Measurement groups of the structured report (TID 1411 and TID 1501).

Intervals are written as the uncertainty properties of a measurement (TID 310): how far
the 90 % interval reaches above and below the value, in the unit of the measurement.

Read next: `write_report.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom import Dataset

from adapters.rt.equipment import PRIVATE_SCHEME, WritingContext
from adapters.rt.repair import repair_long
from adapters.rt.sources import SourceSeries
from adapters.rt.write_segmentation import coded, tracking_id, tracking_uid
from plugins.host.findings import (
    Classification,
    Explanation,
    Measurement,
    Prediction,
    RegionDose,
    Segmentation,
)
from plugins.host.images import Code

CONCEPTS = {
    "outcome": "Outcome of the run",
    "reason": "Reason of the outcome",
    "mode": "Mode of the run",
    "approval": "Approval status",
    "uncertainty": "Uncertainty of the result",
    "contribution": "Contribution of an input",
    "faithfulness": "Faithfulness of the explanation",
    "method": "Method of the explanation",
    "uncertainty-bounds": "What bounds of uncertainty mean",
    "interval-90": "90 % interval",
    "status": "Status of the dose",
    "predicted-not-for-treatment": "Predicted dose, not for treatment",
    "met": "Goal met as predicted",
    "not-met": "Goal not met as predicted",
    "uncertain": "Goal within the interval of the prediction",
}
"""Private concepts, scheme 99OSTEON: code value -> meaning."""
UNIT_MEANINGS = {"mL": "milliliter", "mm": "millimeter", "cm3": "cubic centimeter", "1": "no units"}
UNIT_MEANINGS |= {"Gy": "gray", "%": "percent"}
UNIT_SPELLINGS = {"ml": "mL", "": "1"}


def concept(value: str, meaning: str = "") -> Code:
    """Return a private concept; a value without a meaning stands for itself."""
    slug = "-".join(value.split())
    return Code(slug[:64] or "unstated", PRIVATE_SCHEME, meaning or CONCEPTS.get(value, value))


def stated_reason(text: str) -> Code:
    """Return a reason as a private concept: its stable code, and the whole as its meaning."""
    words = text.split()
    return concept(words[0] if words else "", " ".join(words))


def segment_group(
    context: WritingContext,
    source: SourceSeries,
    segmentation: Segmentation,
    written: Dataset,
    segment_number: int,
) -> Any:
    """Return the group of one segmentation with its measurements (TID 1411)."""
    from highdicom import sr

    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=tracking_uid(context, segmentation.name),
            identifier=tracking_id(context, segmentation.name),
        ),
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=str(written.SOPClassUID),
            sop_instance_uid=str(written.SOPInstanceUID),
            segment_number=segment_number,
            source_series=sr.SourceSeriesForSegmentation(source.series_instance_uid),
        ),
        finding_category=coded(segmentation.property_category),
        finding_type=coded(segmentation.property_type),
        finding_sites=(
            None
            if segmentation.anatomy is None
            else [sr.FindingSite(anatomic_location=coded(segmentation.anatomy))]
        ),
        algorithm_id=_algorithm(context),
        measurements=[_measurement(item) for item in segmentation.measurements],
    )


def dose_group(context: WritingContext, region: RegionDose) -> Any:
    """Return the group of one structure: points of its predicted histogram, and goals."""
    evaluations = [(concept("status"), concept("predicted-not-for-treatment"))]
    for goal in region.goals:
        sign = "at most" if goal.at_most else "at least"
        text = f"{goal.measured.code.value} {sign} {goal.limit:g} {goal.measured.unit}"
        evaluations.append((Code("goal", PRIVATE_SCHEME, f"Goal: {text}"), concept(goal.verdict)))
    if any(item.interval is not None for item in region.measurements):
        evaluations.append((concept("uncertainty-bounds"), concept("interval-90")))
    points = [_measurement(item) for item in region.measurements]
    return _group(context, f"dose-{region.name}", evaluations, points)


def case_group(
    context: WritingContext,
    outcome: str,
    reasons: tuple[str, ...],
    prediction: Prediction | None,
) -> Any:
    """Return the group of the case: how the run ended, how sure it is, other findings."""
    evaluations = [
        (concept("outcome"), concept(outcome)),
        (concept("mode"), concept(context.request.mode)),
        (concept("approval"), concept("UNAPPROVED")),
        *((concept("reason"), stated_reason(reason)) for reason in reasons),
    ]
    measurements: list[Any] = []
    if prediction is not None:
        uncertainty = prediction.uncertainty
        meaning = f"{CONCEPTS['uncertainty']}: {uncertainty.measure}"
        code = Code("uncertainty", PRIVATE_SCHEME, meaning)
        measurements.append(
            _measurement(Measurement(code, uncertainty.score, "1", uncertainty.interval))
        )
        if outcome == "done":
            measurements.extend(_other_findings(prediction))
    return _group(context, "case", evaluations, measurements)


def explanation_group(context: WritingContext, explanation: Explanation) -> Any:
    """Return the group of the explanation: shares of the inputs, measured faithfulness.

    A number that could not be measured (NaN) is left out.
    """
    measurements = [
        _measurement(Measurement(concept("contribution", f"Contribution of {name}"), share, "1"))
        for name, share in explanation.contributions
        if np.isfinite(share)
    ]
    measurements.extend(
        _measurement(Measurement(concept("faithfulness", f"Faithfulness: {name}"), value, "1"))
        for name, value in explanation.faithfulness.items()
        if np.isfinite(value)
    )
    evaluations = [(concept("method"), concept(explanation.method))]
    return _group(context, "explanation", evaluations, measurements)


def _group(
    context: WritingContext,
    name: str,
    evaluations: list[tuple[Code, Code]],
    measurements: list[Any],
) -> Any:
    """Return a TID 1501 group."""
    from highdicom import sr

    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=tracking_uid(context, name), identifier=tracking_id(context, name)
        ),
        algorithm_id=_algorithm(context),
        measurements=measurements or None,
        qualitative_evaluations=[
            sr.QualitativeEvaluation(coded(question), coded(answer))
            for question, answer in evaluations
        ],
    )


def _other_findings(prediction: Prediction) -> list[Any]:
    """Return measurements and class probabilities that belong to no segmentation."""
    found: list[Any] = []
    for finding in prediction.findings:
        if isinstance(finding, Measurement):
            found.append(_measurement(finding))
        elif isinstance(finding, Classification):
            for code, probability in finding.probabilities:
                found.append(_measurement(Measurement(code, probability, "1")))
    return found


def _measurement(item: Measurement) -> Any:
    """Return TID 300 with its interval as TID 310 properties."""
    from highdicom import sr

    spelling = UNIT_SPELLINGS.get(item.unit, item.unit)
    unit = coded(Code(spelling, "UCUM", UNIT_MEANINGS.get(spelling, spelling)))
    properties = None
    if item.interval is not None:
        properties = sr.MeasurementProperties(
            upper_measurement_uncertainty=_rounded(max(item.interval[1] - item.value, 0.0)),
            lower_measurement_uncertainty=_rounded(max(item.value - item.interval[0], 0.0)),
        )
        for content in properties:  # highdicom writes "no units" for both bounds
            content.MeasuredValueSequence[0].MeasurementUnitsCodeSequence = [unit]
    return sr.Measurement(
        name=coded(item.code), value=_rounded(item.value), unit=unit, properties=properties
    )


def _rounded(value: float) -> float:
    """Return the value with nine significant digits, as the FHIR resources carry it."""
    return float(f"{value:.9g}")


def _algorithm(context: WritingContext) -> Any:
    """Return TID 4019: name, version, and the release digest as a parameter."""
    from highdicom import sr

    request = context.request
    return sr.AlgorithmIdentification(
        name=repair_long(request.plugin)[0],
        version=repair_long(request.plugin_version)[0],
        parameters=[f"release={request.release_digest}", f"run={request.run_id}"],
    )
