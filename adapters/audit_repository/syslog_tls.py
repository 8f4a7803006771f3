"""ITI-20 by syslog over TLS: PS3.15 messages in RFC 5424 form, framed by RFC 5425.

Syslog acknowledges nothing.  What tells that a batch arrived is how the connection ends:

1. We say close_notify behind the last message, and the receiver answers with its own.
2. Its side ends in order (FIN).  One that closes with messages unread sends a reset instead.
3. Its kernel acknowledged every byte.  One that had closed before they came, because it did not
   accept our certificate, answers them with a reset.

Where any of it fails the batch counts as not sent and goes again, whole: a receiver may then
hold some messages twice, each under the same record id, and none is missing.

Source: IHE ITI TF-2 3.20; RFC 5424; RFC 5425 4.3 (octet counting), 4.4 (close_notify); RFC 8446
6.1.

Read next: `fhir_feed.py`.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import ssl
import termios
import time
from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path

from adapters.audit_views import dicom_message
from adapters.audit_views.message import Message
from adapters.config_audit import AuditRepositorySection
from audit.errors import AuthenticationError, ConfigurationError, DoorError, UnavailableError

PRIORITY = 10 * 8 + 5
"""Facility 10 (security, authorization), severity 5 (notice), as ITI-20 asks."""
MESSAGE_ID = "DICOM+RFC3881"
APPLICATION = "osteon"
_BOM = b"\xef\xbb\xbf"
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def frame(message: Message) -> bytes:
    """Return one message as RFC 5425 frames it: MSG-LEN SP SYSLOG-MSG.

    SYSLOG-MSG = <PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [SP MSG]
    """
    at = message.at.astimezone(UTC).strftime(_TIME)
    head = f"<{PRIORITY}>1 {at} {message.source_id} {APPLICATION} - {MESSAGE_ID} - "
    content = head.encode("ascii") + _BOM + dicom_message.encode(message)
    return b"%d " % len(content) + content


def _end(connection: ssl.SSLSocket, timeout_s: float) -> None:
    """Close a connection; OSError unless the receiver has read everything for certain."""
    plain = connection.unwrap()  # 1
    if plain.recv(1):  # 2
        raise OSError(errno.EPROTO, "expected the end of the connection")
    deadline = time.monotonic() + timeout_s
    while True:  # 3
        if failure := plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(failure, "reset")
        unacknowledged = fcntl.ioctl(plain.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        if not any(unacknowledged):
            return
        if time.monotonic() > deadline:
            raise TimeoutError("expected every byte to be acknowledged")
        time.sleep(0.002)


class SyslogTls:
    """A syslog receiver behind TLS; one connection for each batch."""

    def __init__(self, section: AuditRepositorySection) -> None:
        self._section = section

    def send(self, messages: Sequence[Message]) -> Iterator[int]:
        """Send a batch; yields once, when the receiver has confirmed the end of it."""
        if not messages:
            return
        frames = b"".join(frame(message) for message in messages)
        with self._connected() as connection:
            try:
                connection.sendall(frames)
                _end(connection, self._section.timeout_s)
            except (OSError, ValueError) as error:
                raise UnavailableError(
                    f"expected audit repository {self._section.name} to confirm "
                    f"{len(messages)} messages, found {type(error).__name__}"
                ) from error
        yield len(messages)

    def check(self) -> str:
        """Return the TLS version and cipher that the receiver speaks."""
        with self._connected() as connection:
            cipher = connection.cipher()
            return f"{connection.version()}, {cipher[0] if cipher else 'no cipher'}"

    def close(self) -> None:
        """Nothing is held open between batches."""

    def _connected(self) -> ssl.SSLSocket:
        section = self._section
        try:
            plain = socket.create_connection((section.host, section.port), section.timeout_s)
        except OSError as error:
            raise UnavailableError(
                f"expected audit repository {section.name} to answer, found {type(error).__name__}"
            ) from error
        try:
            return self._context().wrap_socket(plain, server_hostname=section.host)
        except DoorError:
            plain.close()
            raise
        except ssl.SSLError as error:
            plain.close()
            raise AuthenticationError(
                f"expected TLS with audit repository {section.name}, found {error.reason}",
                advice="Check ca_file, cert_file, key_file and the receiver's certificate.",
            ) from error
        except OSError as error:
            plain.close()
            raise UnavailableError(
                f"expected audit repository {section.name} to answer, found {type(error).__name__}"
            ) from error

    def _context(self) -> ssl.SSLContext:
        section = self._section
        try:
            context = ssl.create_default_context(cafile=str(Path(section.ca_file).expanduser()))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if section.cert_file:
                context.load_cert_chain(
                    Path(section.cert_file).expanduser(), Path(section.key_file).expanduser()
                )
        except OSError as error:
            raise ConfigurationError(
                f"expected readable certificate files for audit repository {section.name}, "
                f"found {type(error).__name__}"
            ) from error
        return context
