"""Mark the results of a superseded run where they lie, and lose nothing that others added.

The instruction is a document like any other: the bundle of the superseded run, its report and
Observations marked (`marks.py`) as conditional updates (FHIR R4 3.1.0.4.3), the rest as
conditional creates.  A server that was away when the old result left gets it marked from the
start; where the result is there, only the mark is added to what the server has now, under
If-Match (3.1.0.7.1), so that nobody's concurrent change is lost.

A result is marked only where the one that replaces it has arrived.

Read next: `client.py`.
"""

from __future__ import annotations

from adapters.fhir.client import FhirClient
from adapters.fhir.faults import NewerVersionError
from adapters.fhir.marks import MARKED, Mark, mark_of, marked
from adapters.fhir.terminology import RUN, Json
from audit.errors import NotStoredError

TRIALS = 3
STATUS_KEPT = "STATUS_KEPT"
"""Somebody else set the status of a superseded result; it carries the tag and keeps it."""


def superseding_bundle(old: Json, mark: Mark) -> Json:
    """Return the bundle that marks what the bundle of an earlier run made."""
    entries = []
    for entry in old["entry"]:
        kind = entry["resource"]["resourceType"]
        request = entry["request"]
        if kind in MARKED:
            request = {"method": "PUT", "url": f"{kind}?{request['ifNoneExist']}"}
        resource = marked(entry["resource"], mark)
        entries.append({**entry, "resource": resource, "request": request})
    return {**old, "entry": entries}


def is_superseding(bundle: Json) -> bool:
    """Return whether a bundle marks the results of an earlier run."""
    return any(entry["request"]["method"] == "PUT" for entry in bundle["entry"])


def supersede(client: FhirClient, bundle: Json) -> None:
    """Mark every report and Observation of the bundle on a server; twice changes nothing.

    Raises
    ------
    NotStoredError : the result that replaces them is not there yet.
    RejectedError, UnavailableError, AuthenticationError : as of every request.
    """
    _require_replacement(client, bundle)
    creating = _creating(bundle)
    if any(kept is None for kept in client.found(creating).values()):
        client.transact(creating)
    for entry in _to_mark(creating):
        _mark(client, entry)


def superseded(client: FhirClient, bundle: Json) -> tuple[bool, str]:
    """Return whether every report and Observation carries its mark, and a remark."""
    remark = ""
    for entry in _to_mark(_creating(bundle)):
        kept = client.find(entry)
        if kept is None or mark_of(kept) is None:
            return False, ""
        if kept.get("status") != entry["resource"]["status"]:
            remark = STATUS_KEPT
    return True, remark


def _mark(client: FhirClient, entry: Json) -> None:
    """Add the mark to what the server has now; read again where somebody came between."""
    mark = mark_of(entry["resource"])
    for trial in range(TRIALS):
        kept = client.find(entry)
        if kept is None or mark is None or mark_of(kept) is not None:
            return
        try:
            client.update(marked(kept, mark), "marking a superseded result")
        except NewerVersionError:
            if trial + 1 == TRIALS:
                raise
        else:
            return


def _require_replacement(client: FhirClient, bundle: Json) -> None:
    runs = {mark.by_run_id for item in bundle["entry"] if (mark := mark_of(item["resource"]))}
    for run_id in runs:
        search = {"url": "DiagnosticReport", "ifNoneExist": f"identifier={RUN}|{run_id}"}
        if client.find({"request": search}) is None:
            raise NotStoredError("expected the replacing report on the FHIR server, found none")


def _creating(bundle: Json) -> Json:
    """Return the bundle with conditional creates alone."""
    entries = []
    for entry in bundle["entry"]:
        url = str(entry["request"]["url"])
        if entry["request"]["method"] == "PUT":
            kind, _, search = url.partition("?")
            request = {"method": "POST", "url": kind, "ifNoneExist": search}
            entry = {**entry, "request": request}
        entries.append(entry)
    return {**bundle, "entry": entries}


def _to_mark(creating: Json) -> list[Json]:
    return [entry for entry in creating["entry"] if entry["request"]["url"] in MARKED]
