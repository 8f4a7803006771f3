"""A DICOM peer: storage SCP, query/retrieve and storage commitment, in this process.

It can refuse, forget, and commit or not.  Fixture: ``dimse_peer``, a factory:

    peer = dimse_peer(services={"store", "commitment"})
    peer.refuse = 0xA700                 status of every C-STORE
    peer.forget = 1                      so many are answered with success and lost
    peer.uncommitted.add(uid)            reported as failed in a commitment
    peer.report_to = (aet, port)         where reports go; None: the same association

Read next: `adapters/dimse/pacs.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, _globals, build_context, build_role, evt
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from adapters.dimse import Peer

_MODELS = {
    "find": StudyRootQueryRetrieveInformationModelFind,
    "get": StudyRootQueryRetrieveInformationModelGet,
    "move": StudyRootQueryRetrieveInformationModelMove,
    "commitment": StorageCommitmentPushModel,
}
_LEVEL_UIDS = {
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}


class DimsePeer:
    """The peer; ``stored`` holds SOP Instance UID -> file."""

    def __init__(
        self, services: Collection[str], aet: str = "PEER", allowed_aets: Collection[str] = ()
    ) -> None:
        self.aet = aet
        self.services = frozenset(services)
        self.stored: dict[str, bytes] = {}
        self.senders: list[str] = []
        self.refuse = 0
        self.forget = 0
        self.uncommitted: set[str] = set()
        self.report_to: tuple[str, int] | None = None
        self.move_destinations: dict[str, int] = {}
        self._threads: list[threading.Thread] = []
        entity = AE(ae_title=aet)
        entity.require_called_aet = True
        entity.require_calling_aet = list(allowed_aets)
        entity.add_supported_context(Verification)
        if "store" in self.services:
            for context in AllStoragePresentationContexts:
                entity.add_supported_context(
                    context.abstract_syntax,
                    _globals.ALL_TRANSFER_SYNTAXES,
                    scu_role=True,
                    scp_role=True,
                )
        for service in self.services & set(_MODELS):
            entity.add_supported_context(_MODELS[service])
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_C_MOVE, self._move),
            (evt.EVT_N_ACTION, self._commit),
        ]
        self._server: Any = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=handlers
        )
        self.port = int(self._server.socket.getsockname()[1])

    @property
    def peer(self) -> Peer:
        """Return how to reach it, with what it offers."""
        return Peer(self.aet, "127.0.0.1", self.port, self.services)

    def close(self) -> None:
        """Stop it."""
        for thread in self._threads:
            thread.join()
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _store(self, event: Any) -> int:
        if self.refuse:
            return self.refuse
        self.senders.append(str(event.assoc.requestor.ae_title).strip())
        if self.forget:
            self.forget -= 1
            return 0x0000
        self.stored[str(event.request.AffectedSOPInstanceUID)] = event.encoded_dataset()
        return 0x0000

    def _matching(self, keys: Dataset) -> list[Dataset]:
        datasets = [dcmread(BytesIO(data)) for data in self.stored.values()]
        exact = [
            element
            for element in keys
            if element.value and element.keyword not in ("QueryRetrieveLevel", "")
        ]
        return [
            item
            for item in datasets
            if all(str(item.get(element.keyword, "")) == str(element.value) for element in exact)
        ]

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        keys = event.identifier
        level = _LEVEL_UIDS[keys.QueryRetrieveLevel]
        for uid, item in {str(item[level].value): item for item in self._matching(keys)}.items():
            answer = Dataset()
            answer.QueryRetrieveLevel = keys.QueryRetrieveLevel
            for element in keys:
                if element.keyword in item:
                    answer[element.keyword] = item[element.keyword]
            setattr(answer, level, uid)
            yield 0xFF00, answer
        yield 0x0000, None

    def _get(self, event: Any) -> Iterator[Any]:
        found = self._matching(event.identifier)
        yield len(found)
        for item in found:
            yield 0xFF00, item

    def _move(self, event: Any) -> Iterator[Any]:
        port = self.move_destinations.get(str(event.move_destination).strip())
        if port is None:
            yield None, None
            return
        found = self._matching(event.identifier)
        classes = sorted({str(item.SOPClassUID) for item in found})
        yield "127.0.0.1", port, {"contexts": [build_context(name) for name in classes]}
        yield len(found)
        for item in found:
            yield 0xFF00, item

    def _commit(self, event: Any) -> tuple[int, None]:
        request = event.action_information
        thread = threading.Thread(target=self._report, args=(event.assoc, request))
        self._threads.append(thread)
        thread.start()
        return 0x0000, None

    def _report(self, association: Any, request: Dataset) -> None:
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        failed = [item for item in request.ReferencedSOPSequence if not self._has(item)]
        good = [item for item in request.ReferencedSOPSequence if self._has(item)]
        if good:
            report.ReferencedSOPSequence = good
        for item in failed:
            item.FailureReason = 0x0112
        if failed:
            report.FailedSOPSequence = failed
        kind = 2 if failed else 1
        if self.report_to is None:
            self._send(association, report, kind)
            return
        aet, port = self.report_to
        entity = AE(ae_title=self.aet)
        fresh = entity.associate(
            "127.0.0.1",
            port,
            ae_title=aet,
            contexts=[build_context(StorageCommitmentPushModel)],
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
        )
        self._send(fresh, report, kind)
        fresh.release()

    def _has(self, item: Dataset) -> bool:
        uid = str(item.ReferencedSOPInstanceUID)
        return uid in self.stored and uid not in self.uncommitted

    @staticmethod
    def _send(association: Any, report: Dataset, kind: int) -> None:
        association.send_n_event_report(
            report, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )


@pytest.fixture
def dimse_peer() -> Iterator[Callable[..., DimsePeer]]:
    """Yield a function that starts a peer; all stop with the test."""
    peers: list[DimsePeer] = []

    def make(services: Collection[str] = ("store",), **options: Any) -> DimsePeer:
        peers.append(DimsePeer(services, **options))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()
