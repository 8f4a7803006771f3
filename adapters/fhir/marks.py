"""What a superseded result says of itself: status, tag and a sentence, in FHIR R4.

R4 has no status "superseded" for a DiagnosticReport or an Observation, and the codes that
tell of a change are for what was final before, which our results never are:

    amended, corrected, appended   "Subsequent to being final, the report has been modified"
    entered-in-error               withdrawn; "should never have existed"; and: "If real-world
                                   activity has occurred, the status should be "cancelled""
    cancelled                      what is left, and what that sentence asks for

(http://hl7.org/fhir/R4/codesystem-diagnostic-report-status.html and
codesystem-observation-status.html).  A result that a later one replaces was right when it was
made, from images that were really taken: it becomes ``cancelled``.  A result that names a
patient whom the images turned out not to be of should never have existed in that record, and
one whose release was recalled was not right when it was made: they become
``entered-in-error``, "withdrawn", "though it is possible that real-world decisions were based
on it".

The tag names the run that replaces it, and by its display why.  A status that somebody else
has set is a person's decision and stays; the tag and the sentence are added all the same.

Read next: `superseding.py` (how a server gets it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.fhir.terminology import Json, coding
from plugins.host.identity import RECALL

SUPERSEDED = "urn:osteon:superseded-by"
MARKED = ("DiagnosticReport", "Observation")
CANCELLED, ENTERED_IN_ERROR = "cancelled", "entered-in-error"
REPLACED = "Superseded by a later run"
OTHER_PATIENT = "Superseded: the images are of another patient"
OF_RECALL = "Withdrawn: its release was recalled"
WHY: Mapping[str, str] = {
    REPLACED: "A later result replaces this one.",
    OTHER_PATIENT: "The images belong to another patient.",
    OF_RECALL: "It is withdrawn: the release that made it was recalled.",
}
"""Display of the tag, and the sentence that a superseded report begins with."""
_OURS = ("preliminary", CANCELLED)
"""The statuses that we write, and may therefore replace."""
_OPENING = re.compile(r"\s*<div[^>]*>")


@dataclass(frozen=True, slots=True)
class Mark:
    """By which run a result is superseded, the status that it gets, and why (`WHY`)."""

    by_run_id: str
    status: str
    why: str = REPLACED

    @property
    def sentence(self) -> str:
        """Return what the conclusion of a superseded report begins with."""
        return f"SUPERSEDED by run {self.by_run_id}. {WHY[self.why]} "


def mark_for(trigger: str, by_run_id: str) -> Mark:
    """Return the mark that a run sets on the results that it replaces."""
    why = {"patient-changed": OTHER_PATIENT, RECALL: OF_RECALL}.get(trigger, REPLACED)
    return Mark(by_run_id, CANCELLED if why == REPLACED else ENTERED_IN_ERROR, why)


def mark_of(resource: Mapping[str, Any]) -> Mark | None:
    """Return the mark that a resource carries, None when it is not superseded."""
    for tag in (resource.get("meta") or {}).get("tag") or ():
        if isinstance(tag, Mapping) and tag.get("system") == SUPERSEDED:
            status = str(resource.get("status", ""))
            kept = status if status == ENTERED_IN_ERROR else CANCELLED
            said = str(tag.get("display", ""))
            why = said if said in WHY else REPLACED
            return Mark(str(tag.get("code", "")), kept, why)
    return None


def marked(resource: Json, mark: Mark) -> Json:
    """Return a resource with a mark; one that carries a mark already is returned as it is."""
    if resource.get("resourceType") not in MARKED or mark_of(resource) is not None:
        return resource
    changed = dict(resource)
    meta = dict(changed.get("meta") or {})
    tag = coding(mark.by_run_id, SUPERSEDED, mark.why)
    changed["meta"] = meta | {"tag": [*(meta.get("tag") or ()), tag]}
    if changed.get("status") in _OURS:
        changed["status"] = mark.status
    if resource["resourceType"] == "DiagnosticReport":
        changed["conclusion"] = mark.sentence + str(changed.get("conclusion") or "")
        text = changed.get("text")
        if isinstance(text, dict) and _OPENING.match(str(text.get("div", ""))):
            changed["text"] = text | {"div": _told(str(text["div"]), mark.sentence)}
    return changed


def _told(div: str, sentence: str) -> str:
    """Return a narrative that begins with the sentence."""
    opening = _OPENING.match(div)
    place = opening.end() if opening else 0
    return f"{div[:place]}{sentence}{div[place:]}"
