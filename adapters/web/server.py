"""The server of the pages: plain behind a proxy on this machine, or TLS by itself.

With `web.tls_certificate` and `web.tls_key` it speaks TLS 1.2 or newer with the ciphers that
give forward secrecy, and browsers are told to come back by TLS only.

Source: RFC 9325 (recommendations for TLS); OWASP ASVS 4.0.3 9.1.

Read next: `app.py`.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from audit.errors import ConfigurationError

if TYPE_CHECKING:
    import uvicorn

    from adapters.config_sections import WebSection

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_of(app: Any, section: WebSection) -> uvicorn.Server:
    """Return the server of an application.

    Raises
    ------
    ConfigurationError : certificate or key cannot be read, or do not fit each other.
    """
    import uvicorn

    settings: dict[str, Any] = {
        "host": section.host,
        "port": section.port,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
    }
    if section.tls_certificate:
        _check(section)
        settings |= {
            "ssl_certfile": section.tls_certificate,
            "ssl_keyfile": section.tls_key,
            "ssl_ciphers": CIPHERS,
        }
    config = uvicorn.Config(app, **settings)
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return uvicorn.Server(config)


def _check(section: WebSection) -> None:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(section.tls_certificate, section.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            "expected a certificate and its key at web.tls_certificate and web.tls_key"
        ) from error
