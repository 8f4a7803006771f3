"""Configuration: typed, from TOML and environment, nothing unknown accepted.

Precedence: environment (``OSTEON__SITE__MODE=clinical``, two underscores between levels)
over the file over the defaults.  An unknown key is refused and the nearest right name is
named.  Secrets are `SecretStr` and never printed.

Read next: `compose.py`, which builds a site from this.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from adapters.attestation.sections import LogSection
from adapters.config_audit import AuditRepositorySection, RetentionSection
from adapters.config_monitoring import MonitoringSection
from adapters.config_oversight import OversightSection
from adapters.config_sections import (
    AnswersSection,
    DatabaseSection,
    EngineSection,
    GovernanceSection,
    IncidentsSection,
    LimitsSection,
    NoticesSection,
    OidcSection,
    PacsSection,
    PrescriptionsSection,
    Section,
    SeedsSection,
    SiteSection,
    TargetSection,
    TriggerSection,
    WebSection,
)
from audit.errors import ConfigurationError

ENVIRONMENT_PREFIX = "OSTEON__"


class Configuration(Section):
    """Everything that a site is configured by."""

    site: SiteSection = SiteSection()
    database: DatabaseSection = DatabaseSection()
    engine: EngineSection = EngineSection()
    trigger: TriggerSection = TriggerSection()
    limits: LimitsSection = LimitsSection()
    answers: AnswersSection = AnswersSection()
    governance: GovernanceSection = GovernanceSection()
    retention: RetentionSection = RetentionSection()
    seeds: SeedsSection = SeedsSection()
    prescriptions: PrescriptionsSection = PrescriptionsSection()
    web: WebSection = WebSection()
    notices: NoticesSection = NoticesSection()
    oidc: OidcSection = OidcSection()
    incidents: IncidentsSection = IncidentsSection()
    log: LogSection = LogSection()
    oversight: OversightSection = OversightSection()
    monitoring: MonitoringSection = MonitoringSection()
    pacs: list[PacsSection] = Field(default_factory=list)
    targets: list[TargetSection] = Field(default_factory=list)
    audit_repositories: list[AuditRepositorySection] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names(self) -> Configuration:
        archives = [item.name for item in self.pacs]
        targets = [item.name for item in self.targets]
        for names in (archives, targets, [item.name for item in self.audit_repositories]):
            doubled = {name for name in names if names.count(name) > 1}
            if doubled:
                raise ValueError(f"names must be unique, found twice: {', '.join(sorted(doubled))}")
        for target in self.targets:
            if target.kind == "pacs" and target.pacs not in archives:
                raise ValueError(f"target {target.name!r} names unknown pacs {target.pacs!r}")
        servers = [item.name for item in self.targets if item.kind == "fhir"]
        for section, name in (("seeds", self.seeds), ("prescriptions", self.prescriptions)):
            if name.fhir and name.fhir not in servers:
                raise ValueError(f"{section}.fhir names no target of kind fhir: {name.fhir!r}")
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
