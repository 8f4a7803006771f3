"""The door to a FHIR R4 server: capabilities, transaction, read back.

Nothing here sleeps or repeats: an outage is an `UnavailableError`, and the delivery
decides when to come again.  Posting again is always safe, because every entry of our
bundles is a conditional create; that also completes what a server without rollback left
half done.  Read back searches each entry by the identifier it was created with and
compares the content that we wrote.

Read next: `adapters/delivery/fhir.py`.
"""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from adapters.fhir.faults import DOUBLED, NewerVersionError, WholeRefusedError, error_of
from adapters.fhir.parts import LARGEST_PART, located, parts, place_in
from adapters.fhir.readback import SHARED, compare, place_of, relinked, search_of
from adapters.fhir.terminology import Json
from adapters.http_status import retry_after_s
from audit.errors import (
    AuthenticationError,
    ConfigurationError,
    NotStoredError,
    RejectedError,
    UnavailableError,
)

_JSON = "application/fhir+json"
_LIMIT = 32 * 1024 * 1024

# httpx writes every URL into the program log, and ours carry UIDs.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class EntryOutcome:
    """What the server did with one entry: where it is, and whether it was made just now."""

    location: str
    created: bool


class FhirClient:
    """One FHIR server; close it, or use it with ``with``.

    Parameters
    ----------
    base_url : service base URL, e.g. ``https://fhir.example.org/r4``.
    token : bearer token (RFC 6750), or a function that returns the current one and is
        asked before each request; None or empty for a server without sign-in.
    verify_tls : True, False, or the path of a file with the site's own authority.
    timeout_s : for connecting and for each read.

    Raises
    ------
    ConfigurationError : the address is not http or https, or the authority's file is
        not readable.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | Callable[[], str] | None = None,
        verify_tls: bool | str = True,
        timeout_s: float = 30.0,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._token = token
        self._http = httpx.Client(
            # Loading authorities takes a tenth of a second, for nothing without TLS.
            verify=_trust(verify_tls) if _scheme(base_url) == "https" else False,
            timeout=httpx.Timeout(timeout_s),
            headers={"accept": _JSON},
            follow_redirects=False,
        )

    def __enter__(self) -> FhirClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def check(self) -> str:
        """Return one line about the server.

        Raises
        ------
        RejectedError : it is not FHIR R4, or it takes no transactions.
        UnavailableError, AuthenticationError : it cannot be reached or used.
        """
        statement = self._ask("GET", "/metadata", "asking for the capabilities")
        version = str(statement.get("fhirVersion", "none"))
        if statement.get("resourceType") != "CapabilityStatement" or not version.startswith("4."):
            raise RejectedError(f"expected a FHIR R4 server, found FHIR version {version[:10]}")
        interactions = {
            str(item.get("code"))
            for rest in _objects(statement.get("rest"))
            for item in _objects(rest.get("interaction"))
        }
        if interactions and "transaction" not in interactions:
            raise RejectedError("expected a FHIR server that takes transactions, found none")
        software = next(_objects([statement.get("software")]), {})
        name, release = software.get("name", "FHIR server"), software.get("version", "")
        return f"{name} {release}".strip() + f", FHIR {version}"

    def transact(self, bundle: Json) -> tuple[EntryOutcome, ...]:
        """Post a transaction and return what became of each entry.

        A server that refuses a large transaction as a whole gets it in parts (`parts.py`).
        Where some entries were there before, the references of those are made good: what
        they pointed to may have been lost and made anew by this very post.

        Raises
        ------
        RejectedError : the server refuses the content; of a transaction in parts the parts
            before the refused one are kept, else nothing may be.
        NotStoredError : the answer does not account for every entry; posting again is safe.
        UnavailableError, AuthenticationError : as for every request.
        """
        try:
            outcomes = self._post(bundle)
        except WholeRefusedError:
            if len(bundle["entry"]) <= LARGEST_PART:
                raise
            outcomes = self._post_in_parts(bundle)
        if any(
            not outcome.created and entry["request"]["url"] not in SHARED
            for outcome, entry in zip(outcomes, bundle["entry"], strict=True)
        ):
            self._relink(bundle)
        return outcomes

    def _post_in_parts(self, bundle: Json) -> tuple[EntryOutcome, ...]:
        """Post one part after the other; each names what the server has of those before."""
        outcomes: list[EntryOutcome] = []
        places: dict[str, str] = {}
        for part in parts(bundle):
            posted = self._post(located(part, places))
            for entry, outcome in zip(part["entry"], posted, strict=True):
                places[entry["fullUrl"]] = self._place(entry, outcome)
            outcomes += posted
        return tuple(outcomes)

    def _place(self, entry: Json, outcome: EntryOutcome) -> str:
        """Return ``Type/id`` of a posted entry, by its location or else by searching it."""
        kind = entry["request"]["url"]
        place = place_in(outcome.location, kind)
        if place is None:
            kept = self.find(entry)
            if kept is None:
                raise NotStoredError(f"expected the posted {kind} on the FHIR server, found none")
            place = place_of(kept)
        return place

    def _post(self, bundle: Json) -> tuple[EntryOutcome, ...]:
        """Post one transaction and return what became of each entry."""
        content = json.dumps(bundle, ensure_ascii=False).encode()
        answer = self._ask("POST", "", "posting a transaction", content=content)
        entries = answer.get("entry")
        if (
            answer.get("type") != "transaction-response"
            or not isinstance(entries, list)
            or len(entries) != len(bundle["entry"])
        ):
            raise NotStoredError(
                f"expected a transaction-response of {len(bundle['entry'])} entries, "
                "found another answer"
            )
        return tuple(_outcome(item) for item in entries)

    def missing(self, bundle: Json) -> tuple[str, ...]:
        """Return the searches of the entries that have to be posted again.

        Raises
        ------
        RejectedError : an entry is there with other content, or more than once.
        UnavailableError, AuthenticationError : as for every request.
        """
        compared = compare(bundle, self.found(bundle), self._base)
        if compared.different:
            raise RejectedError(
                f"expected {len(bundle['entry'])} resources of this run on the FHIR server, "
                f"found {len(compared.different)} with other content",
                advice="Someone changed the run's resources on the server; settle it by hand.",
            )
        return compared.missing + compared.dangling

    def verify(self, bundle: Json) -> None:
        """Read every entry back; return only when all are there with our content.

        Raises
        ------
        NotStoredError : entries are missing; posting the bundle again completes the set.
        RejectedError, UnavailableError, AuthenticationError : as for `missing`.
        """
        missing = self.missing(bundle)
        if missing:
            raise NotStoredError(
                f"expected {len(bundle['entry'])} resources on the FHIR server, "
                f"found {len(bundle['entry']) - len(missing)}"
            )

    def _relink(self, bundle: Json) -> None:
        """Update (FHIR R4 3.1.0.7, with If-Match) what points to resources that are gone."""
        found = self.found(bundle)
        for search in compare(bundle, found, self._base).dangling:
            self.update(relinked(bundle, found, search), "updating references")

    def search(self, kind: str, query: Mapping[str, str]) -> tuple[Json, ...]:
        """Return what a search finds on its first page, of the kind that was asked for."""
        answer = self._ask("GET", f"/{kind}", f"searching a {kind}", query=query)
        return tuple(
            resource
            for item in _objects(answer.get("entry"))
            for resource in _objects([item.get("resource")])
            if resource.get("resourceType") == kind
        )

    def update(self, resource: Json, doing: str) -> None:
        """Replace a resource by what was made of it since it was read (FHIR R4 3.1.0.7).

        Raises
        ------
        NewerVersionError : somebody changed it meanwhile; nothing was changed, read it again.
        RejectedError, UnavailableError, AuthenticationError : as for every request.
        """
        version = next(_objects([resource.get("meta")]), {}).get("versionId")
        self._ask(
            "PUT",
            f"/{place_of(resource)}",
            doing,
            content=json.dumps(resource, ensure_ascii=False).encode(),
            headers={"if-match": f'W/"{version}"'} if version else {},
        )

    def found(self, bundle: Json) -> dict[str, Json | None]:
        """Return what the server has of each entry of a bundle, by its search."""
        return {search_of(entry): self.find(entry) for entry in bundle["entry"]}

    def find(self, entry: Json) -> Json | None:
        """Return what the server has of an entry; RejectedError where it has several."""
        name, _, value = search_of(entry).partition("=")
        kind = entry["request"]["url"]
        answer = self._ask("GET", f"/{kind}", f"searching a {kind}", query={name: value})
        if answer.get("type") != "searchset":
            raise UnavailableError(f"expected a searchset when searching a {kind}, found another")
        matches = [
            resource
            for item in _objects(answer.get("entry"))
            for resource in _objects([item.get("resource")])
            if resource.get("resourceType") == kind
        ]
        if len(matches) > 1 and kind not in SHARED:
            raise RejectedError(
                f"expected one {kind} under its identifier, found {len(matches)}",
                advice=DOUBLED,
            )
        return matches[0] if matches else None

    def _ask(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        content: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        """Send one request and return the JSON object of a success; all errors are ours."""
        sent = dict(headers or {}) | ({"content-type": _JSON} if content is not None else {})
        sent |= self._credentials()
        try:
            response = self._http.request(
                method, self._base + path, params=query, headers=sent, content=content
            )
        except httpx.RequestError as error:
            # The cause is left out: its text may hold the address with a UID.
            name = type(error).__name__
            raise UnavailableError(
                f"expected an answer from the FHIR server when {doing}, found {name}"
            ) from None
        body = _json(response)
        if method == "PUT" and response.status_code == 412:
            raise NewerVersionError(f"expected no newer version when {doing}, found one")
        if not response.is_success:
            wait_s = retry_after_s(response.headers)
            raise error_of(response.status_code, body, doing, wait_s)
        if not isinstance(body, dict):
            raise UnavailableError(f"expected JSON from the FHIR server when {doing}, found none")
        return body

    def _credentials(self) -> dict[str, str]:
        token = self._token() if callable(self._token) else self._token
        if not token:
            return {}
        if not token.isascii() or not token.isprintable():
            raise AuthenticationError("expected a bearer token of printable ASCII characters")
        return {"authorization": f"Bearer {token}"}


def _json(response: httpx.Response) -> Any:
    if len(response.content) > _LIMIT:
        return None
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _objects(values: Any) -> Iterator[Json]:
    """Yield the JSON objects of a list that came from outside; nothing else."""
    for item in values if isinstance(values, list) else ():
        if isinstance(item, dict):
            yield item


def _outcome(entry: Any) -> EntryOutcome:
    wrapper = next(_objects([entry]), {})
    answer = next(_objects([wrapper.get("response")]), {})
    said = str(answer.get("status", ""))[:3]
    if not said.isdigit():
        raise NotStoredError("expected a status for every entry of the transaction, found none")
    if int(said) >= 300:
        raise error_of(int(said), answer.get("outcome"), "storing an entry of the transaction")
    return EntryOutcome(str(answer.get("location", "")), created=said == "201")


def _scheme(base_url: str) -> str:
    """Return http or https; ConfigurationError for everything else."""
    try:
        scheme, host = urlsplit(base_url).scheme, httpx.URL(base_url).host
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError("expected a valid address of the FHIR server") from error
    if scheme not in ("http", "https") or not host:
        raise ConfigurationError("expected an http or https address of the FHIR server")
    return scheme


def _trust(verify_tls: bool | str) -> ssl.SSLContext | bool:
    if isinstance(verify_tls, bool):
        return verify_tls
    try:
        return ssl.create_default_context(cafile=verify_tls)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "expected a readable file with the authority of the FHIR server's certificate"
        ) from error
