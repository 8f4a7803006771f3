"""Orthanc behind the `Pacs` port, through its REST interface (pyorthanc).

The truth about arrivals is the change log: it is durable, so nothing is lost while we are
away.  Only ``NewInstance`` is reported.  ``StableStudy`` is not: it says that nothing came,
and it comes again whenever results are written back.

Two habits of Orthanc decide the code: labels and unknown search options are silently
ignored by old versions (so searches use UIDs and exact values only), and ``*``, ``?`` and
``\\`` in a value are wildcards (so such values are refused).

Read next: `changes.py` (the cursor), `local.py` (an Orthanc of our own on loopback).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Self

import httpx
from pyorthanc import Orthanc

from adapters.http_status import error_for, malformed
from adapters.orthanc.changes import Cursor, arrival, is_another_archive
from adapters.pacs import (
    ROUTING_KEYWORDS,
    Change,
    ChangeBatch,
    InstanceReference,
    SeriesSummary,
    StoreOutcome,
)
from adapters.part10 import announced_count, complete_part10
from audit.errors import (
    InputError,
    NotFoundError,
    RejectedError,
    UnavailableError,
)
from audit.pseudonym import short

WRONG_STUDY = 0xA900  # PS3.4 B.2.3
CANNOT_UNDERSTAND = 0xC000  # PS3.4 B.2.3
REQUESTS_AHEAD = 4
_STORED = {"Success": "stored", "AlreadyStored": "duplicate"}
_WILDCARDS = frozenset("*?\\")


class OrthancPacs:
    """An Orthanc; may be used from any thread.

    Parameters
    ----------
    url : of the REST interface, e.g. ``http://127.0.0.1:8042``.
    verify : False, or the path of a CA bundle, for an HTTPS server.
    """

    capabilities = frozenset(
        {"search", "retrieve", "store", "changes", "instance_changes", "read_back"}
    )

    def __init__(
        self,
        name: str,
        url: str,
        username: str = "",
        password: str = "",
        *,
        timeout_s: float = 30.0,
        verify: bool | str = True,
    ) -> None:
        # httpx logs every address at INFO; ours go to the program log as fields, if at all
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self.name = name
        self._polled_at: datetime | None = None
        self._server = ""
        self._client = Orthanc(
            url.rstrip("/"),
            username or None,
            password or None,
            return_raw_response=True,
            timeout=timeout_s,
            verify=verify,
            # Orthanc closes idle connections after one second
            limits=httpx.Limits(keepalive_expiry=0.5),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def check(self) -> str:
        """Return name and version of the server."""
        system = self._mapping("status request", self._client.get_system)
        return f"Orthanc {system.get('Version', '?')}, AE title {system.get('DicomAet', '?')}"

    def changes(self, cursor: str | None, limit: int = 1000) -> ChangeBatch:
        """Return the instances that came after the sequence number in ``cursor``.

        An archive that was set up anew is read from its beginning again.
        """
        polled_at = datetime.now(UTC)
        position = Cursor.decode(cursor)
        batch = self._changes_after(position.number, limit)
        fell_back = not batch["Changes"] and batch["Last"] < position.number
        if fell_back and is_another_archive(position, self._last_change()):
            batch = self._changes_after(0, limit)
        entries = batch["Changes"]
        changes = self._resolve([item for item in entries if item["ChangeType"] == "NewInstance"])
        if entries:
            position = Cursor(entries[-1]["Seq"], entries[-1]["Date"])
        more = not batch["Done"]
        if not more:
            self._polled_at = polled_at
        return ChangeBatch(changes, position.encode(), more)

    def search_studies(self, **keys: str) -> tuple[str, ...]:
        """Return Study Instance UIDs that match the keywords exactly."""
        found = self._find("Study", **keys)
        return tuple(sorted({item["MainDicomTags"]["StudyInstanceUID"] for item in found}))

    def search_series(self, study_instance_uid: str) -> tuple[SeriesSummary, ...]:
        """Return the series of a study; tags come from the first instance of each."""
        found = self._find("Series", StudyInstanceUID=study_instance_uid)
        summaries = [self._summary(study_instance_uid, item) for item in found]
        return tuple(sorted(summaries, key=lambda item: item.series_instance_uid))

    def search_instances(
        self, study_instance_uid: str, series_instance_uid: str
    ) -> tuple[InstanceReference, ...]:
        """Return the instances of a series, sorted by UID."""
        return tuple(
            InstanceReference(
                study_instance_uid,
                series_instance_uid,
                item["MainDicomTags"]["SOPInstanceUID"],
                item.get("Metadata", {}).get("SopClassUid", ""),
            )
            for item in self._instances(study_instance_uid, series_instance_uid)
        )

    def retrieve_series(self, study_instance_uid: str, series_instance_uid: str) -> Iterator[bytes]:
        """Yield each instance of a series as Part 10 bytes."""
        found = self._instances(study_instance_uid, series_instance_uid)
        yield from _ahead(self._file, [str(item["ID"]) for item in found])

    def retrieve_instance(self, reference: InstanceReference) -> bytes:
        """Return one instance; NotFoundError when it is not in the named series."""
        found = self._find(
            "Instance",
            StudyInstanceUID=reference.study_instance_uid,
            SeriesInstanceUID=reference.series_instance_uid,
            SOPInstanceUID=reference.sop_instance_uid,
        )
        if not found:
            raise NotFoundError(
                f"expected instance {short(reference.sop_instance_uid)} in {self.name}, found none"
            )
        return self._file(found[0]["ID"])

    def store(self, study_instance_uid: str, files: Sequence[bytes]) -> tuple[StoreOutcome, ...]:
        """Store files of one study, one request each."""
        return tuple(self._store(study_instance_uid, data) for data in files)

    def _store(self, study_uid: str, data: bytes) -> StoreOutcome:
        try:
            complete, part10 = complete_part10(data)
        except InputError as error:
            return StoreOutcome("", "failed", CANNOT_UNDERSTAND, error.code)
        sop = part10.reference.sop_instance_uid
        if part10.reference.study_instance_uid != study_uid:
            return StoreOutcome(sop, "failed", WRONG_STUDY, "the object is of another study")
        try:
            answer = self._mapping("store request", self._client.post_instances, complete)
        except (RejectedError, NotFoundError) as error:
            return StoreOutcome(sop, "failed", CANNOT_UNDERSTAND, str(error))
        status = str(answer.get("Status", ""))
        if status in _STORED:
            return StoreOutcome(sop, _STORED[status])
        return StoreOutcome(sop, "failed", 0, f"status {status or 'missing'}")

    def _changes_after(self, number: int, limit: int) -> dict[str, Any]:
        answer = self._mapping(
            "change request", self._client.get_changes, {"since": number, "limit": limit}
        )
        try:
            entries = [
                {key: item[key] for key in ("Seq", "Date", "ID", "ChangeType")}
                for item in answer["Changes"]
            ]
            return {
                "Changes": entries,
                "Last": int(answer["Last"]),
                "Done": bool(answer["Done"]) or not entries,
            }
        except (KeyError, TypeError, ValueError) as error:
            raise malformed(self.name, "change request") from error

    def _last_change(self) -> Cursor:
        answer = self._mapping("change request", self._client.get_changes, {"last": ""})
        entries = answer.get("Changes") or []
        return Cursor(int(entries[-1]["Seq"]), entries[-1]["Date"]) if entries else Cursor()

    def _resolve(self, entries: list[dict[str, Any]]) -> tuple[Change, ...]:
        """Return a change for each entry whose instance is still there: three requests."""
        instances = self._content({str(item["ID"]) for item in entries})
        series = self._content({item["ParentSeries"] for item in instances.values()})
        studies = self._content({item["ParentStudy"] for item in series.values()})
        now = datetime.now(UTC)
        changes = []
        for entry in entries:
            instance = instances.get(str(entry["ID"]))
            parent = series.get(instance["ParentSeries"]) if instance else None
            study = studies.get(parent["ParentStudy"]) if parent else None
            if instance is None or parent is None or study is None:
                continue  # deleted meanwhile
            changes.append(
                Change(
                    "new_instance",
                    study["MainDicomTags"]["StudyInstanceUID"],
                    arrival(entry["Date"], now, self._polled_at),
                    parent["MainDicomTags"]["SeriesInstanceUID"],
                    instance["MainDicomTags"]["SOPInstanceUID"],
                    str(instance.get("Metadata", {}).get("RemoteAET", "")),
                )
            )
        return tuple(changes)

    def _content(self, identifiers: set[str]) -> dict[str, dict[str, Any]]:
        """Return what Orthanc knows of its resources, by identifier; the gone are left out."""
        if not identifiers:
            return {}
        answer = self._list(
            "change request",
            self._client.post_tools_bulk_content,
            {"Resources": sorted(identifiers), "Metadata": True},
        )
        return {str(item["ID"]): item for item in answer}

    def _find(self, level: str, **keys: str) -> list[dict[str, Any]]:
        if any(_WILDCARDS & set(value) for value in keys.values()):
            raise RejectedError(f"expected exact values of {sorted(keys)}, found a wildcard")
        query = {"Level": level, "Query": dict(keys), "Expand": True, "CaseSensitive": True}
        return self._list("search", self._client.post_tools_find, query)

    def _instances(self, study_uid: str, series_uid: str) -> list[dict[str, Any]]:
        found = self._find("Series", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)
        content = self._content({identifier for item in found for identifier in item["Instances"]})
        # Two patients may hold the same study: each SOP Instance UID counts once, as it came last.
        by_uid = {
            item["MainDicomTags"]["SOPInstanceUID"]: item
            for item in sorted(content.values(), key=_received)
        }
        return [by_uid[uid] for uid in sorted(by_uid)]

    def _summary(self, study_uid: str, item: dict[str, Any]) -> SeriesSummary:
        count = len(item["Instances"])
        tags = self._tags(item["Instances"][0])
        announced = item.get("ExpectedNumberOfInstances") or announced_count(
            tags.get("Modality", ""), tags
        )
        return SeriesSummary(
            study_uid,
            item["MainDicomTags"]["SeriesInstanceUID"],
            tags.get("Modality", item["MainDicomTags"].get("Modality", "")),
            count,
            # more than announced: the announcement was of one of several acquisitions
            announced if announced and count <= announced else None,
            {key: tags[key] for key in ROUTING_KEYWORDS if tags.get(key)},
        )

    def _tags(self, identifier: str) -> dict[str, str]:
        found = self._mapping("search", self._client.get_instances_id_simplified_tags, identifier)
        tags = {key: value for key, value in found.items() if isinstance(value, str)}
        frames = found.get("ReferencedFrameOfReferenceSequence")
        if "FrameOfReferenceUID" not in tags and isinstance(frames, list) and len(frames) == 1:
            tags["FrameOfReferenceUID"] = str(frames[0].get("FrameOfReferenceUID") or "")
        return tags

    def _file(self, identifier: str) -> bytes:
        return bytes(
            self._send("retrieve request", self._client.get_instances_id_file, identifier).content
        )

    def _mapping(self, request: str, call: Any, *values: Any) -> dict[str, Any]:
        answer = self._json(request, call, *values)
        if not isinstance(answer, dict):
            raise malformed(self.name, request)
        return answer

    def _list(self, request: str, call: Any, *values: Any) -> list[dict[str, Any]]:
        answer = self._json(request, call, *values)
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise malformed(self.name, request)
        return answer

    def _json(self, request: str, call: Any, *values: Any) -> Any:
        response = self._send(request, call, *values)
        try:
            return response.json()
        except ValueError as error:
            raise malformed(self.name, request) from error

    def _send(self, request: str, call: Any, *values: Any) -> httpx.Response:
        try:
            response: httpx.Response = call(*values)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"expected {self.name} to answer the {request}, found {type(error).__name__}"
            ) from error
        refusal = error_for(self.name, response.status_code, request, response.headers)
        if refusal is not None:
            raise refusal
        return response


def _received(item: Mapping[str, Any]) -> str:
    return str(item.get("Metadata", {}).get("ReceptionDate", ""))


def _ahead(fetch: Callable[[str], bytes], identifiers: Sequence[str]) -> Iterator[bytes]:
    """Yield what ``fetch`` returns for each identifier, in order, a few requests ahead."""
    with ThreadPoolExecutor(REQUESTS_AHEAD) as pool:
        waiting: deque[Future[bytes]] = deque()
        try:
            for identifier in identifiers:
                waiting.append(pool.submit(fetch, identifier))
                if len(waiting) > REQUESTS_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
