"""Prescriptions in the objects of a study: RT Plan, RT Ion Plan, RT Physician Intent.

Read next: `in_plan.py`, `in_intent.py`.
"""

from __future__ import annotations

from io import BytesIO

from pydicom import Dataset, dcmread

from adapters.prescriptions.in_intent import RT_PHYSICIAN_INTENT, of_intent
from adapters.prescriptions.in_plan import PLANS, of_plan
from adapters.prescriptions.statements import OTHER_STUDY, SHAPE, Statement, Unusable
from adapters.rt.read_part10 import readable_values
from audit.errors import InputError

MODALITIES = ("RTPLAN", "RTINTENT")
"""Modality (0008,0060) of series that may hold a prescription (PS3.3 C.7.3.1.1.1)."""


def statement_in(
    data: bytes, study_instance_uid: str, *, for_research: bool = False
) -> Statement | Unusable | None:
    """Return what a DICOM object prescribes; None where it prescribes nothing or is another.

    An object that is damaged where it prescribes cannot be used, and says so; one of which
    not even the class can be read prescribes nothing.

    Parameters
    ----------
    study_instance_uid : the study that it was found in; one of another study is unusable.
    for_research : plans of intent RESEARCH count, because the result is for research too.
    """
    kind, uid = "", ""
    try:
        with readable_values("an object that may hold a prescription"):
            dataset = dcmread(BytesIO(data), force=True, stop_before_pixels=True)
            kind = str(dataset.get("SOPClassUID") or "")
            uid = str(dataset.get("SOPInstanceUID") or "")
            found = _of(dataset, kind, for_research) if uid else None
            if found is not None and dataset.get("StudyInstanceUID") != study_instance_uid:
                return Unusable(found.source, found.object_id, OTHER_STUDY)
            return found
    except (InputError, OSError):
        source = _source(kind)
        return Unusable(source, uid, SHAPE) if source and uid else None


def _of(dataset: Dataset, kind: str, for_research: bool) -> Statement | Unusable | None:
    source = _source(kind)
    if source == "plan":
        return of_plan(dataset, for_research=for_research)
    return of_intent(dataset) if source else None


def _source(kind: str) -> str:
    if kind in PLANS:
        return "plan"
    return "physician_intent" if kind == RT_PHYSICIAN_INTENT else ""
