"""Time-stamp authorities by HTTP (RFC 3161, 3.4).

Read next: `audit/timestamp.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import httpx
from cryptography.x509 import Certificate

from adapters.attestation.attestor import Attestor, Job, Statement
from adapters.attestation.clock import compare
from audit.errors import LogTamperedError, UnavailableError
from audit.timestamp import ANSWERED, ASKED, ask, check

_TIMEOUT_S = 20.0
_LONGEST_REPLY = 1 << 17
_RESOLUTION_S = 1.0
"""Many authorities state whole seconds, and rfc3161-client 1.0.9 drops the parts of one."""


class TimeStampAuthority(Attestor):
    """Asks one authority for time-stamps, and compares our clock with its."""

    kind = "timestamp"

    def __init__(
        self,
        name: str,
        url: str,
        authorities: Sequence[Certificate],
        now: Callable[[], datetime],
        every_s: float = 0.0,
    ) -> None:
        super().__init__(name, every_s)
        self._url = url
        self._authorities = tuple(authorities)
        self._now = now

    def attest(self, job: Job) -> Statement:
        """Return the whole answer in base64, checked as an outsider will check it."""
        note = job.checkpoint.note
        request = ask(note)
        sent_at = self._now()
        answer = self._ask(request.as_bytes())
        received_at = self._now()
        try:
            stamped = check(answer, note, self._authorities, request)
        except LogTamperedError as error:
            raise UnavailableError(
                f"expected a time-stamp of {self.name}, found one that does not hold"
            ) from error
        source = f"rfc3161:{self.name}"
        middle = stamped.at + timedelta(seconds=_RESOLUTION_S / 2)
        unsure_s = stamped.accuracy_s + _RESOLUTION_S / 2
        reading = compare(source, sent_at, middle, received_at, unsure_s)
        return Statement(base64.b64encode(answer).decode("ascii"), reading)

    def _ask(self, request: bytes) -> bytes:
        try:
            reply = httpx.post(
                self._url, content=request, headers={"Content-Type": ASKED}, timeout=_TIMEOUT_S
            )
            reply.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"expected an answer of time-stamp authority {self.name}, "
                f"found {type(error).__name__}"
            ) from error
        kind = reply.headers.get("content-type", "").split(";")[0].strip()
        if kind != ANSWERED or len(reply.content) > _LONGEST_REPLY:
            raise UnavailableError(f"expected a time-stamp of {self.name}, found other content")
        return reply.content
