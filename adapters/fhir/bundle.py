"""One R4 transaction bundle for each run (FHIR R4, section 3.1.0.11).

Every entry is a conditional create (``ifNoneExist``), and every full URL, identifier and
time follows from the run, so that the same run gives the same bytes and posting twice
leaves one set.  Report, Observations and Device are found again by identifier, the study
by its DICOM UID, the Provenance (R4 gives it no identifier) by the tag of its run.

The study and the device may be there already, made by others or by an earlier run; the
server then keeps what it has and only the references point there.

Read next: `client.py` (how it is posted and read back), `content.py` (what is compared).
"""

from __future__ import annotations

import hashlib
import json

from adapters.fhir.identity import FhirIdentity
from adapters.fhir.observations import observations
from adapters.fhir.resources import (
    Names,
    device,
    diagnostic_report,
    imaging_study,
    provenance,
    source_entities,
)
from adapters.fhir.terminology import RUN, Json, instant
from audit.errors import PluginOutputError
from plugins.host.case import Case
from plugins.host.identity import RECALL
from plugins.host.manifest import Manifest
from plugins.host.ports import Answer, Document, RunRequest


def build_bundle(
    request: RunRequest,
    case: Case,
    answer: Answer,
    manifest: Manifest,
    documents: tuple[Document, ...],
    identity: FhirIdentity,
) -> Json:
    """Return the transaction bundle of a run that answered or abstained.

    Raises
    ------
    PluginOutputError : the result is not valid FHIR R4.
    """
    names = Names(request.run_id)
    uncertainty = answer.prediction.uncertainty
    outcome, reasons = "abstained" if uncertainty.abstain else "done", uncertainty.reasons
    found = observations(request, manifest, identity, answer.prediction, names)
    keys = [f"observation/{item['identifier'][0]['value']}" for item in found]
    report = diagnostic_report(request, manifest, identity, outcome, reasons)
    report |= {"imagingStudy": [names.to("study")], "result": [names.to(key) for key in keys]}
    results = [item for item in documents if item.kind != "FHIR"]
    trace = provenance(request, names, ("report", *keys), results)
    trace["entity"] = source_entities(request, case)
    parts = [
        ("device", device(request, manifest)),
        ("study", imaging_study(identity, results)),
        *zip(keys, found, strict=True),
        ("report", report),
        ("provenance", trace),
    ]
    return _transaction(request, names, parts)


def build_refusal_bundle(
    request: RunRequest,
    manifest: Manifest,
    reasons: tuple[str, ...],
    documents: tuple[Document, ...],
    identity: FhirIdentity,
) -> Json:
    """Return the bundle that tells the record why a study was not processed.

    ``reasons`` are stable codes, never texts about the patient.
    """
    results = [item for item in documents if item.kind != "FHIR"]
    names = Names(request.run_id)
    outcome = "withdrawn" if request.trigger == RECALL else "refused"
    report = diagnostic_report(request, manifest, identity, outcome, reasons)
    report["imagingStudy"] = [names.to("study")]
    trace = provenance(request, names, ("report",), results)
    entities = source_entities(request, None)
    parts = [
        ("device", device(request, manifest)),
        ("study", imaging_study(identity, results)),
        ("report", report),
        ("provenance", trace | ({"entity": entities} if entities else {})),
    ]
    return _transaction(request, names, parts)


def encode(bundle: Json) -> bytes:
    """Return the bytes of a bundle: UTF-8, sorted keys, the same for the same run."""
    return json.dumps(bundle, sort_keys=True, indent=1, ensure_ascii=False).encode()


def bundle_digest(bundle: Json) -> str:
    """Return ``sha256:<hex>`` of the bundle's content, whatever its spelling as a file."""
    text = json.dumps(bundle, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def search_of(resource: Json) -> str:
    """Return the search that finds a resource of ours again, as ``ifNoneExist`` has it."""
    if resource["resourceType"] == "Provenance":
        tag = next(item for item in resource["meta"]["tag"] if item["system"] == RUN)
        return f"_tag={tag['system']}|{tag['code']}"
    name = resource["identifier"][0]
    return f"identifier={name['system']}|{name['value']}"


def _transaction(request: RunRequest, names: Names, parts: list[tuple[str, Json]]) -> Json:
    entries = [
        {
            "fullUrl": names.url(key),
            "resource": resource,
            "request": {
                "method": "POST",
                "url": resource["resourceType"],
                "ifNoneExist": search_of(resource),
            },
        }
        for key, resource in parts
    ]
    bundle: Json = {
        "resourceType": "Bundle",
        "type": "transaction",
        "timestamp": instant(request.opened_at),
        "entry": entries,
    }
    _check(bundle)
    return bundle


def _check(bundle: Json) -> None:
    """Validate every resource at once with the R4B models."""
    # Imported here: the models take half a second, and few commands write FHIR.
    from fhir.resources.R4B.bundle import Bundle
    from pydantic import ValidationError

    try:
        Bundle.model_validate(bundle)
    except ValidationError as error:
        where = "; ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise PluginOutputError(
            f"expected a valid FHIR R4 bundle, found faults at {where}"
        ) from None
