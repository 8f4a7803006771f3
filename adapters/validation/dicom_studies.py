"""One study of a site as a case: routed, fetched and checked as in the clinic.

    1  routing chooses the series as for a live study (`plugins.host.routing.decide`)
    2  the reference standard is chosen: the one structure set with the region that the plan
       names, or the one planned dose
    3  everything is read by the clinic's `FolderCaseSource`: one study, one patient, one frame
       of reference, no gap
    4  contours become a mask on the image that the release needs, a CT or an MR; a dose is
       brought to its grid

A fault is a code with twelve letters that stand for the study; no name, id or path of it.

Read next: `building_dicom.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from adapters.case_source import FolderCaseSource
from adapters.rt.read_dose import read_dose
from adapters.rt.read_folder import FolderScan
from adapters.rt.read_part10 import read_instance
from adapters.rt.read_structures import read_structures
from adapters.validation.dicom_plan import Plan, folded
from audit.errors import InputError
from audit.pseudonym import short
from plugins.host.case import Case
from plugins.host.facts import SeriesFacts, StudyFacts
from plugins.host.identity import run_id_for
from plugins.host.images import RegionOfInterest, StructureSet
from plugins.host.manifest import Input, Manifest
from plugins.host.ports import RunRequest
from plugins.host.prescription import Prescription
from plugins.host.routing import decide
from validation.cohort.manifest import CohortError, refused
from validation.harness.cases import REFERENCE_ROLE

REFERENCE = "reference"
"""Role of the reference standard while a study is read; never a role that a plugin is given."""
IMAGES = ("CT", "MR", "PT")
"""Modalities of images that a reference standard can lie on."""
_OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReadStudy:
    """A study that was read.

    Parameters
    ----------
    patient_id : for the pseudonym alone.
    anchor : role of the image on whose grid the reference standard is judged.
    region : of the reference standard; None where it is a dose.
    """

    study: str
    patient_id: str
    anchor: str
    case: Case
    region: RegionOfInterest | None
    prescription: Prescription | None = None


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The object that is the reference standard."""

    series: str
    sop_instance_uid: str
    path: Path


def is_of_dose(manifest: Manifest) -> bool:
    """Return whether a release predicts a dose, so that a planned dose is its reference."""
    return any(item.kind == "DoseGrid" for item in manifest.outputs)


def anchor_of(manifest: Manifest) -> str:
    """Return the role on whose grid the reference standard lies: the CT, where one is needed.

    Else it is the first image that the release has to have, as `envelope.reference_image` says.

    Raises
    ------
    InputError : it has to have none.
    """
    needed = [item.role for item in manifest.inputs if item.required and item.modality in IMAGES]
    if not needed:
        raise InputError(
            f"expected a release that needs an image of {', '.join(IMAGES)}, found none",
            advice="A cohort is built for a release whose manifest requires an image.",
        )
    return REFERENCE_ROLE if REFERENCE_ROLE in needed else needed[0]


def read_study(
    scan: FolderScan,
    study: StudyFacts,
    release: tuple[str, Manifest],
    plan: Plan,
    prescription: Prescription | None = None,
) -> ReadStudy:
    """Return a study of a folder with its reference standard.

    Raises
    ------
    CohortError : by the code of the fault; what reading raises has its own (``INPUT_GEOMETRY``).
    """
    digest, manifest = release
    name = short(study.study_instance_uid)
    # 1
    decision = decide(study, digest, manifest)
    if not decision.applies:
        code = decision.reasons[-1].code
        raise refused("COHORT_STUDY_NOT_ROUTED", "a study of the release", f"{name} {code}")
    try:
        # 2
        anchor = anchor_of(manifest)
        frame = _frame_of(study, decision.series[anchor])
        choose = _planned_dose if is_of_dose(manifest) else _drawn
        chosen = choose(scan, study, plan, frame)
        # 3
        case, patient_id = _fetched(scan, study, release, decision.series, chosen, prescription)
    except CohortError:
        raise
    except InputError as error:
        raise CohortError(str(error), reasons=(f"{error.code} {name}",)) from error
    if not patient_id:
        raise refused("COHORT_PATIENT_UNKNOWN", "a Patient ID", name)
    region = None
    if not is_of_dose(manifest):
        region = _wanted(case.structure_sets[REFERENCE], plan)[0]
    return ReadStudy(name, patient_id, anchor, case, region, prescription)


def _fetched(
    scan: FolderScan,
    study: StudyFacts,
    release: tuple[str, Manifest],
    series: Mapping[str, str],
    chosen: _Chosen,
    prescription: Prescription | None,
) -> tuple[Case, str]:
    """Return the case with the reference standard under its own role, and the Patient ID."""
    digest, manifest = release
    kind = "RTDOSE" if is_of_dose(manifest) else "RTSTRUCT"
    anchor = anchor_of(manifest)
    asked = replace(manifest, inputs=(*manifest.inputs, Input(REFERENCE, kind, True, anchor)))
    known = {item.series_instance_uid: item for item in study.series}
    instances = {u for uid in series.values() for u in known[uid].sop_instance_uids}
    uids = tuple(sorted({*instances, chosen.sop_instance_uid}))
    # A series may hold older revisions of the reference standard: only the chosen one is read.
    files = {**scan.files, chosen.series: (chosen.path,)}
    source = FolderCaseSource(replace(scan, files=files))
    request = RunRequest(
        run_id=run_id_for(uids, digest, {}),
        study_instance_uid=study.study_instance_uid,
        plugin=manifest.plugin,
        plugin_version=manifest.version,
        release_digest=digest,
        mode="research",
        series={**series, REFERENCE: chosen.series},
        sop_instance_uids=uids,
        opened_at=_OPENED_AT,
        trigger="manual",
        requested_by="service:validation",
        prescription=prescription,
    )
    case = source.fetch(request, asked)
    header = source.sources(request)[anchor].first
    return case, str(header.get("PatientID", "") or "").strip()


def _frame_of(study: StudyFacts, series: str) -> str:
    """Return the frame of reference of a series; empty where the headers differ."""
    known = {item.series_instance_uid: item for item in study.series}
    return known[series].frame_of_reference_uid or ""


def _drawn(scan: FolderScan, study: StudyFacts, plan: Plan, frame: str) -> _Chosen:
    """Return the structure set that holds the region which the plan names."""
    found: list[tuple[_Chosen, StructureSet]] = []
    for series, path in _objects(scan, study, "RTSTRUCT"):
        structures, _ = read_structures(path)
        if _wanted(structures, plan):
            uid = structures.sop_instance_uid
            found.append((_Chosen(series.series_instance_uid, uid, path), structures))
    name = short(study.study_instance_uid)
    if not found:
        raise refused("COHORT_REFERENCE_MISSING", "a structure set with the named region", name)
    there = [item for item in found if item[1].frame_of_reference_uid == frame]
    if not there:
        raise refused("COHORT_REFERENCE_FRAME", "contours in the frame of the image", name)
    approved = [item for item in there if item[1].approval_status == "APPROVED"]
    if plan.approved and not approved:
        raise refused("COHORT_REFERENCE_UNAPPROVED", "an approved structure set", name)
    chosen = approved or there
    regions = _wanted(chosen[0][1], plan)
    if len(chosen) > 1 or len(regions) > 1:
        raise refused("COHORT_REFERENCE_TWICE", "one structure set with one such region", name)
    return chosen[0][0]


def _planned_dose(scan: FolderScan, study: StudyFacts, plan: Plan, frame: str) -> _Chosen:
    """Return the dose of the whole plan; with ``approved`` of a plan that is approved."""
    name = short(study.study_instance_uid)
    found: list[_Chosen] = []
    elsewhere = unapproved = False
    plans = _approvals(scan, study)
    for series, path in _objects(scan, study, "RTDOSE"):
        dose, source = read_dose(path)
        if str(source.first.get("DoseSummationType") or "") != "PLAN":
            continue
        if dose.geometry.frame_of_reference_uid != frame:
            elsewhere = True
            continue
        named = source.first.get("ReferencedRTPlanSequence") or ()
        stated = {plans.get(str(item.get("ReferencedSOPInstanceUID")), "") for item in named}
        if plan.approved and stated != {"APPROVED"}:
            unapproved = True
            continue
        uid = dose.sop_instance_uids[0]
        found.append(_Chosen(series.series_instance_uid, uid, path))
    if not found and unapproved:
        raise refused("COHORT_REFERENCE_UNAPPROVED", "the dose of an approved plan", name)
    if not found and elsewhere:
        raise refused("COHORT_REFERENCE_FRAME", "a dose in the frame of the image", name)
    if len(found) != 1:
        code = "COHORT_REFERENCE_TWICE" if found else "COHORT_REFERENCE_MISSING"
        raise refused(code, "one dose of a whole plan", name)
    return found[0]


def _objects(
    scan: FolderScan, study: StudyFacts, modality: str
) -> Sequence[tuple[SeriesFacts, Path]]:
    return [
        (series, path)
        for series in study.series
        if series.modality == modality
        for path in scan.files[series.series_instance_uid]
    ]


def _approvals(scan: FolderScan, study: StudyFacts) -> dict[str, str]:
    """Return SOP Instance UID -> Approval Status of the study's plans."""
    headers = [read_instance(path).dataset for _, path in _objects(scan, study, "RTPLAN")]
    return {
        str(item.get("SOPInstanceUID")): str(item.get("ApprovalStatus") or "") for item in headers
    }


def _wanted(structures: StructureSet, plan: Plan) -> tuple[RegionOfInterest, ...]:
    """Return the regions that the plan names and that have contours."""
    return tuple(
        roi for roi in structures.rois if roi.contours and folded(roi.name) in plan.structures
    )
