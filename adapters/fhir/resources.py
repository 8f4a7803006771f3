"""The resources of one run as FHIR R4 JSON: report, study, device, provenance.

Each function returns one resource without id.  References to other resources of the
bundle are the ``urn:uuid`` that `Names` derives from the run id; the patient is only ever
named by identifier, so that no bundle can create one.

Read next: `observations.py`, then `bundle.py`, which puts them together.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from adapters.fhir.identity import FhirIdentity
from adapters.fhir.terminology import (
    ACCESSION,
    AI_DEVICE_TYPE,
    DCM,
    DIAGNOSTIC_SERVICE,
    IDENTIFIER_TYPE,
    LIFECYCLE,
    MODE,
    OBSERVATION_VALUE,
    OUTCOME,
    PARTICIPANT,
    PLUGIN,
    REASON,
    RELEASE,
    RUN,
    Json,
    coding,
    concept,
    dicom_uid,
    identifier,
    instant,
    slug,
)
from plugins.host.case import Case
from plugins.host.manifest import Manifest
from plugins.host.ports import Document, RunRequest

REPLACES = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:osteon:fhir/1")
# Modality (0008,0060) of the objects that a run writes.
_MODALITY = {
    **{"RTSTRUCT": "RTSTRUCT", "RTDOSE": "RTDOSE", "SEG": "SEG", "SR": "SR"},
    **{"PMAP": "OT", "SC": "OT"},
}


@dataclass(frozen=True, slots=True)
class Names:
    """The full URLs of a run's resources: the same run gives the same names."""

    run_id: str

    def url(self, key: str) -> str:
        """Return the ``urn:uuid`` of the resource called ``key`` in the bundle of the run."""
        return f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{self.run_id}/{key}')}"

    def to(self, key: str) -> Json:
        """Return a Reference to that resource."""
        return {"reference": self.url(key)}


def meta(request: RunRequest, *, made_by_ai: bool = True) -> Json:
    """Return tags of run and mode, and the AIAST label for what the plugin asserted."""
    display = "Clinical use" if request.mode == "clinical" else "Research use only"
    tags = [coding(request.run_id, RUN), coding(request.mode, MODE, display)]
    label = coding("AIAST", OBSERVATION_VALUE, "Artificial Intelligence asserted")
    return {"tag": tags} | ({"security": [label]} if made_by_ai else {})


def subject(identity: FhirIdentity) -> Json:
    """Return the patient as a logical reference: identifier and issuer, nothing else."""
    if not identity.patient_id:
        return {"type": "Patient", "display": "The images carry no patient identifier"}
    value = identifier(identity.patient_system(), identity.patient_id)
    return {"type": "Patient", "identifier": value}


def order(identity: FhirIdentity) -> Json:
    """Return ``basedOn`` with the accession number, or nothing when there is none."""
    if not identity.accession_number:
        return {}
    number = identifier(ACCESSION, identity.accession_number)
    number["type"] = concept("ACSN", IDENTIFIER_TYPE, "Accession ID")
    return {"basedOn": [{"type": "ServiceRequest", "identifier": number}]}


def device(request: RunRequest, manifest: Manifest) -> Json:
    """Return the release as a Device: the same release gives the same resource."""
    kind = concept("Artificial-Intelligence", AI_DEVICE_TYPE, text="Artificial intelligence")
    return {
        "resourceType": "Device",
        "identifier": [identifier(RELEASE, request.release_digest)],
        "status": "active",
        "deviceName": [{"name": manifest.title, "type": "user-friendly-name"}],
        "modelNumber": manifest.plugin,
        "type": kind,
        "version": [{"value": manifest.version}],
        "note": [{"text": manifest.intended_purpose}],
    }


def imaging_study(identity: FhirIdentity, documents: Sequence[Document]) -> Json:
    """Return the study with the series that the run added to it."""
    resource: Json = {
        "resourceType": "ImagingStudy",
        "identifier": [dicom_uid(identity.study_instance_uid)],
        "status": "available",
        "subject": subject(identity),
    }
    ours = [item for item in documents if item.series_instance_uid and item.sop_instance_uid]
    ours.sort(key=lambda item: (item.series_instance_uid, item.sop_instance_uid))
    series = [
        _series(uid, tuple(group))
        for uid, group in groupby(ours, key=lambda item: item.series_instance_uid)
    ]
    return resource | order(identity) | ({"series": series} if series else {})


def _series(uid: str, documents: tuple[Document, ...]) -> Json:
    instances = [
        {
            "uid": item.sop_instance_uid,
            "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{item.sop_class_uid}"},
        }
        for item in documents
    ]
    modality = _MODALITY.get(documents[0].kind, "OT")
    return {"uid": uid, "modality": coding(modality, DCM), "instance": instances}


def diagnostic_report(
    request: RunRequest,
    manifest: Manifest,
    identity: FhirIdentity,
    outcome: str,
    reasons: tuple[str, ...] = (),
) -> Json:
    """Return the report without results and study; `bundle` adds those references.

    ``outcome`` is done, abstained, refused or withdrawn.  A refused run was never carried
    out: DiagnosticReport.status "cancelled" (FHIR R4, diagnostic-report-status); so is one
    that only tells that an earlier result is withdrawn.
    """
    text = _conclusion(request, manifest, outcome, reasons)
    codes = [concept(outcome, OUTCOME), *map(reason, reasons)]
    code = concept("18748-4", "http://loinc.org", "Diagnostic imaging study", manifest.title)
    code["coding"].append(coding(manifest.plugin, PLUGIN))
    resource: Json = {
        "resourceType": "DiagnosticReport",
        "meta": meta(request),
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{_escaped(text)}</div>',
        },
        "identifier": [identifier(RUN, request.run_id)],
        "status": "cancelled" if outcome in ("refused", "withdrawn") else "preliminary",
        "category": [concept("RAD", DIAGNOSTIC_SERVICE, "Radiology")],
        "code": code,
        "subject": subject(identity),
        "effectiveDateTime": instant(request.opened_at),
        "issued": instant(request.opened_at),
        "conclusion": text,
        "conclusionCode": codes,
    }
    return resource | order(identity) | replaces(request)


def replaces(request: RunRequest) -> Json:
    """Return the R4 extension that names the report which this one replaces, if any.

    Source: http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces (4.0.1).
    """
    if not request.supersedes:
        return {}
    old = {"type": "DiagnosticReport", "identifier": identifier(RUN, request.supersedes)}
    return {"extension": [{"url": REPLACES, "valueReference": old}]}


def reason(text: str) -> Json:
    """Return a reason as a concept: its stable code, and the whole as text."""
    return concept(slug(text.split(maxsplit=1)[0] if text.strip() else text), REASON, text=text)


def _conclusion(
    request: RunRequest, manifest: Manifest, outcome: str, reasons: tuple[str, ...]
) -> str:
    said = {
        "done": "Results made by software, for review by a clinician; not approved.",
        "abstained": "The software withholds its result; the study needs the manual path.",
        "refused": "The study lies outside what the software is for; it was not processed.",
        "withdrawn": "An earlier result is withdrawn, because the release that made it was "
        "recalled. Review what rests on it.",
    }[outcome]
    why = f" Reasons: {', '.join(reasons)}." if reasons else ""
    use = "" if request.mode == "clinical" else " Research use only: not for clinical decisions."
    return f"{manifest.title} {manifest.version}: {said}{why}{use}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def provenance(
    request: RunRequest, names: Names, targets: Sequence[str], documents: Sequence[Document]
) -> Json:
    """Return who made the results from what; entities are added by `source_entities`.

    ``targets`` are keys of resources in the bundle; DICOM results are targets by UID.
    """
    agent = {
        "type": concept("assembler", PARTICIPANT, "Assembler"),
        "role": [concept("Artificial-Intelligence", AI_DEVICE_TYPE)],
        "who": names.to("device"),
    }
    objects = [
        {"identifier": dicom_uid(item.sop_instance_uid), "display": item.kind}
        for item in sorted(documents, key=lambda item: (item.kind, item.sop_instance_uid))
        if item.sop_instance_uid
    ]
    return {
        "resourceType": "Provenance",
        "meta": meta(request),
        "target": [names.to(key) for key in targets] + objects,
        "recorded": instant(request.opened_at),
        "reason": [concept("AIAST", OBSERVATION_VALUE, "Artificial Intelligence asserted")],
        "activity": concept("transform", LIFECYCLE),
        "agent": [agent],
    }


def source_entities(request: RunRequest, case: Case | None) -> list[Json]:
    """Return the inputs of the run by DICOM UID, and the run that this one replaces."""
    sources = dict(request.series)
    if case is not None:
        sources |= {role: item.series_instance_uid for role, item in case.images.items()}
        sources |= {role: item.series_instance_uid for role, item in case.doses.items()}
        sources |= {role: item.sop_instance_uid for role, item in case.structure_sets.items()}
        sources |= {role: item.sop_instance_uid for role, item in case.plans.items()}
    entities = [
        {"role": "source", "what": {"identifier": dicom_uid(uid), "display": role}}
        for role, uid in sorted(sources.items())
    ]
    if request.supersedes:
        old = {"type": "DiagnosticReport", "identifier": identifier(RUN, request.supersedes)}
        entities.append({"role": "revision", "what": old})
    return entities
