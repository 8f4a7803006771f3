"""How much one client may ask for: requests by a bucket that refills, bodies by size.

A client is a session where there is one, else an address.  Counted in this process only; what
guesses passwords is slowed down by `throttle.py` besides.

Source: OWASP ASVS 4.0.3 11.1.4 (anti-automation), 12.1.1 (sizes).

Read next: `app.py`.
"""

from __future__ import annotations

import hashlib
import math
import threading
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from adapters.web.access import COOKIE

BURST = 300
PER_SECOND = 10.0
LARGEST_BODY = 1 << 20
_EXEMPT = ("/health", "/metrics")
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many requests are left, and when that was true (seconds of a steady clock)."""

    left: float
    at_s: float


class Limiter:
    """Buckets of clients; safe among threads."""

    def __init__(self, burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self._burst, self._per_second = burst, per_second
        self._buckets: dict[bytes, Bucket] = {}
        self._lock = threading.Lock()

    def wait_s(self, client: str, now_s: float) -> int:
        """Return 0 and take one, or how many whole seconds to wait.

        Examples
        --------
        >>> limiter = Limiter(burst=2, per_second=0.5)
        >>> [limiter.wait_s("a", t) for t in (0.0, 0.0, 0.0, 2.0, 2.0)]
        [0, 0, 2, 0, 2]
        """
        key = hashlib.sha256(client.encode(errors="surrogatepass")).digest()
        with self._lock:
            bucket = self._buckets.get(key, Bucket(float(self._burst), now_s))
            gained = max(0.0, now_s - bucket.at_s) * self._per_second
            left = min(float(self._burst), bucket.left + gained)
            if left < 1:
                self._buckets[key] = Bucket(left, now_s)
                return math.ceil((1 - left) / self._per_second)
            self._buckets[key] = Bucket(left - 1, now_s)
            if len(self._buckets) > _REMEMBERED:
                self._forget(now_s)
        return 0

    def refusal(self, request: Request, now_s: float) -> Response | None:
        """Return the refusal of a request that is too many; None where it may go on."""
        if request.url.path in _EXEMPT:
            return None
        address = request.client.host if request.client is not None else ""
        wait = self.wait_s(request.cookies.get(COOKIE, "") or f"address {address}", now_s)
        if not wait:
            return None
        return PlainTextResponse("too many requests\n", 429, {"Retry-After": str(wait)})

    def _forget(self, now_s: float) -> None:
        """Let full buckets go, and where none is full the oldest half."""
        refill_s = self._burst / self._per_second
        kept = {k: b for k, b in self._buckets.items() if now_s - b.at_s < refill_s}
        if len(kept) > _REMEMBERED:
            newest = sorted(kept.items(), key=lambda item: item[1].at_s)[len(kept) // 2 :]
            kept = dict(newest)
        self._buckets = kept


def too_large(request: Request) -> Response | None:
    """Return the refusal of a body that no form here has; None where it may go on."""
    stated = request.headers.get("content-length", "0")
    if stated.isdecimal() and int(stated) <= LARGEST_BODY:
        if "chunked" not in request.headers.get("transfer-encoding", "").lower():
            return None
        return PlainTextResponse("state the length\n", 411)
    return PlainTextResponse("too large\n", 413)
