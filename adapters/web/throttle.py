"""How long somebody who failed to sign in has to wait: a rule over counts and times.

The first failures cost nothing, then the pause doubles; a success ends it for the account.
Failures are counted for the account and for the client's address, in this process only.

Source: NIST SP 800-63B 5.2.2 (growing pauses of 30 seconds up to an hour, at most 100
consecutive failures; 15 minutes at most are 96 a day); OWASP ASVS 4.0.3 2.2.1.

Read next: `sign_in.py`.
"""

from __future__ import annotations

import hashlib
import math
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

FREE_PER_ACCOUNT = 5
FREE_PER_ADDRESS = 20  # many people of a house share one address behind a proxy
FIRST_PAUSE_S = 30
LONGEST_PAUSE_S = 900
REMEMBERED = timedelta(days=1)
TALLY_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Tally:
    """Failures of one account or address, and when the last one was."""

    failure_count: int
    last_at: datetime


def pause_s(failure_count: int, free: int) -> int:
    """Return how long to wait after so many failures, of which ``free`` - 1 cost nothing.

    Examples
    --------
    >>> [pause_s(count, 5) for count in (0, 4, 5, 6, 9, 50)]
    [0, 0, 30, 60, 480, 900]
    """
    if failure_count < free:
        return 0
    return min(FIRST_PAUSE_S << min(failure_count - free, 10), LONGEST_PAUSE_S)


def wait_s(tally: Tally | None, free: int, now: datetime) -> int:
    """Return how many whole seconds are left of a pause; 0 when there is none."""
    if tally is None:
        return 0
    ends_at = tally.last_at + timedelta(seconds=pause_s(tally.failure_count, free))
    return max(0, math.ceil((ends_at - now).total_seconds()))


class Throttle:
    """Failures by account and by client address; safe among threads.

    An attempt counts as failed from its beginning until `succeeded` takes it back, so that
    attempts at the same time cannot pass together.
    """

    def __init__(self) -> None:
        self._tallies: dict[bytes, Tally] = {}
        self._lock = threading.Lock()

    def admit(self, account_id: str, address: str, now: datetime) -> int:
        """Return 0 and count the attempt, or the seconds to wait, and count nothing."""
        limits = {
            _key("account", account_id): FREE_PER_ACCOUNT,
            _key("address", address): FREE_PER_ADDRESS,
        }
        with self._lock:
            left = max(wait_s(self._known(key, now), free, now) for key, free in limits.items())
            if left:
                return left
            for key in limits:
                tally = self._known(key, now)
                self._tallies[key] = Tally(tally.failure_count + 1 if tally else 1, now)
            self._forget(now)
        return 0

    def succeeded(self, account_id: str, address: str) -> None:
        """Forget the failures of the account; of the address only the attempt itself.

        Who has one account must not buy free attempts at others by signing in between.
        """
        key = _key("address", address)
        with self._lock:
            self._tallies.pop(_key("account", account_id), None)
            if key in self._tallies:
                tally = self._tallies[key]
                self._tallies[key] = Tally(max(0, tally.failure_count - 1), tally.last_at)

    def _known(self, key: bytes, now: datetime) -> Tally | None:
        tally = self._tallies.get(key)
        return tally if tally is not None and tally.last_at > now - REMEMBERED else None

    def _forget(self, now: datetime) -> None:
        if len(self._tallies) <= TALLY_LIMIT:
            return
        for key in [key for key in self._tallies if self._known(key, now) is None]:
            del self._tallies[key]
        oldest_first = sorted(self._tallies, key=lambda key: self._tallies[key].last_at)
        for key in oldest_first[: len(self._tallies) - TALLY_LIMIT]:
            del self._tallies[key]


def _key(kind: str, text: str) -> bytes:
    return hashlib.sha256(f"{kind}\0{text}".encode(errors="surrogatepass")).digest()
