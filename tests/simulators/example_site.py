"""A site on the example plugin: embedded PACS, FHIR folder, the whole path, no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from adapters.compose import Site, open_site
from adapters.config import Configuration
from adapters.governance.acts import waive
from adapters.governance.persons import DEMONSTRATOR
from adapters.home import Home
from adapters.published import sign_bundle
from adapters.release_builder import build_release
from adapters.rt.write_phantom import PhantomStudy, encode_limb
from validation.phantoms.limb import LimbParameters, limb


def configuration(root: Path, **changes: Any) -> Configuration:
    """Return the configuration of a site whose archive and FHIR target are folders."""
    document: dict[str, Any] = {
        "site": {"name": "test-site", "node": "node-a"},
        "trigger": {"quiet_time_s": 0.1, "poll_interval_s": 0.05},
        "engine": {"polling_interval_s": 0.05},
        "limits": {"free_space_mb": 16},
        "pacs": [{"name": "pacs", "kind": "folder", "path": str(root / "pacs")}],
        "targets": [
            {"name": "pacs", "kind": "pacs", "pacs": "pacs"},
            {"name": "fhir", "kind": "fhir-folder", "path": str(root / "fhir")},
        ],
    }
    return Configuration.model_validate(document | changes)


def prepare(root: Path, plugin: str = "example", **changes: Any) -> Home:
    """Make a home with one active release of a plugin built from the working tree."""
    home = Home(root / "home").create()
    with open_site(home, configuration=configuration(root, **changes)) as site:
        activate(site, plugin, root)
    return home


def activate(site: Site, plugin: str, folder: Path) -> str:
    """Build, sign, add and waive a release; return its digest."""
    bundle = sign_bundle(site.keys, build_release(plugin, folder), site.now())
    digest = site.registry.add(bundle).digest
    waive(site, digest, DEMONSTRATOR, "test", timedelta(days=1))
    return digest


def small_phantom(seed: int = 0, *, has_pet: bool = False) -> tuple[str, tuple[bytes, ...]]:
    """Return study UID and Part 10 files of a coarse phantom: few, small slices."""
    phantom = limb(
        LimbParameters(
            seed=seed,
            has_pet=has_pet,
            margin_mm=(15.0, 30.0, 30.0),
            ct_spacing_mm=(6.0, 3.0, 3.0),
        )
    )
    study = PhantomStudy(name=f"small-{seed}")
    return study.uid(phantom, "study"), tuple(encode_limb(phantom, study).values())


@contextmanager
def served(home: Home, root: Path, **changes: Any) -> Iterator[tuple[Site, Callable[[], None]]]:
    """Open the site and its engine; yield it with the function that does what is due."""
    from adapters.engine.serving import serving

    with (
        open_site(home, configuration=configuration(root, **changes)) as site,
        serving(site) as turn,
    ):
        yield site, turn
