"""What a site watches besides arrivals: what would lift refusals, and corrected inputs.

Read next: `seeds/finder.py`, `prescriptions/finder.py`, `corrections.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Protocol

from adapters.archives import fhir_client
from adapters.config import Configuration
from adapters.corrections import Corrections
from adapters.database import Database
from adapters.database.journal import SiteJournal
from adapters.engine.notices import Notices
from adapters.fhir.client import FhirClient
from adapters.home import Home
from adapters.pacs import Pacs
from adapters.prescriptions.finder import CODES as PRESCRIPTION_CODES
from adapters.prescriptions.finder import PrescriptionFinder
from adapters.prescriptions.protocols import protocols_of
from adapters.prescriptions.sources import PrescriptionSources
from adapters.refusal_watch import RefusalWatch
from adapters.registry import ReleaseRegistry
from adapters.seeds.finder import CODES as SEED_CODES
from adapters.seeds.finder import SeedFinder
from audit.pseudonym import Pseudonyms


class Ground(Protocol):
    """What of a site both stand on."""

    @property
    def database(self) -> Database: ...
    @property
    def journal(self) -> SiteJournal: ...
    @property
    def registry(self) -> ReleaseRegistry: ...
    @property
    def pseudonyms(self) -> Pseudonyms: ...
    @property
    def now(self) -> Callable[[], datetime]: ...


def seed_finder(
    stack: ExitStack, configuration: Configuration, ground: Ground, watched: Mapping[str, Pacs]
) -> SeedFinder:
    """Return what looks for seed points; its FHIR client is closed with ``stack``."""
    settings = configuration.seeds
    return SeedFinder(
        _watch(ground, watched, SEED_CODES, settings),
        ground.database,
        ground.journal,
        watched,
        _server(stack, configuration, settings.fhir),
        settings,
        Notices(configuration.notices, configuration.site.name),
        ground.pseudonyms,
        ground.now,
    )


def prescription_sources(
    stack: ExitStack, home: Home, configuration: Configuration, ground: Ground
) -> PrescriptionSources:
    """Return where prescriptions are looked for; the FHIR client is closed with ``stack``.

    Raises
    ------
    ConfigurationError : a protocol file is none, or is an example and the site clinical.
    """
    settings = configuration.prescriptions
    return PrescriptionSources(
        ground.database,
        _server(stack, configuration, settings.fhir),
        protocols_of(home, configuration),
        settings,
        for_research=configuration.site.mode != "clinical",
    )


def prescription_finder(
    configuration: Configuration,
    ground: Ground,
    watched: Mapping[str, Pacs],
    sources: PrescriptionSources,
) -> PrescriptionFinder:
    """Return what looks for prescriptions of refused studies."""
    return PrescriptionFinder(
        _watch(ground, watched, PRESCRIPTION_CODES, configuration.prescriptions),
        sources,
        ground.database,
        ground.journal,
        watched,
        Notices(configuration.notices, configuration.site.name),
        ground.registry,
        ground.now,
    )


class _Pace(Protocol):
    """How often and how long a refusal is looked after."""

    @property
    def poll_interval_s(self) -> float: ...
    @property
    def patience_days(self) -> float: ...


def _watch(
    ground: Ground, watched: Mapping[str, Pacs], codes: tuple[str, ...], pace: _Pace
) -> RefusalWatch:
    return RefusalWatch(
        ground.database,
        watched,
        ground.registry,
        codes,
        pace.poll_interval_s,
        pace.patience_days,
        ground.now,
    )


def _server(stack: ExitStack, configuration: Configuration, name: str) -> FhirClient | None:
    for section in configuration.targets:
        if name and section.name == name:
            return stack.enter_context(fhir_client(section))
    return None


def corrections(
    home: Home, configuration: Configuration, ground: Ground, watched: Mapping[str, Pacs]
) -> Corrections:
    """Return what reads inputs of answers again."""
    return Corrections(
        ground.database,
        ground.journal,
        watched,
        ground.registry,
        ground.pseudonyms,
        home.staging,
        configuration.limits,
        configuration.trigger,
        ground.now,
    )
