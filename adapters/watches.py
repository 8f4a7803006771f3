"""What a site watches besides arrivals: seed points for refusals, and corrected inputs.

Read next: `seeds/finder.py`, `corrections.py`.
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
from adapters.home import Home
from adapters.pacs import Pacs
from adapters.registry import ReleaseRegistry
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
    settings, server = configuration.seeds, None
    for section in configuration.targets:
        if settings.fhir == section.name:
            server = stack.enter_context(fhir_client(section))
    return SeedFinder(
        ground.database,
        ground.journal,
        watched,
        server,
        settings,
        Notices(configuration.notices, configuration.site.name),
        ground.registry,
        ground.pseudonyms,
        ground.now,
    )


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
