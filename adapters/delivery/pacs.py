"""A picture archive as a target: store, then read metadata and content back.

Any `adapters.pacs.Pacs` will do.  A success of the store says little: an archive may
answer 200 and drop the instance (Mirth connect#3858, dcm4chee-arc-light#2356), so a
document is verified only when the archive gives it back with the content that was sent.
An instance that is there already with the same content is as good as stored.  An archive
that gives nothing back may at least commit itself (PS3.4 Annex J).

Status words follow PS3.18 Section 10.5.3 (STOW-RS) and PS3.4 B.2.3 (C-STORE).

Read next: `dimse.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from adapters.delivery.target import DICOM_KINDS, Found, Sent, read
from adapters.pacs import InstanceReference, Pacs, StoreOutcome
from adapters.rt.digest import content_digest_of
from audit.errors import NotFoundError, RejectedError
from plugins.host.ports import Document

DUPLICATE_INSTANCE = 0x0111
COMMITTED = "COMMITTED"
NO_READ_BACK = "NO_READ_BACK"
# What an archive may well take later: 0110 processing failure and 0213 resource
# limitation (PS3.7 C.5), A7xx out of resources (PS3.4 B.2.3), 0 a failure without a code.
_LATER = frozenset({0x0000, 0x0110, 0x0213})


@runtime_checkable
class Commits(Protocol):
    """An archive that can be asked for storage commitment."""

    def commit(self, references: Sequence[InstanceReference]) -> tuple[StoreOutcome, ...]:
        """Return, for each instance, ``stored`` when the archive committed itself."""
        ...


class PacsTarget:
    """Stores DICOM documents in an archive and reads each one back.

    Parameters
    ----------
    kinds : which documents it gets; all DICOM kinds by default.
    """

    def __init__(self, name: str, pacs: Pacs, kinds: frozenset[str] = DICOM_KINDS) -> None:
        self.name = name
        self.kinds = kinds
        self._pacs = pacs

    def check(self) -> str:
        """Return one line about the archive; raise when it takes nothing."""
        if "store" not in self._pacs.capabilities:
            raise RejectedError(
                f"expected archive {self._pacs.name} to store, found that it cannot"
            )
        return self._pacs.check()

    def send(self, documents: Sequence[Document]) -> tuple[Sent, ...]:
        """Store the documents, study by study."""
        sent: dict[int, Sent] = {}
        for study in dict.fromkeys(item.study_instance_uid for item in documents):
            places = [i for i, item in enumerate(documents) if item.study_instance_uid == study]
            outcomes = self._pacs.store(study, [read(documents[i].path) for i in places])
            for i, outcome in zip(places, outcomes, strict=True):
                sent[i] = sent_of(outcome)
        return tuple(sent[i] for i in range(len(documents)))

    def verify(self, documents: Sequence[Document]) -> tuple[Found, ...]:
        """Compare the content digest of what the archive gives back."""
        if "read_back" in self._pacs.capabilities:
            return tuple(self._compare(item) for item in documents)
        if "commitment" in self._pacs.capabilities and isinstance(self._pacs, Commits):
            outcomes = self._pacs.commit([reference_to(item) for item in documents])
            return tuple(committed(item) for item in outcomes)
        return tuple(Found("unverifiable", NO_READ_BACK) for _ in documents)

    def _compare(self, document: Document) -> Found:
        try:
            data = self._pacs.retrieve_instance(reference_to(document))
        except NotFoundError:
            return Found("missing")
        return compared(document, data)


def reference_to(document: Document) -> InstanceReference:
    """Return how an archive knows a document."""
    return InstanceReference(
        document.study_instance_uid,
        document.series_instance_uid,
        document.sop_instance_uid,
        document.sop_class_uid,
    )


def compared(document: Document, data: bytes) -> Found:
    """Return whether bytes that came back have the content that was sent.

    The very bytes that were composed have it; others (an archive may change encoding and
    headers) are decoded.
    """
    if document.file_digest == f"sha256:{hashlib.sha256(data).hexdigest()}":
        return Found("verified")
    try:
        digest = content_digest_of(data)
    except Exception:  # broad: pydicom raises many kinds for damage; damage is other content
        digest = ""
    return Found("verified") if digest == document.content_digest else OTHER


OTHER = Found("different", "OTHER_CONTENT")


def committed(outcome: StoreOutcome) -> Found:
    """Return what a storage commitment report means for a document."""
    return Found("verified", COMMITTED) if outcome.status == "stored" else Found("missing")


def sent_of(outcome: StoreOutcome) -> Sent:
    """Return what a store outcome means for the document.

    A duplicate counts as stored: reading back tells whether it has the same content.
    """
    if outcome.status in ("stored", "duplicate") or outcome.code == DUPLICATE_INSTANCE:
        return Sent("stored")
    if outcome.status == "warning":
        return Sent("stored", f"STORE_WARNING_{outcome.code:04X}")
    code = f"STORE_FAILED_{outcome.code:04X}"
    later = outcome.code in _LATER or 0xA700 <= outcome.code <= 0xA7FF
    return Sent("again" if later else "refused", code)
