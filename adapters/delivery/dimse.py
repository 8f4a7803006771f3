"""An application entity as a target: C-STORE, and what read-back it happens to offer.

A planning system often takes objects and gives nothing back.  What the peer offers is
negotiated after each store, because nobody keeps a list of it right:

    C-GET                  the object is fetched and its content compared: verified
    storage commitment     the peer vouches for it (PS3.4 Annex J): verified, COMMITTED
    C-FIND                 it is listed; its content is not known: stored
    none                   stored, NO_READ_BACK

A whole archive behind DIMSE, with C-MOVE to our intake, is `PacsTarget(DimsePacs)`.

Read next: `folder.py`.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from pynetdicom import build_context
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from adapters.delivery.pacs import NO_READ_BACK, committed, compared, reference_to, sent_of
from adapters.delivery.target import DICOM_KINDS, Found, Sent, read
from adapters.dimse.commitment import Reports, commit
from adapters.dimse.peer import Peer, associated
from adapters.dimse.scu import Outgoing, ServiceUser, keys_of
from audit.errors import RejectedError
from plugins.host.ports import Document

LISTED = "LISTED_NOT_COMPARED"
_MODELS = {
    "get": StudyRootQueryRetrieveInformationModelGet,
    "commitment": StorageCommitmentPushModel,
    "find": StudyRootQueryRetrieveInformationModelFind,
}


class DimseTarget:
    """Sends DICOM documents to one application entity.

    Parameters
    ----------
    own_aet : our AE title; the peer has to know it.
    reports : the ``commitments`` folder of this site's intake, when commitment reports
        come to it on an association of their own; None when there is no intake.
    kinds : which documents it gets, e.g. only RTSTRUCT for a planning system.
    """

    def __init__(
        self,
        name: str,
        peer: Peer,
        *,
        own_aet: str = "OSTEON",
        reports: Path | None = None,
        kinds: frozenset[str] = DICOM_KINDS,
        timeout_s: float = 30.0,
    ) -> None:
        self.name = name
        self.kinds = kinds
        self._peer = peer
        self._own_aet = own_aet
        alone = Path(tempfile.gettempdir()) / f"osteon-commitments-{uuid.uuid4().hex}"
        self._reports = Reports(reports or alone)
        self._timeout_s = timeout_s
        self._user = ServiceUser(own_aet, peer, timeout_s)

    def check(self) -> str:
        """Return that the peer answers C-ECHO."""
        self._user.echo()
        return f"DIMSE peer {self._peer.aet} answers"

    def send(self, documents: Sequence[Document]) -> tuple[Sent, ...]:
        """Store the documents in one association."""
        outgoing = [Outgoing(reference_to(item), read(item.path)) for item in documents]
        return tuple(sent_of(outcome) for outcome in self._user.store(outgoing))

    def verify(self, documents: Sequence[Document]) -> tuple[Found, ...]:
        """Ask for the documents in the best way that the peer offers."""
        offered = self._offered(documents)
        if "get" in offered:
            return tuple(self._fetch(item) for item in documents)
        if "commitment" in offered:
            references = [reference_to(item) for item in documents]
            outcomes = commit(self._own_aet, self._peer, references, self._reports, self._timeout_s)
            return tuple(committed(outcome) for outcome in outcomes)
        if "find" in offered:
            return tuple(self._look_up(item) for item in documents)
        return tuple(Found("unverifiable", NO_READ_BACK) for _ in documents)

    def _offered(self, documents: Sequence[Document]) -> frozenset[str]:
        """Return the services that the peer accepts, of those it is configured to have."""
        # Storage is proposed too: a peer that offers nothing else would refuse us whole.
        names = dict.fromkeys([item.sop_class_uid for item in documents] + [*_MODELS.values()])
        contexts = [build_context(name) for name in names]
        with associated(
            self._own_aet, self._peer, contexts, timeout_s=self._timeout_s
        ) as association:
            accepted = {context.abstract_syntax for context in association.accepted_contexts}
        return frozenset(
            service
            for service, model in _MODELS.items()
            if model in accepted and service in self._peer.services
        )

    def _fetch(self, document: Document) -> Found:
        keys = keys_of(
            "IMAGE",
            StudyInstanceUID=document.study_instance_uid,
            SeriesInstanceUID=document.series_instance_uid,
            SOPInstanceUID=document.sop_instance_uid,
        )
        try:
            found = self._user.get([document.sop_class_uid], keys)
        except RejectedError:
            return Found("unverifiable", "READ_BACK_REFUSED")
        return compared(document, found[0]) if found else Found("missing")

    def _look_up(self, document: Document) -> Found:
        keys = {
            "StudyInstanceUID": document.study_instance_uid,
            "SeriesInstanceUID": document.series_instance_uid,
            "SOPInstanceUID": document.sop_instance_uid,
        }
        listed = any(True for _ in self._user.find("IMAGE", keys))
        return Found("unverifiable", LISTED) if listed else Found("missing")
