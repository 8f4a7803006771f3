"""When to try again: capped exponential back-off that outlives a weekend.

Pure rules; nothing here waits.  The jitter is drawn from the attempt itself, so that the
same attempt always gets the same time, and runs that failed together come back apart.

Source: randomised exponential back-off with a cap, as in RFC 2131 Section 4.1; the start,
the cap and the share that is random are ours.

Read next: `breaker.py`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

START = timedelta(seconds=2)
CAP = timedelta(minutes=15)
PATIENCE = timedelta(days=7)
# A pause is between this share of the back-off and all of it.
SHORTEST = 0.75


def next_attempt(attempts: int, now: datetime, jitter_seed: str) -> datetime:
    """Return when to try again after ``attempts`` (at least 1) failed ones.

    The pause is d = min(CAP, START * 2^(attempts - 1)), shortened by up to a quarter;
    it never exceeds CAP and, until the cap, never gets shorter from one to the next.
    """
    return now + _full(attempts) * (SHORTEST + (1 - SHORTEST) * _share(attempts, jitter_seed))


def attempts_within(patience: timedelta) -> int:
    """Return after how many failed attempts at least ``patience`` has passed for sure."""
    passed, attempts = timedelta(), 0
    while passed < patience and _full(attempts + 1) < CAP:
        attempts += 1
        passed += _full(attempts) * SHORTEST
    left = patience - passed
    return attempts + (0 if left <= timedelta() else -(-left // (CAP * SHORTEST)))


def _full(attempts: int) -> timedelta:
    doublings = max(0, attempts - 1)
    # 2^9 * 2 s is past the cap: larger powers are not computed.
    return CAP if doublings > 9 else min(CAP, START * 2**doublings)


def _share(attempts: int, seed: str) -> float:
    """Return a number in [0, 1) that depends on seed and attempt only."""
    digest = hashlib.sha256(f"{seed}\0{attempts}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
