"""Configuration: typed, from TOML and environment, nothing unknown accepted.

Precedence: environment (``OSTEON__SITE__MODE=clinical``, two underscores between levels)
over the file over the defaults.  An unknown key is refused and the nearest right name is
named.  Secrets are `SecretStr` and never printed.

Read next: `compose.py`, which builds a site from this.
"""

from __future__ import annotations

import difflib
import os
import platform
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from audit.errors import ConfigurationError

ENVIRONMENT_PREFIX = "OSTEON__"


def _node() -> str:
    """Return this machine's name as a code: it stands in records and names the executor."""
    name = re.sub(r"[^A-Za-z0-9.-]", "-", platform.node())[:32].strip(".-")
    return name or "node-a"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteSection(_Section):
    """Who we are; ``mode`` decides whether anything may run without a certificate.

    ``time_zone`` (IANA) is where calendar days of reporting terms are counted.
    """

    name: str = "research-site"
    node: str = Field(default_factory=_node, pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,31}$")
    mode: Literal["research", "clinical"] = "research"
    time_zone: str = "UTC"

    @model_validator(mode="after")
    def _zone(self) -> SiteSection:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("time_zone must be an IANA zone such as Europe/Berlin") from error
        return self


class DatabaseSection(_Section):
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


class EngineSection(_Section):
    """The work engine: how many runs at once on each machine, and everywhere together.

    Give all machines of a site the same two: the one that starts last sets them for all.
    """

    executor_id: str = ""
    concurrency: int = Field(default=1, ge=1, le=64)
    global_concurrency: int = Field(default=0, ge=0)
    polling_interval_s: float = Field(default=0.2, gt=0)
    lease_s: float = Field(default=60.0, gt=0)


class TriggerSection(_Section):
    """When a study counts as complete: announced counts first, these times as fallback.

    ``patience_s`` is how long an announced count may stay unfulfilled.  ``first_look`` says
    what the very first look at an archive takes up: all that is there, or only what comes
    from then on.  ``poll_interval_s`` is how often a remote archive is asked; one on this
    machine (folder, dimse) is looked at every tenth of a second.  Studies of
    ``urgent_senders`` (AE titles) overtake others.
    """

    first_look: Literal["beginning", "now"] = "beginning"

    quiet_time_s: float = Field(default=5.0, ge=0)
    quiet_time_by_sender_s: dict[str, float] = Field(default_factory=dict)
    urgent_senders: list[str] = Field(default_factory=list)
    patience_s: float = Field(default=60.0, ge=0)
    poll_interval_s: float = Field(default=1.0, gt=0)


class LimitsSection(_Section):
    """Sizes that protect the machine, in megabytes."""

    input_mb: int = Field(default=1536, ge=1)
    staging_mb: int = Field(default=8192, ge=1)
    free_space_mb: int = Field(default=512, ge=0)


class AnswersSection(_Section):
    """Which answers leave as objects besides results and abstentions.

    ``refusals``: a study that a release refused gets a report and a FHIR bundle that say so.
    """

    refusals: bool = True


class GovernanceSection(_Section):
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


class WebSection(_Section):
    """Where health, metrics and the runs page are served."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    metrics_token: SecretStr = SecretStr("")


class NoticesSection(_Section):
    """Who is told when a run failed; notices carry no patient data."""

    webhook_url: str = ""
    smtp_host: str = ""
    smtp_port: int = 25
    mail_from: str = ""
    mail_to: list[str] = Field(default_factory=list)


class OidcSection(_Section):
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


class ContactSection(_Section):
    """Somebody who has to be told of an incident; ``verified_on`` is when it last worked.

    ``address`` is ``mailto:...`` or ``https://...``; empty where a person carries it there.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$")
    role: Literal["provider", "distributor", "authority", "site"]
    address: str = Field(default="", pattern=r"^(mailto:[^\s@]+@[^\s@]+|https?://\S+|)$")
    verified_on: date | None = None


class IncidentsSection(_Section):
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


class PacsSection(_Section):
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


class TargetSection(_Section):
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
    documents: list[Literal["RTSTRUCT", "SEG", "SR", "PMAP", "SC", "FHIR"]] = Field(
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


class Configuration(_Section):
    """Everything that a site is configured by."""

    site: SiteSection = SiteSection()
    database: DatabaseSection = DatabaseSection()
    engine: EngineSection = EngineSection()
    trigger: TriggerSection = TriggerSection()
    limits: LimitsSection = LimitsSection()
    answers: AnswersSection = AnswersSection()
    governance: GovernanceSection = GovernanceSection()
    web: WebSection = WebSection()
    notices: NoticesSection = NoticesSection()
    oidc: OidcSection = OidcSection()
    incidents: IncidentsSection = IncidentsSection()
    pacs: list[PacsSection] = Field(default_factory=list)
    targets: list[TargetSection] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names(self) -> Configuration:
        archives = [item.name for item in self.pacs]
        targets = [item.name for item in self.targets]
        for names in (archives, targets):
            doubled = {name for name in names if names.count(name) > 1}
            if doubled:
                raise ValueError(f"names must be unique, found twice: {', '.join(sorted(doubled))}")
        for target in self.targets:
            if target.kind == "pacs" and target.pacs not in archives:
                raise ValueError(f"target {target.name!r} names unknown pacs {target.pacs!r}")
        return self


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Configuration:
    """Return the configuration of a TOML file with the environment on top.

    Raises
    ------
    ConfigurationError : the file is not TOML, a key is unknown (the nearest right name is
        given), or a value is out of range.
    """
    document: dict[str, Any] = {}
    if path is not None:
        document = _read(path)
    overlay(document, os.environ if environment is None else environment)
    try:
        return Configuration.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from error


def overlay(document: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put values of ``OSTEON__SECTION__KEY`` variables into the document."""
    for name, value in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        *parents, leaf = name[len(ENVIRONMENT_PREFIX) :].lower().split("__")
        place = document
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value


def shown(configuration: Configuration) -> dict[str, Any]:
    """Return the configuration as JSON values with every secret hidden."""
    return configuration.model_dump(mode="json")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"expected a configuration file {path}, found none") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"expected TOML in {path}, found a fault: {error}") from error


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "configuration"
        if item["type"] == "extra_forbidden":
            known = _known_names(item["loc"][:-1])
            near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            lines.append(f"unknown key {where!r}{hint}")
        else:
            lines.append(f"{where}: {item['msg']}")
    return "; ".join(lines)


def _known_names(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Configuration
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        arguments = getattr(annotation, "__args__", ())
        model = arguments[0] if arguments else annotation
    return sorted(model.model_fields) if hasattr(model, "model_fields") else []
