"""A FHIR server as a target: post the run's transaction, then read every entry back.

A run that replaces another brings a second bundle, which marks the results of that one.

Read next: `adapters/fhir/client.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from adapters.delivery.target import Found, Sent, read
from adapters.fhir.client import FhirClient
from adapters.fhir.superseding import is_superseding, supersede, superseded
from adapters.fhir.terminology import Json
from audit.errors import NotStoredError, RejectedError, StorageError
from plugins.host.ports import Document

REPLACEMENT_MISSING = "REPLACEMENT_MISSING"
"""The result that replaces another is not on the server, so that one is not marked yet."""


class FhirTarget:
    """Posts FHIR bundles to a server."""

    kinds = frozenset({"FHIR"})

    def __init__(self, name: str, client: FhirClient) -> None:
        self.name = name
        self._client = client

    def check(self) -> str:
        """Return one line about the server."""
        return self._client.check()

    def send(self, documents: Sequence[Document]) -> tuple[Sent, ...]:
        """Post each bundle; what is there already stays as it is."""
        return tuple(self._post(item) for item in documents)

    def verify(self, documents: Sequence[Document]) -> tuple[Found, ...]:
        """Search every entry of each bundle and compare its content."""
        return tuple(self._compare(item) for item in documents)

    def _post(self, document: Document) -> Sent:
        bundle = _bundle(document)
        if not is_superseding(bundle):
            self._client.transact(bundle)
            return Sent("stored")
        try:
            supersede(self._client, bundle)
        except NotStoredError:
            return Sent("again", REPLACEMENT_MISSING)
        return Sent("stored")

    def _compare(self, document: Document) -> Found:
        bundle = _bundle(document)
        if is_superseding(bundle):
            whole, remark = superseded(self._client, bundle)
            return Found("verified", remark) if whole else Found("missing")
        try:
            missing = self._client.missing(bundle)
        except RejectedError:
            return Found("different", "OTHER_CONTENT")
        return Found("missing") if missing else Found("verified")


def _bundle(document: Document) -> Json:
    try:
        bundle: Json = json.loads(read(document.path))
    except ValueError as error:
        raise StorageError("expected a FHIR bundle in the outbox, found other bytes") from error
    return bundle
