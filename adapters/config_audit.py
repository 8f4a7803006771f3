"""Sections of the configuration about the audit log: how long it is kept, and who gets it.

Read next: `config.py`.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from adapters.config_sections import Section


class RetentionSection(Section):
    """How long records are kept, in days; a legal hold wins over all of it.

    ``state`` takes the rule of a state for treatment records where it is longer (DE, AT, FR,
    NL); ``minor_days`` holds for records about somebody under 18, 0 switches it off;
    ``days_by_kind`` stands for single kinds of record instead of ``days``.
    """

    days: int = Field(default=3653, ge=183)
    treatment_days: int = Field(default=3653, ge=183)
    minor_days: int = Field(default=9132, ge=0)
    state: str = Field(default="", pattern=r"^([A-Z]{2}|)$")
    days_by_kind: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _floor(self) -> RetentionSection:
        short = [kind for kind, days in self.days_by_kind.items() if days < 183]
        if short or 0 < self.minor_days < 183:
            raise ValueError("records are kept for at least 183 days (AI Act Art. 19, 26(6))")
        return self


class AuditRepositorySection(Section):
    """A repository that gets every record, in order: IHE ITI-20, both of its transports.

    Parameters
    ----------
    kind : ``syslog-tls`` sends PS3.15 messages (RFC 5424 in RFC 5425 frames); ``fhir`` posts
        an AuditEvent for each record.
    ca_file, cert_file, key_file : authority of the repository, and what we show it (mutual TLS).
    first : what a new repository gets: all records there are, or those from now on.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,31}$")
    kind: Literal["syslog-tls", "fhir"]
    host: str = ""
    port: int = Field(default=6514, ge=1, le=65535)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    url: str = Field(default="", pattern=r"^(https?://[^\s?#]+|)$")
    token: SecretStr = SecretStr("")
    verify_tls: bool | str = True
    first: Literal["beginning", "now"] = "beginning"
    batch: int = Field(default=200, ge=1, le=5000)
    timeout_s: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _needs(self) -> AuditRepositorySection:
        needed = {"syslog-tls": ("host", "ca_file"), "fhir": ("url",)}[self.kind]
        missing = [key for key in needed if not getattr(self, key)]
        if missing:
            raise ValueError(f"audit repository {self.name!r} needs {', '.join(missing)}")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together")
        local = urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        if self.url.startswith("http://") and not local:
            raise ValueError("expected https:// for a repository that is not local")
        return self
