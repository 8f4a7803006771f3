"""Another application entity: how to reach it, and an association with it.

Read next: `scu.py`.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pynetdicom import AE

from audit.errors import AuthenticationError, ConfigurationError, RejectedError, UnavailableError

SERVICES = frozenset({"store", "find", "move", "get", "commitment"})
_REJECTED_PERMANENT = 1  # PS3.8 Table 9-21, Result
_UNKNOWN_TITLE = {(1, 3), (1, 7)}  # (source, reason): calling or called AE title not recognised


@dataclass(frozen=True, slots=True)
class Peer:
    """One application entity.

    Parameters
    ----------
    services : what may be used, of store, find, move, get and commitment; what the peer
        really offers is negotiated.
    tls : context for a secure connection (PS3.15 Annex B); None for a plain one.
    """

    aet: str
    host: str
    port: int
    services: frozenset[str] = SERVICES
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        check_title(self.aet)
        unknown = sorted(self.services - SERVICES)
        if unknown:
            raise ConfigurationError(f"expected services in {sorted(SERVICES)}, found {unknown}")


def check_title(aet: str) -> None:
    """Raise ConfigurationError unless the text is an AE title (PS3.5 Section 6.2, VR AE)."""
    if not 1 <= len(aet.strip()) <= 16 or "\\" in aet or not aet.isascii():
        raise ConfigurationError(f"expected an AE title of 1 to 16 characters, found {aet!r}")


@contextmanager
def associated(
    own_aet: str,
    peer: Peer,
    contexts: Sequence[Any],
    *,
    timeout_s: float,
    roles: Sequence[Any] = (),
    handlers: Sequence[Any] = (),
) -> Iterator[Any]:
    """Hold an association with the peer; it is released in the end, aborted on an error.

    Raises
    ------
    UnavailableError : nobody answers, or the peer is busy.
    AuthenticationError : the peer does not know one of the AE titles.
    RejectedError : the peer refuses for another reason.
    """
    # the library writes identifiers and keys of a query to its log
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    entity = AE(ae_title=own_aet)
    entity.connection_timeout = entity.acse_timeout = timeout_s
    entity.dimse_timeout = entity.network_timeout = timeout_s
    association = entity.associate(
        peer.host,
        peer.port,
        contexts=list(contexts),
        ae_title=peer.aet,
        ext_neg=list(roles),
        tls_args=None if peer.tls is None else (peer.tls, peer.host),
        evt_handlers=list(handlers),
    )
    if not association.is_established:
        raise _why(association, peer)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def _why(association: Any, peer: Peer) -> Exception:
    if association.is_rejected:
        answer = association.acceptor.primitive
        source, reason = answer.result_source, answer.diagnostic
        if (source, reason) in _UNKNOWN_TITLE:
            return AuthenticationError(
                f"expected {peer.aet} to accept our AE title, found it refused",
                advice="Register our AE title at the peer, and check the peer's title here.",
            )
        if answer.result == _REJECTED_PERMANENT:
            return RejectedError(
                f"expected an association with {peer.aet}, found {source}/{reason}"
            )
    return UnavailableError(f"expected {peer.aet} to accept an association, it did not")
