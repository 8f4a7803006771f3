"""How far our clock is off, by the clocks of others: NTP servers and time-stamps.

SNTP is the client of RFC 5905 (section 14); the offset is ((T2 - T1) + (T3 - T4)) / 2 and
at most half the round trip wrong (section 8).

Read next: `forwarding.py`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from audit.errors import UnavailableError

NTP_PORT = 123
_TIMEOUT_S = 5.0
_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
_FORM = struct.Struct("!BBbb11I")
_CLIENT = 0x23  # leap 0, version 4, mode 3 (client)
_SERVER_MODE = 4
_UNSYNCHRONISED = 3


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How far our clock is behind another (negative: ahead), and how sure that is.

    Parameters
    ----------
    source : ``ntp:HOST`` or ``rfc3161:NAME``.
    stratum : of an NTP server; None for others.
    """

    source: str
    offset_ms: float
    uncertainty_ms: float
    stratum: int | None = None


def compare(
    source: str, sent_at: datetime, theirs: datetime, received_at: datetime, accuracy_s: float
) -> ClockReading:
    """Return the offset against a time that was stated between two moments of ours."""
    middle = sent_at + (received_at - sent_at) / 2
    half_trip_ms = (received_at - sent_at) / timedelta(milliseconds=2)
    offset_ms = (theirs - middle) / timedelta(milliseconds=1)
    return ClockReading(source, round(offset_ms, 3), round(half_trip_ms + accuracy_s * 1000, 3))


def ask_ntp(
    host: str, now: Callable[[], datetime], *, port: int = NTP_PORT, timeout_s: float = _TIMEOUT_S
) -> ClockReading:
    """Return the offset against an NTP server.

    Raises
    ------
    UnavailableError : it does not answer, or says that it does not know the time either.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as door:
            door.settimeout(timeout_s)
            door.connect(address)
            sent_at = now()
            stamp = _stamp(sent_at)
            door.send(_FORM.pack(_CLIENT, 0, 0, 0, *(0,) * 9, *stamp))
            data = door.recv(512)
            received_at = now()
    except OSError as error:
        raise UnavailableError(
            f"expected an answer of NTP server {host}, found {type(error).__name__}"
        ) from error
    return _read(host, data, stamp, sent_at, received_at)


def _read(
    host: str, data: bytes, stamp: tuple[int, int], sent_at: datetime, received_at: datetime
) -> ClockReading:
    if len(data) < _FORM.size:
        raise UnavailableError(f"expected an NTP packet of {host}, found other bytes")
    first, stratum, _, _, *words = _FORM.unpack_from(data)
    origin, receive, transmit = words[5:7], words[7:9], words[9:11]
    known = first >> 6 != _UNSYNCHRONISED and 0 < stratum < 16
    if first & 7 != _SERVER_MODE or tuple(origin) != stamp or not known:
        raise UnavailableError(f"expected the time of NTP server {host}, found that it has none")
    t2, t3 = _moment(receive), _moment(transmit)
    offset = ((t2 - sent_at) + (t3 - received_at)) / 2
    trip = (received_at - sent_at) - (t3 - t2)
    unit = timedelta(milliseconds=1)
    half_ms = max(trip / unit / 2, 0.0)
    return ClockReading(f"ntp:{host}", round(offset / unit, 3), round(half_ms, 3), stratum)


def _stamp(moment: datetime) -> tuple[int, int]:
    """Return seconds since 1900 and their 2**-32 parts (RFC 5905, section 6)."""
    passed = moment - _EPOCH
    seconds = passed // timedelta(seconds=1)
    rest = passed - timedelta(seconds=seconds)
    return seconds & 0xFFFFFFFF, int(rest / timedelta(seconds=1) * 2**32) & 0xFFFFFFFF


def _moment(words: list[int]) -> datetime:
    """Return the moment of a time stamp; era 1 begins in 2036 (RFC 5905, section 6)."""
    seconds = words[0] if words[0] >= 1 << 31 else words[0] + (1 << 32)
    return _EPOCH + timedelta(seconds=seconds, microseconds=words[1] * 1_000_000 / 2**32)
