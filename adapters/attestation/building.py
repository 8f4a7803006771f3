"""From the configuration to those who state something about our checkpoints.

Read next: `forwarding.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography.x509 import Certificate

from adapters.attestation.anchors import FolderAnchor, MailAnchor, Mailbox
from adapters.attestation.attestor import Attestor
from adapters.attestation.sections import AnchorSection, AuthoritySection, LogSection
from adapters.attestation.time_stamping import TimeStampAuthority
from adapters.config_sections import NoticesSection
from adapters.witness.client import WitnessClient
from audit.cosignature import CosignerKey, parse_cosigner
from audit.errors import ConfigurationError
from audit.timestamp import read_authorities

MAIL_EVERY_S = 86_400.0
"""One mail a day unless the site says otherwise: nobody keeps one a minute."""


def build_attestors(
    section: LogSection, notices: NoticesSection, now: Callable[[], datetime]
) -> tuple[Attestor, ...]:
    """Return the configured witnesses, authorities and anchors.

    Raises
    ------
    ConfigurationError : a key or a certificate cannot be read.
    """
    witnesses = [
        WitnessClient(item.name, item.url, [parse_cosigner(text) for text in item.keys])
        for item in section.witnesses
    ]
    authorities = [
        TimeStampAuthority(item.name, item.url, _certificates(item), now, item.every_s)
        for item in section.authorities
    ]
    return (*witnesses, *authorities, *(_anchor(item, notices) for item in section.anchors))


def trusted(section: LogSection) -> tuple[tuple[CosignerKey, ...], tuple[Certificate, ...]]:
    """Return the keys of the configured witnesses and the certificates of the authorities."""
    keys = [parse_cosigner(text) for item in section.witnesses for text in item.keys]
    found = [item for authority in section.authorities for item in _certificates(authority)]
    return tuple(keys), tuple(dict.fromkeys(found))


def _certificates(section: AuthoritySection) -> tuple[Certificate, ...]:
    try:
        return read_authorities(Path(section.ca_file).read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"expected certificates of authority {section.name} in its ca_file, found none"
        ) from error


def _anchor(section: AnchorSection, notices: NoticesSection) -> Attestor:
    if section.kind == "folder":
        return FolderAnchor(section.name, Path(section.path), section.every_s)
    if not notices.smtp_host:
        raise ConfigurationError(f"anchor {section.name} sends mail: notices.smtp_host is missing")
    mailbox = Mailbox(notices.smtp_host, notices.smtp_port, notices.mail_from, section.to)
    return MailAnchor(section.name, mailbox, section.every_s or MAIL_EVERY_S)
