"""Storage commitment: the peer says that it takes over responsibility (PS3.4 Annex J).

The request goes out with N-ACTION; the answer comes with N-EVENT-REPORT, on the same
association or on a new one to our listening process.  Reports are kept as files, so that
the process which asked finds them although another one listens.

Read next: `pacs.py`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import build_context, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from adapters.dimse.peer import Peer, associated
from adapters.pacs import InstanceReference, StoreOutcome
from audit.errors import RejectedError, UnavailableError

REQUEST_STORAGE_COMMITMENT = 1  # PS3.4 J.3.2.1, Action Type ID
POLL_S = 0.02
_SAME_ASSOCIATION_S = 1.0


class Reports:
    """Storage commitment reports on disk, by Transaction UID."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, report: Dataset) -> None:
        """Keep the report that a peer sent."""
        self._folder.mkdir(parents=True, exist_ok=True)
        found = {
            str(item.ReferencedSOPInstanceUID): 0
            for item in report.get("ReferencedSOPSequence") or ()
        }
        for item in report.get("FailedSOPSequence") or ():
            found[str(item.ReferencedSOPInstanceUID)] = int(item.get("FailureReason") or 0x0110)
        path = self._path(str(report.TransactionUID))
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(found), encoding="utf-8")
        temporary.replace(path)

    def take(self, transaction_uid: str) -> dict[str, int] | None:
        """Return SOP Instance UID -> failure reason (0 is committed); None while not there."""
        path = self._path(transaction_uid)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)
        return dict(json.loads(text))

    def _path(self, transaction_uid: str) -> Path:
        return self._folder / f"{hashlib.sha256(transaction_uid.encode()).hexdigest()[:32]}.json"


def commit(
    own_aet: str,
    peer: Peer,
    references: Sequence[InstanceReference],
    reports: Reports,
    timeout_s: float,
) -> tuple[StoreOutcome, ...]:
    """Ask for commitment and return what the report says of each instance.

    Raises
    ------
    UnavailableError : no report came in time; asking again later is harmless.
    RejectedError : the peer does not take the request.
    """
    transaction_uid = str(generate_uid(prefix=None))
    deadline = time.monotonic() + timeout_s

    def report(event: Any) -> tuple[int, None]:
        reports.keep(event.event_information)
        return 0x0000, None

    with associated(
        own_aet,
        peer,
        [build_context(StorageCommitmentPushModel)],
        timeout_s=timeout_s,
        handlers=[(evt.EVT_N_EVENT_REPORT, report)],
    ) as association:
        status, _ = association.send_n_action(
            _request(transaction_uid, references),
            REQUEST_STORAGE_COMMITMENT,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        if "Status" not in status:
            raise UnavailableError(f"expected {peer.aet} to answer N-ACTION, it did not in time")
        if status.Status != 0x0000:
            raise RejectedError(
                f"expected {peer.aet} to take N-ACTION, found status {status.Status:#06x}"
            )
        found = _await(reports, transaction_uid, min(deadline, _soon()))
    if found is None:
        found = _await(reports, transaction_uid, deadline)
    if found is None:
        raise UnavailableError(f"expected a commitment report of {peer.aet}, found none in time")
    return tuple(_outcome(item.sop_instance_uid, found) for item in references)


def _request(transaction_uid: str, references: Sequence[InstanceReference]) -> Dataset:
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        request.ReferencedSOPSequence.append(item)
    return request


def _await(reports: Reports, transaction_uid: str, deadline: float) -> dict[str, int] | None:
    while True:
        found = reports.take(transaction_uid)
        if found is not None or time.monotonic() > deadline:
            return found
        time.sleep(POLL_S)


def _soon() -> float:
    return time.monotonic() + _SAME_ASSOCIATION_S


def _outcome(uid: str, found: dict[str, int]) -> StoreOutcome:
    code = found.get(uid)
    if code is None:
        return StoreOutcome(uid, "failed", 0, "the commitment report does not name the instance")
    if code:
        return StoreOutcome(uid, "failed", code, f"failure reason {code:#06x}")
    return StoreOutcome(uid, "stored")
