"""The bodies of a run's records: values of the hall as JSON, without identity.

Rows are those of REGULATORY.md section 3.  Text from outside (headers, plugins) is kept
only where it has the form of a code; other text stands as a digest, so that no name can
ride along.  What nothing evaluates is ``not-evaluated``.

Read next: `journal.py`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from adapters.database.dose_bodies import doses
from adapters.database.terms import MODALITIES, could_number_a_person, is_class
from adapters.database.terms import body_part as body_part
from adapters.database.terms import coded as coded
from adapters.database.terms import digest_of_text as digest_of_text
from adapters.database.terms import digest_word as digest_word
from adapters.database.terms import permitted as permitted
from adapters.database.terms import purpose as purpose
from adapters.database.terms import reason_code as reason_code
from audit import canonical
from audit.kinds import KINDS, NOT_EVALUATED
from governance.certification import runtime_differences
from governance.oversight.assessment import REVIEWERS
from plugins.host.case import Case
from plugins.host.findings import Explanation, Segmentation, Uncertainty
from plugins.host.identity import array_digest
from plugins.host.images import Radiograph, Volume
from plugins.host.ports import Answer, Delivered, Document, Json, RunRequest

PseudonymOf = Callable[[str], str]
"""Turns a UID of one study into its pseudonym."""

_NUMBER = re.compile(r"[<>=]{0,2}-?\d{1,5}(?:\.\d{1,6})?%?")
_EQUIPMENT_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:+/()\\-]{0,63}")
_EQUIPMENT = (
    "manufacturer",
    "model",
    "station",
    "software_versions",
    "convolution_kernel",
    "filter_type",
    "scanning_sequence",
    "sequence_variant",
    "reconstruction_method",
    "corrected_image",
    "decay_correction",
    "pet_units",
    "image_type",
    "lossy_image_compression",
    "dose_type",
    "dose_summation_type",
    "patient_position",
    "contrast",
    "tracer",
)
"""Facts of equipment and protocol that may stand as text: no attribute that a person fills in
about a patient is among them (PS3.15 Table E.1-1 lists those)."""
_PURPOSE = {"clinical": "TREAT"}  # HL7 v3 ActReason; all other modes are research
_RESEARCH = "HRESCH"
_RUNTIME_LIMIT = 200
_PASSING = ("explanation", "explanation_s")
"""What the worker says of one run and not of its environment."""


def reason(text: str) -> Json:
    """Return a reason as its code and the plain numbers in it, without its words."""
    words = (word.strip("(),;") for word in text.split()[1:])
    return {"code": reason_code(text), "numbers": [w for w in words if _NUMBER.fullmatch(w)]}


def plugin(request: RunRequest) -> Json:
    """Return name and version of the plugin of a run."""
    return {"id": coded(request.plugin), "version": coded(request.plugin_version)}


def opened(request: RunRequest, pseudonym: PseudonymOf, attempt: int) -> Json:
    """Return what a run is opened with."""
    return {
        "trigger": request.trigger,
        "plugin": plugin(request),
        "study_uid_p": pseudonym(request.study_instance_uid),
        "series_uid_p": sorted(pseudonym(uid) for uid in request.series.values()),
        "n_instances": len(request.sop_instance_uids),
        "parameters_sha256": _digest(dict(request.parameters)),
        "revision": request.revision,
        "attempt": attempt,
        "priority": request.priority,
        "requested_by": coded(request.requested_by),
        "supersedes": request.supersedes or "",
    }


def input_facts(case: Case, pseudonym: PseudonymOf, input_digest: str) -> Json:
    """Return rows 15 to 17 and the acquisition of a case that was read."""
    volumes: dict[str, Volume] = {**case.images, **case.doses}
    views = {
        f"{r}.{n}": view for r, items in case.radiographs.items() for n, view in enumerate(items, 1)
    }
    pictures: dict[str, Volume | Radiograph] = {**volumes, **views}
    series = {item.series_instance_uid for item in pictures.values()}
    series |= {item.series_instance_uid for item in case.structure_sets.values()}
    series |= {item.series_instance_uid for item in case.plans.values()}
    frames = {item.geometry.frame_of_reference_uid for item in volumes.values()}
    return {
        "input": {
            "study_uid_p": pseudonym(case.study_instance_uid),
            "series_uid_p": sorted(pseudonym(uid) for uid in series),
            "frame_of_ref_uid_p": sorted(pseudonym(uid) for uid in frames),
            "sop_class": sorted({_sop_class(item.sop_class_uid) for item in pictures.values()}),
            "n_instances": len(case.sop_instance_uids()),
            "content_sha256": input_digest,
            "quality_flags": NOT_EVALUATED,
        },
        "acquisition": {coded(role): _acquisition(item) for role, item in pictures.items()},
        "notes": [reason_code(note) for note in case.notes],
    }


def inference(
    request: RunRequest,
    answer: Answer,
    documents: Iterable[Document],
    pseudonym: PseudonymOf,
    *,
    facts: Mapping[str, Any],
    read: Mapping[str, Any],
    release: Mapping[str, Any],
    statistics_digest: str,
    ended_at: datetime,
) -> Json:
    """Return rows 2, 3, 7 to 12 and 14 to 28 of one inference.

    Parameters
    ----------
    facts : JSON values of the pipeline's earlier steps.
    read : what `input_facts` returned when the case was read.
    release : the release's manifest.json, empty where it does not lie here.
    """
    uncertainty = answer.prediction.uncertainty
    tripped = [reason_code(item) for item in uncertainty.reasons]
    written = tuple(documents)
    input_group = _not_evaluated(*KINDS["inference"].groups["input"]) | read.get("input", {})
    input_group["spec_check"] = "pass"
    input_group["quality_flags"] = [coded(flag) for flag in facts.get("quality_flags", ())]
    return {
        "trigger": request.trigger,
        "started_at": request.opened_at.isoformat(),
        "ended_at": ended_at.isoformat(),
        "inference_seconds": round(answer.seconds, 3),
        "plugin": plugin(request) | _release_facts(request, facts),
        "launcher": {"id": "osteon", "requested_by": coded(request.requested_by)},
        "model": _model(release) | {"operating_point": _digest(dict(request.parameters))},
        "runtime": _runtime(request, answer, release) | _certified(facts, answer),
        "input": input_group,
        "guards": {
            "ood_score": NOT_EVALUATED,
            "ood_limit": NOT_EVALUATED,
            "verdict": "abstained" if uncertainty.abstain else "inside-envelope",
            "tripped": tripped,
        },
        "output": {
            "documents": [document(item, pseudonym) for item in written],
            "rois": [
                _region(finding)
                for finding in answer.prediction.findings
                if isinstance(finding, Segmentation)
            ],
            "doses": doses(answer.prediction.findings),
            "status": "UNAPPROVED",
            "answer_sha256": facts.get("answer_digest", NOT_EVALUATED),
            "statistics_sha256": statistics_digest,
        },
        "uncertainty": _uncertainty(uncertainty),
        "explanation": _explanation_reference(answer, written, pseudonym),
        "workflow": _not_evaluated("ups_uid_p", "accession_p") | {"request_id": request.run_id},
        "consent": _not_evaluated("decision", "consent_ref_p", "basis"),
        "oversight": {
            "required_role": "-or-".join(REVIEWERS),
            "assessment_due": "before-approval",
        },
        "tumour_code": NOT_EVALUATED,
        "purpose_of_use": _PURPOSE.get(request.mode, _RESEARCH),
        "supersedes": request.supersedes or "",
        "prev_assessment": NOT_EVALUATED,
        "acquisition": read.get("acquisition", {}),
    }


def explanation(value: Explanation) -> Json:
    """Return the explanation with its measured faithfulness."""
    return {
        "method": coded(value.method),
        "target_sha256": _digest(value.target),
        "contributions": [[coded(name), _number(share)] for name, share in value.contributions],
        "faithfulness": {coded(name): _number(n) for name, n in value.faithfulness.items()},
        "seconds": round(value.seconds, 3),
    }


def deliveries(states: Iterable[Delivered], pseudonym: PseudonymOf) -> Json:
    """Return the state of each document at each target."""
    return {
        "deliveries": [
            {
                "target": coded(item.target),
                "kind": coded(item.kind),
                "sop_uid_p": _optional(item.sop_instance_uid, pseudonym),
                "state": item.state,
                "reason": reason_code(item.reason) if item.reason else "",
            }
            for item in sorted(states, key=lambda s: (s.target, s.kind, s.sop_instance_uid))
        ]
    }


def _release_facts(request: RunRequest, facts: Mapping[str, Any]) -> Json:
    """Return row 8: on which certificate, declaration and instructions for use it ran."""
    return {
        "manifest_sha256": request.release_digest,
        "certificate_id": coded(facts.get("certificate_id") or NOT_EVALUATED),
        "doc_id": coded(facts.get("doc_id") or NOT_EVALUATED),
        "ifu_version": coded(facts.get("ifu_version") or NOT_EVALUATED),
        **_not_evaluated("udi_di", "udi_pi"),
    }


def _certified(facts: Mapping[str, Any], answer: Answer) -> Json:
    """Return how the runtime environment compares with the certified one."""
    certified = facts.get("certified_runtime")
    if not certified:
        return {"certified": NOT_EVALUATED}
    found = runtime_differences(certified, answer.runtime)
    return {"certified": [coded(item.split()[-1]) for item in found] or "same"}


def _model(release: Mapping[str, Any]) -> Json:
    """Return rows 10 and 11; pre- and postprocessing are code members of the release."""
    members: Mapping[str, str] = release.get("members", {})
    weights = {coded(n): d for n, d in members.items() if n.endswith(".safetensors")}
    code = {name: digest for name, digest in members.items() if name.endswith((".py", ".zip"))}
    code_digest = _digest(code) if code else NOT_EVALUATED
    return {
        "weights_sha256": weights or NOT_EVALUATED,
        "pre_sha256": code_digest,
        "post_sha256": code_digest,
        "thresholds": {
            coded(key): coded(value) if isinstance(value, str) else value
            for key, value in release.get("parameters", {}).items()
        },
        **_not_evaluated("baseline_version", "change_seq"),
    }


def _runtime(request: RunRequest, answer: Answer, release: Mapping[str, Any]) -> Json:
    """Return row 12 and what the worker said of itself, as `osteon replay` compares it."""
    facts = {coded(key): str(value)[:_RUNTIME_LIMIT] for key, value in answer.runtime.items()}
    stated = {key: value if permitted(value) else coded(value) for key, value in facts.items()}
    members: Mapping[str, str] = release.get("members", {})
    boms = [digest for name, digest in sorted(members.items()) if "sbom" in name.lower()]
    row: Json = {
        "image_digest": _digest({k: v for k, v in facts.items() if k not in _PASSING}),
        "sbom_sha256": boms[0] if boms else NOT_EVALUATED,
        "device": stated.get("cpu", stated.get("processor", NOT_EVALUATED)),
        "deterministic": _deterministic(stated.get("flags", "")),
        "seed": request.run_id,
    }
    return row | stated


def _deterministic(flags: str) -> bool | str:
    """Return what the worker's flags say of torch (`plugins.host.runtime_facts`)."""
    words = dict(word.partition("=")[::2] for word in flags.split())
    stated = words.get("torch_deterministic")
    return NOT_EVALUATED if stated is None else stated == "True"


def document(item: Document, pseudonym: PseudonymOf) -> Json:
    """Return what a record says of one written object."""
    return {
        "kind": coded(item.kind),
        "sop_uid_p": _optional(item.sop_instance_uid, pseudonym),
        "sop_class": _sop_class(item.sop_class_uid),
        "content_sha256": item.content_digest,
        "notes": [reason_code(note) for note in item.notes],
    }


def _region(finding: Segmentation) -> Json:
    """Return row 20: the first measurement in ml is the volume, the first in mm the diameter."""
    region: Json = {
        "name": coded(finding.name),
        "interpreted_type": coded(finding.interpreted_type),
        "mask_sha256": array_digest(finding.mask),
        **_not_evaluated("mean_score", "uncertainty"),
    }
    for key, unit in (("volume_ml", "ml"), ("max_diameter_mm", "mm")):
        for item in finding.measurements:
            if item.unit.lower() == unit:
                region[key] = item.value
                if item.interval is not None:
                    region[f"{key}_interval"] = list(item.interval)
                break
    return region


def _uncertainty(value: Uncertainty) -> Json:
    return {
        "measure": coded(value.measure),
        "score": float(value.score),
        "interval": [float(limit) for limit in value.interval],
        "abstain": value.abstain,
        "reasons": [reason_code(item) for item in value.reasons],
    }


def _explanation_reference(
    answer: Answer, documents: Iterable[Document], pseudonym: PseudonymOf
) -> Json:
    """Return row 22: the parametric map that carries the attribution, if one was written."""
    kind = coded(answer.explanation.method) if answer.explanation else "none"
    for item in documents:
        if answer.explanation and item.kind == "PMAP":
            uid = _optional(item.sop_instance_uid, pseudonym)
            return {"kind": kind, "sop_uid_p": uid, "sha256": item.content_digest}
    return {"kind": kind, **_not_evaluated("sop_uid_p", "sha256")}


def _acquisition(volume: Volume | Radiograph) -> Json:
    spacing = volume.geometry.spacing_mm if isinstance(volume, Volume) else volume.spacing_mm or ()
    facts: Json = {
        "modality": volume.modality
        if volume.modality in MODALITIES
        else digest_word(volume.modality),
        "spacing_mm": [round(float(value), 4) for value in spacing],
        "shape": list(volume.array.shape),
    }
    for key, value in volume.acquisition.items():
        if not isinstance(value, str):
            facts[coded(key)] = _number(value)
        elif key in _EQUIPMENT and _names_equipment(value):
            facts[key] = value
    return facts


def _names_equipment(value: str) -> bool:
    written = _EQUIPMENT_TEXT.fullmatch(value) and not could_number_a_person(value)
    return bool(written) and permitted(value)


def _number(value: float) -> float | str:
    """Return a number that JSON can carry; what is not finite was not measured."""
    return float(value) if math.isfinite(value) else NOT_EVALUATED


def _sop_class(uid: str) -> str:
    return uid if is_class(uid) else digest_word(uid)


def _optional(uid: str, pseudonym: PseudonymOf) -> str:
    return pseudonym(uid) if uid else NOT_EVALUATED


def _not_evaluated(*keys: str) -> Json:
    return dict.fromkeys(keys, NOT_EVALUATED)


def _digest(value: Any) -> str:
    return f"sha256:{hashlib.sha256(canonical.encode(value)).hexdigest()}"
