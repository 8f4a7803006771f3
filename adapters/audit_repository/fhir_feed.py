"""ITI-20 by FHIR (RESTful ATNA): one AuditEvent for each record, one after the other.

Each is a conditional create on the record's event id as a tag, so posting again after an
answer that was lost makes no second one.

Source: IHE ITI TF-2 3.20 with the RESTful ATNA supplement; FHIR R4 3.1.0.8.1 (If-None-Exist).

Read next: `feeder.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from adapters.audit_views import fhir_event
from adapters.audit_views.message import Message
from adapters.config_audit import AuditRepositorySection
from audit.errors import AuthenticationError, ConfigurationError, RejectedError, UnavailableError

TAG = "urn:osteon:record"
_JSON = "application/fhir+json"


def resource(message: Message) -> dict[str, Any]:
    """Return the AuditEvent as it is posted: the server gives the id, a tag names the record."""
    event = {key: value for key, value in fhir_event.encode(message).items() if key != "id"}
    return event | {"meta": {"tag": [{"system": TAG, "code": message.record.object_id}]}}


class FhirFeed:
    """A FHIR R4 server that keeps AuditEvents."""

    def __init__(self, section: AuditRepositorySection) -> None:
        self._section = section
        self._client: httpx.Client | None = None

    def send(self, messages: Sequence[Message]) -> Iterator[int]:
        """Post messages one after the other; yields after each."""
        for number, message in enumerate(messages, 1):
            search = f"_tag={TAG}|{message.record.object_id}"
            headers = {"content-type": _JSON, "if-none-exist": search}
            content = json.dumps(resource(message))
            answer = self._ask("POST", "/AuditEvent", content=content, headers=headers)
            if answer.status_code not in (200, 201):
                raise RejectedError(
                    f"expected audit repository {self._section.name} to keep record "
                    f"{message.record.object_id}, found status {answer.status_code}"
                )
            yield number

    def check(self) -> str:
        """Return the FHIR version of the server."""
        answer = self._ask("GET", "/metadata")
        try:
            version = str(answer.json()["fhirVersion"])
        except (ValueError, KeyError, TypeError) as error:
            raise RejectedError(
                f"expected audit repository {self._section.name} to be a FHIR server, found none"
            ) from error
        if not version.startswith("4."):
            raise RejectedError(f"expected FHIR R4, found version {version[:10]}")
        return f"FHIR {version}"

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        section = self._section
        if self._client is None:
            self._client = self._open()
        url = section.url.rstrip("/") + path
        try:
            answer = self._client.request(method, url, **request)
        except httpx.HTTPError as error:
            self.close()
            raise UnavailableError(
                f"expected audit repository {section.name} to answer, found {type(error).__name__}"
            ) from error
        if answer.status_code in (401, 403):
            raise AuthenticationError(
                f"expected audit repository {section.name} to let us in, found "
                f"status {answer.status_code}"
            )
        if answer.status_code == 429 or answer.status_code >= 500:
            raise UnavailableError(
                f"expected audit repository {section.name} to answer, found "
                f"status {answer.status_code}"
            )
        return answer

    def _open(self) -> httpx.Client:
        section, token = self._section, self._section.token.get_secret_value()
        try:
            return httpx.Client(
                verify=_trust(section) if section.url.startswith("https") else False,
                timeout=section.timeout_s,
                headers={"accept": _JSON} | ({"authorization": f"Bearer {token}"} if token else {}),
                follow_redirects=False,
            )
        except OSError as error:
            raise ConfigurationError(
                f"expected readable certificate files for audit repository {section.name}"
            ) from error


def _trust(section: AuditRepositorySection) -> Any:
    """Return the TLS context: the authority, and the certificate that we show."""
    import ssl

    place = section.ca_file or (section.verify_tls if isinstance(section.verify_tls, str) else None)
    context = ssl.create_default_context(cafile=place)
    if section.verify_tls is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if section.cert_file:
        context.load_cert_chain(section.cert_file, section.key_file)
    return context
