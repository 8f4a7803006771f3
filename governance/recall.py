"""The recall list: every patient, study and result that a release made, and what to do.

Names stand as pseudonyms; the way back is the vault's, for the roles in `IDENTIFIERS`.
The list is computed from what is stored whenever it is read, so that a run that ended
after the rollback is on it too.

Source: REGULATORY.md section 4, row 17 (re-assessment list of affected patients, deployer
notice and acknowledgement); AIA-20.

Read next: `rollback.py`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from audit import canonical
from governance.ports import GovernedStore
from governance.release import digest_of

KIND = "recall"
"""Governed document by release digest: what a rollback or a person recalled, and when."""
ACKNOWLEDGED = "recall_acknowledgement"
"""Governed document by ``DIGEST/PERSON``: which list that person has read."""
HANDLED = "recall_handled"
"""Governed document by ``DIGEST/PSEUDONYM``: what was done about a patient."""
OVERSEERS = "overseers"
READERS = ("clinician", "physicist", "engineer", "approver", "compliance", "administrator")
ACKNOWLEDGERS = ("clinician", "physicist", "engineer", "approver", "administrator")
IDENTIFIERS = ("clinician", "physicist")
RECALLERS = ("clinician", "physicist", "approver")
HANDLERS = ("clinician", "physicist")
ARRIVED = ("sent", "stored", "verified")
TODO = {
    "REVIEW": "Review the result before it is used further; contour or plan again where needed.",
    "WITHDRAWN": "Marked as withdrawn where it lies; review what rests on it; contour or plan "
    "again where needed.",
    "REPLACED": "A later run has replaced the result; check that the replaced one is not in use.",
    "NOTHING_ARRIVED": "Nothing of it reached a target.",
    "IN_PROGRESS": "The run is not over: read the list again.",
}


@dataclass(frozen=True, slots=True)
class RecalledDocument:
    """One object of a result, and how far it came at one target."""

    kind: str
    sop_instance_uid: str
    target: str
    state: str


@dataclass(frozen=True, slots=True)
class RecalledRun:
    """One result of the release.

    Parameters
    ----------
    pseudonym : of the patient; ``not-evaluated`` where the study has none.
    study_uid_p : the study's pseudonym.
    fhir : searches that find the resources again, e.g. ``DiagnosticReport?identifier=...``.
    todo : a code of `TODO`.
    """

    run_id: str
    pseudonym: str
    study_uid_p: str
    status: str
    opened_at: datetime
    closed_at: datetime | None
    documents: tuple[RecalledDocument, ...]
    fhir: tuple[str, ...]
    superseded_by: str
    todo: str
    identity: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecallList:
    """All results of a release since a moment."""

    plugin: str
    version: str
    release_digest: str
    since: datetime | None
    runs: tuple[RecalledRun, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        """Return the pseudonyms on the list, sorted."""
        return tuple(sorted({run.pseudonym for run in self.runs}))

    @property
    def digest(self) -> str:
        """Return the digest of what is on the list, without identities."""
        rows = [{**_row(run), "identity": {}} for run in self.runs]
        return digest_of(canonical.encode(rows))


def todo_of(
    status: str,
    superseded_by: str,
    documents: Sequence[RecalledDocument],
    *,
    withdrawn: bool = False,
) -> str:
    """Return what to do about a run; ``withdrawn`` where a recall has marked it outside."""
    if not any(item.state in ARRIVED for item in documents):
        return "IN_PROGRESS" if status not in _OVER else "NOTHING_ARRIVED"
    if withdrawn:
        return "WITHDRAWN"
    return "REPLACED" if superseded_by else "REVIEW"


_OVER = ("done", "abstained", "refused", "failed", "discarded")


def as_json(recall: RecallList) -> dict[str, Any]:
    """Return the list as JSON values."""
    return {
        "plugin": recall.plugin,
        "version": recall.version,
        "release_digest": recall.release_digest,
        "since": recall.since.isoformat() if recall.since else None,
        "digest": recall.digest,
        "patients": len(recall.patients),
        "runs": [_row(run) for run in recall.runs],
    }


def as_csv(recall: RecallList) -> str:
    """Return the list as CSV (RFC 4180), one line for each object at each target."""
    sink = io.StringIO()
    names = ("patient", "study", "run", "status", "opened_at", "kind", "sop_instance_uid", "target",
             "state", "fhir", "superseded_by", "todo")  # fmt: skip
    identities = sorted({key for run in recall.runs for key in run.identity})
    writer = csv.writer(sink)
    writer.writerow((*names, *identities))
    for run in recall.runs:
        head = (run.pseudonym, run.study_uid_p, run.run_id, run.status, run.opened_at.isoformat())
        tail = (" ".join(run.fhir), run.superseded_by, run.todo)
        known = tuple(_plain(run.identity.get(key, "")) for key in identities)
        for item in run.documents or (RecalledDocument("", "", "", ""),):
            cells = (item.kind, item.sop_instance_uid, item.target, item.state)
            writer.writerow((*head, *cells, *tail, *known))
    return sink.getvalue()


def overseers_of(documents: GovernedStore, plugin: str) -> tuple[str, ...]:
    """Return the accounts that oversee a plugin, as the site named them; none where it did not."""
    document = documents.governed(OVERSEERS, plugin)
    if document is None:
        return ()
    return tuple(
        str(item if isinstance(item, str) else item.get("account") or item.get("person") or "")
        for item in document.content.get("overseers", ())
    )


def unacknowledged(documents: GovernedStore, release_digest: str) -> tuple[str, ...]:
    """Return who was told of the last recall of a release and has not acknowledged it."""
    recalled = documents.governed(KIND, release_digest)
    if recalled is None:
        return ()
    waiting = []
    for person in recalled.content["told"]:
        answer = documents.governed(ACKNOWLEDGED, f"{release_digest}/{person}")
        if answer is None or answer.content["recall"] != recalled.digest:
            waiting.append(str(person))
    return tuple(waiting)


def _row(run: RecalledRun) -> dict[str, Any]:
    values = asdict(run)
    values["opened_at"] = run.opened_at.isoformat()
    values["closed_at"] = run.closed_at.isoformat() if run.closed_at else None
    values["documents"] = [asdict(item) for item in run.documents]
    values["fhir"] = list(run.fhir)
    return values


def _plain(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
