"""Any DICOMweb server behind the `Pacs` port (dicomweb-client).

Searches use exact UIDs, numbers and dates only: at least one server does not decode
percent-encoded values, so wildcards and ``^`` never arrive.  Media types are always named.
Counts are used where the server gives them; where it does not, series and instances are
counted by asking.

Read next: `polling.py` (changes without a change feed), `stow.py` (the answer to a store).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, Self

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from adapters.dicomweb import polling, stow
from adapters.http_status import error_for, malformed
from adapters.pacs import ChangeBatch, InstanceReference, SeriesSummary, StoreOutcome
from adapters.part10 import Part10, complete_part10, facts_of, read_part10, same_content
from audit.errors import (
    AuthenticationError,
    InputError,
    NotFoundError,
    RejectedError,
    SuiteError,
    UnavailableError,
)

PAGE = 500
SMALLEST_CAP = 20  # servers cut long lists at 100 or so, and not all of them say it
BATCH_BYTES = 32 * 2**20  # servers limit a request; 64 MiB is the least we met
WRONG_STUDY = 0xA900  # PS3.4 B.2.3
CANNOT_UNDERSTAND = 0xC000  # PS3.4 B.2.3
OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3
_ANY_SYNTAX = (("application/dicom", "*"),)
_UNSAFE = frozenset("*?\\^%&#+ ")
_REMEMBERED_SERIES = 2000


class DicomwebPacs:
    """A DICOMweb server; may be used from any thread.

    Parameters
    ----------
    url : root of the service, e.g. ``https://pacs.example/dicom-web``.
    token : bearer token; wins over user and password.
    verify : False, or the path of a CA bundle, for an HTTPS server.
    window_days : ask only for studies of the last days; None asks for all.
    """

    capabilities = frozenset({"search", "retrieve", "store", "changes", "read_back"})

    def __init__(
        self,
        name: str,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        verify: bool | str = True,
        timeout_s: float = 30.0,
        window_days: int | None = None,
    ) -> None:
        # the library logs UIDs and addresses at INFO and server text at WARNING
        logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        self.name = name
        self._timeout_s = timeout_s
        self._window_days = window_days
        self._first: dict[str, Part10] = {}
        self._lock = threading.Lock()
        self._session = requests.Session()
        self._session.verify = verify
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        elif username:
            self._session.auth = (username, password or "")
        self._client = DICOMwebClient(
            url.rstrip("/"), session=self._session, timeout=timeout_s, permissive_uid=True
        )
        # repetition is the caller's: it knows the deadline, and a stream cannot be sent twice
        self._client.set_http_retry_params(retry=False)
        self._url = url.rstrip("/")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def check(self) -> str:
        """Return that the server answers a search."""
        with self._translated("search"):
            self._client.search_for_studies(limit=1)
        return "DICOMweb server, answers QIDO-RS"

    def changes(self, cursor: str | None, limit: int = 1000) -> ChangeBatch:
        """Return one ``changed`` for each study that differs from what the cursor holds."""
        return polling.compare(cursor, self._sweep(), self._is_gone, datetime.now(UTC), limit)

    def search_studies(self, **keys: str) -> tuple[str, ...]:
        """Return Study Instance UIDs that match the keywords exactly."""
        return tuple(sorted({text(item, "0020000D") for item in self._studies(keys)}))

    def search_series(self, study_instance_uid: str) -> tuple[SeriesSummary, ...]:
        """Return the series of a study; tags come from the first instance of each."""
        found = []
        for item in self._pages(self._client.search_for_series, "0020000E", study_instance_uid):
            series_uid = text(item, "0020000E")
            count = number(item, "00201209")
            first = self._first_instance(study_instance_uid, series_uid)
            if first is None:
                continue  # left between two requests
            if count is None:
                count = len(self.search_instances(study_instance_uid, series_uid))
            expected = first.expected_count if count <= (first.expected_count or 0) else None
            found.append(
                SeriesSummary(
                    study_instance_uid,
                    series_uid,
                    first.modality or text(item, "00080060"),
                    count,
                    expected,
                    first.tags,
                )
            )
        return tuple(sorted(found, key=lambda item: item.series_instance_uid))

    def search_instances(
        self, study_instance_uid: str, series_instance_uid: str
    ) -> tuple[InstanceReference, ...]:
        """Return the instances of a series, sorted by UID."""
        items = self._pages(
            self._client.search_for_instances, "00080018", study_instance_uid, series_instance_uid
        )
        references = [
            InstanceReference(
                study_instance_uid,
                series_instance_uid,
                text(item, "00080018"),
                text(item, "00080016"),
            )
            for item in items
        ]
        return tuple(sorted(references, key=lambda item: item.sop_instance_uid))

    def retrieve_series(self, study_instance_uid: str, series_instance_uid: str) -> Iterator[bytes]:
        """Yield each instance of a series as Part 10 bytes, as they arrive."""
        with self._translated("retrieve request"):
            try:
                for dataset in self._client.iter_series(
                    study_instance_uid, series_instance_uid, media_types=_ANY_SYNTAX
                ):
                    yield _written(dataset)
            except requests.HTTPError as error:
                if _status(error) not in (404, 410):
                    raise

    def retrieve_instance(self, reference: InstanceReference) -> bytes:
        """Return one instance; NotFoundError when the server does not have it."""
        with self._translated("retrieve request"):
            dataset = self._client.retrieve_instance(
                reference.study_instance_uid,
                reference.series_instance_uid,
                reference.sop_instance_uid,
                media_types=_ANY_SYNTAX,
            )
            return _written(dataset)

    def store(self, study_instance_uid: str, files: Sequence[bytes]) -> tuple[StoreOutcome, ...]:
        """Store files of one study, several in a request."""
        outcomes: dict[int, StoreOutcome] = {}
        usable: dict[int, tuple[InstanceReference, bytes]] = {}
        for position, data in enumerate(files):
            try:
                complete, part10 = complete_part10(data)
            except InputError as error:
                outcomes[position] = StoreOutcome("", "failed", CANNOT_UNDERSTAND, error.code)
                continue
            reference = part10.reference
            if reference.study_instance_uid != study_instance_uid:
                outcomes[position] = StoreOutcome(
                    reference.sop_instance_uid,
                    "failed",
                    WRONG_STUDY,
                    "the object is of another study",
                )
                continue
            usable[position] = (reference, complete)
        positions = list(usable)
        for batch in stow.batches([usable[item][1] for item in positions], BATCH_BYTES):
            chosen = [positions[item] for item in batch]
            answers = self._post(study_instance_uid, [usable[item] for item in chosen])
            outcomes.update(zip(chosen, answers, strict=True))
        return tuple(outcomes[position] for position in range(len(files)))

    def _post(
        self, study_uid: str, items: Sequence[tuple[InstanceReference, bytes]]
    ) -> tuple[StoreOutcome, ...]:
        body, content_type = stow.body_of([data for _, data in items])
        headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
        with self._translated("store request"):
            response = self._session.post(
                f"{self._url}/studies/{study_uid}",
                data=body,
                headers=headers,
                timeout=self._timeout_s,
            )
        if response.status_code == 413 and len(items) > 1:
            half = len(items) // 2
            return self._post(study_uid, items[:half]) + self._post(study_uid, items[half:])
        uids = [reference.sop_instance_uid for reference, _ in items]
        if response.status_code == 413:
            return (StoreOutcome(uids[0], "failed", OUT_OF_RESOURCES, "too large for the server"),)
        error = error_for(self.name, response.status_code, "store request", response.headers)
        if isinstance(error, (AuthenticationError, UnavailableError)):
            raise error
        try:
            answer = stow.answer_of(response.content, response.headers.get("Content-Type", ""))
        except ValueError as fault:
            if error is None:
                raise malformed(self.name, "store request") from fault
            answer = {}
        outcomes = stow.outcomes_of(uids, response.status_code, answer)
        return tuple(
            self._checked(outcome, *item) for outcome, item in zip(outcomes, items, strict=True)
        )

    def _checked(
        self, outcome: StoreOutcome, reference: InstanceReference, data: bytes
    ) -> StoreOutcome:
        """Tell a duplicate from a failure: servers use the same reason for both."""
        if outcome.status not in ("failed", "duplicate"):
            return outcome
        try:
            found = same_content(self.retrieve_instance(reference), data)
        except (NotFoundError, RejectedError):
            return StoreOutcome(outcome.sop_instance_uid, "failed", outcome.code, outcome.reason)
        if found:
            return StoreOutcome(outcome.sop_instance_uid, "duplicate", outcome.code)
        reason = "another object has this SOP Instance UID"
        return StoreOutcome(outcome.sop_instance_uid, "failed", outcome.code, reason)

    def _sweep(self) -> dict[str, str]:
        """Return Study Instance UID -> signature of every study that the server lists.

        A study that the server lists under two patients is one study here.
        """
        keys = {}
        if self._window_days is not None:
            first = datetime.now(UTC) - timedelta(days=self._window_days)
            keys["StudyDate"] = f"{first:%Y%m%d}-"
        found: dict[str, str] = {}
        for item in self._studies(keys):
            uid = text(item, "0020000D")
            instances, series = number(item, "00201208"), number(item, "00201206")
            if instances is None:
                counts = self._series_counts(uid)
                instances, series = sum(counts), len(counts)
            signature = polling.signature(uid, instances, series, text(item, "00100020"))
            found[uid] = f"{found[uid]}+{signature}" if uid in found else signature
        return found

    def _series_counts(self, study_uid: str) -> list[int]:
        counts = []
        for item in self._pages(self._client.search_for_series, "0020000E", study_uid):
            count = number(item, "00201209")
            if count is None:
                count = len(self.search_instances(study_uid, text(item, "0020000E")))
            counts.append(count)
        return counts

    def _is_gone(self, study_uid: str) -> bool:
        return not self._studies({"StudyInstanceUID": study_uid})

    def _studies(self, keys: Mapping[str, str]) -> list[Mapping[str, Any]]:
        if any(_UNSAFE & set(value) for value in keys.values()):
            raise RejectedError(f"expected exact values of {sorted(keys)}, found a wildcard")
        return list(
            self._pages(self._client.search_for_studies, "0020000D", search_filters=dict(keys))
        )

    def _pages(
        self, search: Any, uid_tag: str, *uids: str, **options: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Yield all results, page by page, each once; ends when a page holds nothing new."""
        seen: set[tuple[str, str]] = set()
        while True:
            with self._translated("search"):
                try:
                    page = search(*uids, limit=PAGE, offset=len(seen), **options)
                except requests.HTTPError as error:
                    if _status(error) not in (404, 410):
                        raise
                    return
            if not isinstance(page, list) or not all(isinstance(item, dict) for item in page):
                raise malformed(self.name, "search")
            # a server that ignores the offset gives the same page again: that ends it
            keyed = {(text(item, uid_tag), text(item, "00100020")): item for item in page}
            new = [key for key in keyed if key[0] and key not in seen]
            if not new:
                return
            seen.update(new)
            yield from (keyed[key] for key in new)
            if len(page) < SMALLEST_CAP:
                return

    def _first_instance(self, study_uid: str, series_uid: str) -> Part10 | None:
        """Return the facts of one instance of a series; they are asked for once."""
        with self._lock:
            if series_uid in self._first:
                return self._first[series_uid]
        references = self.search_instances(study_uid, series_uid)
        if not references:
            return None
        found = self._facts(references[0])
        with self._lock:
            while len(self._first) >= _REMEMBERED_SERIES:
                del self._first[next(iter(self._first))]
            self._first[series_uid] = found
        return found

    def _facts(self, reference: InstanceReference) -> Part10:
        try:
            with self._translated("metadata request"):
                metadata = self._client.retrieve_instance_metadata(
                    reference.study_instance_uid,
                    reference.series_instance_uid,
                    reference.sop_instance_uid,
                )
                return facts_of(Dataset.from_json(metadata, lambda *_: None))
        except (SuiteError, KeyError, TypeError) as error:
            if isinstance(error, AuthenticationError):
                raise
            return read_part10(self.retrieve_instance(reference))  # no metadata service there

    @contextmanager
    def _translated(self, request: str) -> Iterator[None]:
        try:
            yield
        except requests.HTTPError as error:
            headers = {} if error.response is None else error.response.headers
            translated = error_for(self.name, _status(error), request, headers)
            raise translated or malformed(self.name, request) from error
        except (requests.exceptions.JSONDecodeError, requests.exceptions.InvalidHeader) as error:
            raise malformed(self.name, request) from error
        except requests.RequestException as error:
            raise UnavailableError(
                f"expected {self.name} to answer the {request}, found {type(error).__name__}"
            ) from error
        except (ValueError, KeyError, IndexError, EOFError, InvalidDicomError) as error:
            raise malformed(self.name, request) from error


def text(item: Mapping[str, Any], tag: str) -> str:
    """Return the first value of an attribute in DICOM JSON (PS3.18 Annex F) as text."""
    values = (item.get(tag) or {}).get("Value") or [""]
    return str(values[0]) if not isinstance(values[0], dict) else ""


def number(item: Mapping[str, Any], tag: str) -> int | None:
    """Return the first value of an attribute as a number, None when there is none."""
    value = text(item, tag)
    return int(value) if value.isdigit() else None


def _status(error: requests.HTTPError) -> int:
    return 0 if error.response is None else int(error.response.status_code)


def _written(dataset: Any) -> bytes:
    sink = BytesIO()
    dcmwrite(sink, dataset, enforce_file_format=True)
    return sink.getvalue()
