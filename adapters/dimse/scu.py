"""What we ask of a peer: C-ECHO, C-STORE, C-FIND, C-GET, C-MOVE.

Follows PS3.4 Annex A (verification), B (storage), C (query/retrieve, study root) and the
status codes given there.

Read next: `scp.py`, the other side.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context, build_role, evt
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from adapters.dimse.peer import Peer, associated
from adapters.pacs import InstanceReference, StoreOutcome
from audit.errors import RejectedError, UnavailableError

SUCCESS = 0x0000
DUPLICATE_INSTANCE = 0x0111
NOT_SUPPORTED = 0x0122
UNKNOWN_DESTINATION = 0xA801  # PS3.4 C.4.2.1.5
_PENDING = frozenset({0xFF00, 0xFF01})
_WARNINGS = frozenset({0xB000, 0xB006, 0xB007})
_BUSY = frozenset({0xA700, 0xA701, 0xA702})
_MODELS = {
    "find": StudyRootQueryRetrieveInformationModelFind,
    "get": StudyRootQueryRetrieveInformationModelGet,
    "move": StudyRootQueryRetrieveInformationModelMove,
    "commitment": StorageCommitmentPushModel,
}
_NATIVE = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
_ENCODINGS = (
    _NATIVE,
    ("1.2.840.10008.1.2.4.70",),  # JPEG Lossless, SV1
    ("1.2.840.10008.1.2.4.57",),  # JPEG Lossless
    ("1.2.840.10008.1.2.4.80",),  # JPEG-LS Lossless
    ("1.2.840.10008.1.2.4.90",),  # JPEG 2000 Lossless
    ("1.2.840.10008.1.2.4.91",),  # JPEG 2000
    ("1.2.840.10008.1.2.5",),  # RLE Lossless
    ("1.2.840.10008.1.2.2",),  # Explicit VR Big Endian
)
_CONTEXT_LIMIT = 127  # PS3.8 Section 9.3.2.2: 128 in one association; one is the query's


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One file on its way out."""

    reference: InstanceReference
    data: bytes


class ServiceUser:
    """Ask one peer; every call is an association of its own."""

    def __init__(self, own_aet: str, peer: Peer, timeout_s: float) -> None:
        self._own_aet = own_aet
        self.peer = peer
        self._timeout_s = timeout_s

    def echo(self) -> None:
        """Return when the peer answers C-ECHO; raise when it does not."""
        with self._associated([build_context(Verification)]) as association:
            self._check(association.send_c_echo(), "C-ECHO")

    def offers(self) -> frozenset[str]:
        """Return the services that the peer accepts, of those that it is said to have.

        Storage is always among them: which SOP Classes it takes shows when one is sent.
        """
        storage = [build_context(name) for name in _COMMON_CLASSES]
        models = [build_context(model) for model in _MODELS.values()]
        with self._associated([build_context(Verification), *models, *storage]) as association:
            accepted = {item.abstract_syntax for item in association.accepted_contexts}
        found = {service for service, model in _MODELS.items() if model in accepted}
        return self.peer.services & (found | {"store"})

    def store(self, files: Sequence[Outgoing]) -> tuple[StoreOutcome, ...]:
        """Send files with C-STORE, each in its own encoding; one outcome for each."""
        outcomes: list[StoreOutcome] = []
        datasets = [dcmread(BytesIO(item.data)) for item in files]
        wanted = {(item.SOPClassUID, item.file_meta.TransferSyntaxUID) for item in datasets}
        contexts = [build_context(name, _offers(syntax)) for name, syntax in sorted(wanted)]
        with self._associated(contexts) as association:
            for item, dataset in zip(files, datasets, strict=True):
                outcomes.append(self._send(association, item, dataset))
        return tuple(outcomes)

    def find(self, level: str, keys: Mapping[str, str]) -> Iterator[Dataset]:
        """Yield the identifiers that match; keys with an empty value are asked back."""
        query = Dataset()
        query.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(query, keyword, value)
        model = StudyRootQueryRetrieveInformationModelFind
        found = []
        with self._associated([build_context(model)]) as association:
            for status, identifier in association.send_c_find(query, model):
                if self._check(status, "C-FIND") in _PENDING and identifier is not None:
                    found.append(identifier)
        yield from found

    def get(self, sop_class_uids: Collection[str], keys: Dataset) -> tuple[bytes, ...]:
        """Return what C-GET brings for the keys, as Part 10 files.

        Parameters
        ----------
        sop_class_uids : what the sub-operations will bring; empty offers the common ones,
            in native encoding only.
        """
        model = StudyRootQueryRetrieveInformationModelGet
        encodings = _ENCODINGS if sop_class_uids else (_NATIVE,)
        storage = [
            build_context(name, list(syntaxes))
            for syntaxes in encodings
            for name in sorted(sop_class_uids) or _COMMON_CLASSES
        ][:_CONTEXT_LIMIT]
        roles = [build_role(name, scp_role=True) for name in {c.abstract_syntax for c in storage}]
        received: list[bytes] = []

        def take(event: Any) -> int:
            received.append(event.encoded_dataset())
            return SUCCESS

        with self._associated(
            [build_context(model), *storage], roles, [(evt.EVT_C_STORE, take)]
        ) as association:
            for status, _ in association.send_c_get(keys, model):
                self._check(status, "C-GET")
        return tuple(received)

    def move(self, keys: Dataset) -> None:
        """Have the peer send what the keys name to our own AE title with C-MOVE."""
        model = StudyRootQueryRetrieveInformationModelMove
        with self._associated([build_context(model)]) as association:
            for status, _ in association.send_c_move(keys, self._own_aet, model):
                code = self._check(status, "C-MOVE", allowed=_WARNINGS | {UNKNOWN_DESTINATION})
                if code == UNKNOWN_DESTINATION:
                    raise RejectedError(
                        f"expected {self.peer.aet} to know the destination {self._own_aet}",
                        advice="Register our AE title, host and port at the peer.",
                    )

    def _associated(
        self, contexts: Sequence[Any], roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
    ) -> Any:
        return associated(
            self._own_aet,
            self.peer,
            contexts,
            timeout_s=self._timeout_s,
            roles=roles,
            handlers=handlers,
        )

    def _send(self, association: Any, item: Outgoing, dataset: Dataset) -> StoreOutcome:
        uid = item.reference.sop_instance_uid
        try:
            answer = association.send_c_store(dataset)
        except (ValueError, RuntimeError) as error:
            if not association.is_established:
                raise self._lost("C-STORE") from error
            return StoreOutcome(uid, "failed", NOT_SUPPORTED, "SOP Class or encoding not accepted")
        if "Status" not in answer:
            raise self._lost("C-STORE")
        code = int(answer.Status)
        if code == SUCCESS:
            return StoreOutcome(uid, "stored")
        if code in _WARNINGS:
            return StoreOutcome(uid, "warning", code, f"C-STORE status {code:#06x}")
        status = "duplicate" if code == DUPLICATE_INSTANCE else "failed"
        return StoreOutcome(uid, status, code, f"C-STORE status {code:#06x}")

    def _check(self, status: Dataset, service: str, allowed: frozenset[int] = frozenset()) -> int:
        if "Status" not in status:
            raise self._lost(service)
        code = int(status.Status)
        if code == SUCCESS or code in _PENDING or code in _WARNINGS or code in allowed:
            return code
        found = f"expected {self.peer.aet} to answer {service}, found status {code:#06x}"
        raise UnavailableError(found) if code in _BUSY else RejectedError(found)

    def _lost(self, service: str) -> UnavailableError:
        return UnavailableError(f"expected {self.peer.aet} to answer {service}, it did not in time")


def keys_of(level: str, **uids: str) -> Dataset:
    """Return the unique keys of a retrieve (PS3.4 C.4.2.1.4, C.4.3.1.3)."""
    keys = Dataset()
    keys.QueryRetrieveLevel = level
    for keyword, value in uids.items():
        setattr(keys, keyword, value)
    return keys


def _offers(syntax: str) -> list[str]:
    return list(_NATIVE) if syntax in _NATIVE else [syntax]


_COMMON_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2",  # CT Image
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture Image
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
    "1.2.840.10008.5.1.4.1.1.128",  # PET Image
    "1.2.840.10008.5.1.4.1.1.481.2",  # RT Dose
    "1.2.840.10008.5.1.4.1.1.481.3",  # RT Structure Set
    "1.2.840.10008.5.1.4.1.1.481.5",  # RT Plan
    "1.2.840.10008.5.1.4.1.1.481.8",  # RT Ion Plan
)
