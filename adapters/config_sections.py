"""The sections of a site's configuration, one class each.

What a section means stands in its docstring; `docs/examples` shows them in use.

Read next: `config.py`, which puts them together.
"""

from __future__ import annotations

import platform
import re
from datetime import date
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


def _node() -> str:
    """Return this machine's name as a code: it stands in records and names the executor."""
    name = re.sub(r"[^A-Za-z0-9.-]", "-", platform.node())[:32].strip(".-")
    return name or "node-a"


class Section(BaseModel):
    """One part of the configuration: nothing unknown in it, nothing changed after."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteSection(Section):
    """Who we are; ``mode`` decides whether anything may run without a certificate.

    ``time_zone`` (IANA) is where calendar days of reporting terms are counted.  ``region`` is where
    the site stands (such as EU or CN); with ``region_pinned`` nothing is given outside it, figures
    for pooling included.
    """

    name: str = "research-site"
    node: str = Field(default_factory=_node, pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,31}$")
    mode: Literal["research", "clinical"] = "research"
    time_zone: str = "UTC"
    region: str = Field(default="", pattern=r"^([A-Z]{2,8}|)$")
    region_pinned: bool = False

    @model_validator(mode="after")
    def _pin(self) -> SiteSection:
        if self.region_pinned and not self.region:
            raise ValueError("region_pinned needs a region to be pinned to")
        return self

    @model_validator(mode="after")
    def _zone(self) -> SiteSection:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("time_zone must be an IANA zone such as Europe/Berlin") from error
        return self


class DatabaseSection(Section):
    """SQLAlchemy URLs of three databases; empty means SQLite files in the home.

    Several machines of one site share all three.
    """

    url: SecretStr = SecretStr("")
    vault_url: SecretStr = SecretStr("")
    engine_url: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _apart(self) -> DatabaseSection:
        urls = [item.get_secret_value() for item in (self.url, self.vault_url, self.engine_url)]
        places = [(part.netloc.rpartition("@")[2], part.path) for part in map(urlsplit, urls)]
        named = [place for place, url in zip(places, urls, strict=True) if url]
        if len(set(named)) < len(named):
            raise ValueError("url, vault_url and engine_url name one database, three are needed")
        return self


class EngineSection(Section):
    """The work engine: how many runs at once on each machine, and everywhere together.

    All machines of a site have the same two: one with others does not start beside them.
    """

    executor_id: str = ""
    concurrency: int = Field(default=1, ge=1, le=64)
    global_concurrency: int = Field(default=0, ge=0)
    polling_interval_s: float = Field(default=0.2, gt=0)
    lease_s: float = Field(default=60.0, gt=0)


class TriggerSection(Section):
    """When a study counts as complete: announced counts first, these times as fallback.

    ``patience_s`` is how long an announced count may stay unfulfilled.  ``first_look`` says
    what the very first look at an archive takes up: all that is there, or only what comes
    from then on.  ``poll_interval_s`` is how often a remote archive is asked; one on this
    machine (folder, dimse) is looked at every tenth of a second.  Studies of
    ``urgent_senders`` (AE titles) overtake others.  ``reread_after_h``: hours after an answer
    at which its input is read again and compared, in an archive that does not tell when an
    instance is replaced (dicomweb); empty never.
    """

    first_look: Literal["beginning", "now"] = "beginning"

    quiet_time_s: float = Field(default=5.0, ge=0)
    quiet_time_by_sender_s: dict[str, float] = Field(default_factory=dict)
    urgent_senders: list[str] = Field(default_factory=list)
    patience_s: float = Field(default=60.0, ge=0)
    poll_interval_s: float = Field(default=1.0, gt=0)
    reread_after_h: list[float] = Field(default_factory=lambda: [1.0, 24.0, 168.0])


class LimitsSection(Section):
    """Sizes that protect the machine, in megabytes."""

    input_mb: int = Field(default=1536, ge=1)
    staging_mb: int = Field(default=8192, ge=1)
    free_space_mb: int = Field(default=512, ge=0)


class AnswersSection(Section):
    """Which answers leave as objects besides results and abstentions.

    ``refusals``: a study that a release refused gets a report and a FHIR bundle that say so.
    """

    refusals: bool = True


class GovernanceSection(Section):
    """What this site asks of a release before it goes on, and what it does by itself.

    ``course_days`` is how long after a result a patient counts as in course, and stays on
    the release of that result; by default 60 in clinical mode, and 0 (off) in research mode.
    ``stop_canary`` suspends a canary whose agreement is surely below the floor,
    ``suspend_on_alarm`` a release with an alarm; nothing is ever activated by itself.
    """

    minimum_pairs: int = Field(default=20, ge=2)
    agreement_floor: float = Field(default=0.8, ge=0, le=1)
    course_days: int | None = Field(default=None, ge=0)
    stop_canary: bool = True
    suspend_on_alarm: bool = False


class SeedsSection(Section):
    """Where a seed point may come from, besides page and command line.

    ``dicom``: a named point in a report or structure set of the study; ``names`` are
    patterns of the name.  ``fhir`` is the name of a target of kind fhir that is asked.
    """

    dicom: bool = True
    names: list[str] = Field(default_factory=lambda: ["SEED", "*_SEED", "SEED_*"])
    fhir: str = ""
    poll_interval_s: float = Field(default=60.0, gt=0)
    patience_days: float = Field(default=30.0, gt=0)


class PrescriptionsSection(Section):
    """Where a prescription may come from, for releases that ask for one.

    ``dicom``: plans and physician's intents of the study.  ``fhir`` is the name of a target of
    kind fhir that is asked.  ``protocols`` are files, relative to the home.
    """

    dicom: bool = True
    fhir: str = ""
    protocols: list[str] = Field(default_factory=list)
    poll_interval_s: float = Field(default=60.0, gt=0)
    patience_days: float = Field(default=30.0, gt=0)


class WebSection(Section):
    """Where health, metrics and the pages are served.

    Parameters
    ----------
    tls_certificate, tls_key : PEM files; with both the pages are served by TLS 1.2 or newer.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    metrics_token: SecretStr = SecretStr("")
    tls_certificate: str = ""
    tls_key: str = ""

    @model_validator(mode="after")
    def _both(self) -> WebSection:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key belong together")
        return self


class NoticesSection(Section):
    """Who is told when a run failed; notices carry no patient data."""

    webhook_url: str = ""
    smtp_host: str = ""
    smtp_port: int = 25
    mail_from: str = ""
    mail_to: list[str] = Field(default_factory=list)


class OidcSection(Section):
    """Sign-in at an OpenID Connect provider; without ``issuer`` there is none.

    Parameters
    ----------
    public_url : how browsers reach these pages; the provider must know PUBLIC_URL/sign-in/return.
    account_claim : claim that names the account; what no account id can have becomes a dash.
    role_claim : claim with the values that ``roles`` maps; dots lead into objects.
    roles : value of the claim -> role; the first line that fits counts.  Administrators are
        local accounts: nobody becomes one by what a provider says.
    """

    issuer: str = Field(default="", pattern=r"^(https?://[^\s?#]+|)$")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    public_url: str = Field(default="", pattern=r"^(https?://[^\s?#]+[^/]|)$")
    scope: str = "openid profile"
    account_claim: str = "preferred_username"
    role_claim: str = "roles"
    roles: dict[str, Literal["clinician", "physicist", "engineer", "approver", "compliance"]] = (
        Field(default_factory=dict)
    )
    leeway_s: int = Field(default=30, ge=0, le=300)
    timeout_s: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _whole(self) -> OidcSection:
        if not self.issuer:
            return self
        missing = [key for key in ("client_id", "public_url", "roles") if not getattr(self, key)]
        if missing:
            raise ValueError(f"sign-in at {self.issuer} needs {', '.join(missing)}")
        if "openid" not in self.scope.split():
            raise ValueError("scope must contain openid")
        for url in (self.issuer, self.public_url):
            host = urlsplit(url).hostname or ""
            if url.startswith("http://") and host not in ("127.0.0.1", "localhost", "::1"):
                raise ValueError("expected https:// for a provider or pages that are not local")
        return self


class ContactSection(Section):
    """Somebody who has to be told of an incident; ``verified_on`` is when it last worked.

    ``address`` is ``mailto:...`` or ``https://...``; empty where a person carries it there.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$")
    role: Literal["provider", "distributor", "authority", "site"]
    address: str = Field(default="", pattern=r"^(mailto:[^\s@]+@[^\s@]+|https?://\S+|)$")
    verified_on: date | None = None


class IncidentsSection(Section):
    """What reports of incidents begin with: our part, the route of the law, whom to tell.

    ``terms_file`` replaces the terms of the suite, e.g. with those of a country.
    """

    party: Literal["provider", "deployer"] = "deployer"
    route: Literal["mdr", "ai_act"] = "mdr"
    terms_file: str = ""
    contacts: list[ContactSection] = Field(default_factory=list)

    @model_validator(mode="after")
    def _unique(self) -> IncidentsSection:
        names = [contact.name for contact in self.contacts]
        if len(set(names)) != len(names):
            raise ValueError("names of contacts must be unique")
        return self


class PacsSection(Section):
    """One picture archive that is watched, or that results go to.

    ``kind`` orthanc and dicomweb use ``url``; folder uses ``path``; dimse uses ``aet`` and
    ``port`` for our intake and ``peer_*`` for the archive.
    """

    name: str
    kind: Literal["orthanc", "dicomweb", "folder", "dimse"]
    watch: bool = True
    url: str = ""
    path: str = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    verify_tls: bool | str = True
    timeout_s: float = Field(default=30.0, gt=0)
    aet: str = "OSTEON"
    port: int = Field(default=0, ge=0, le=65535)
    allowed_aets: list[str] = Field(default_factory=list)
    peer_aet: str = ""
    peer_host: str = ""
    peer_port: int = Field(default=0, ge=0, le=65535)

    @model_validator(mode="after")
    def _needs(self) -> PacsSection:
        needed = {
            "orthanc": ("url",),
            "dicomweb": ("url",),
            "folder": ("path",),
            "dimse": ("aet", "port"),
        }[self.kind]
        missing = [key for key in needed if not getattr(self, key)]
        if missing:
            raise ValueError(f"pacs {self.name!r} of kind {self.kind} needs {', '.join(missing)}")
        return self


class TargetSection(Section):
    """One place that results go to; ``documents`` names the kinds that it gets."""

    name: str
    kind: Literal["pacs", "dimse", "folder", "fhir", "fhir-folder"]
    pacs: str = ""
    path: str = ""
    url: str = ""
    token: SecretStr = SecretStr("")
    verify_tls: bool | str = True
    aet: str = "OSTEON"
    peer_aet: str = ""
    peer_host: str = ""
    peer_port: int = Field(default=0, ge=0, le=65535)
    documents: list[Literal["RTSTRUCT", "SEG", "SR", "PMAP", "SC", "RTDOSE", "FHIR"]] = Field(
        default_factory=list
    )

    @model_validator(mode="after")
    def _needs(self) -> TargetSection:
        needed = {
            "pacs": ("pacs",),
            "dimse": ("peer_aet", "peer_host", "peer_port"),
            "folder": ("path",),
            "fhir": ("url",),
            "fhir-folder": ("path",),
        }[self.kind]
        missing = [key for key in needed if not getattr(self, key)]
        if missing:
            raise ValueError(f"target {self.name!r} of kind {self.kind} needs {', '.join(missing)}")
        return self
