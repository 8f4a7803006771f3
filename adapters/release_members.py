"""What goes into a release, read from a plugin's working tree.

The plugin's package, the packages of ``models`` that its manifest names, its weights, its
card and criteria, and a bill of materials (SEAMS: Release).  What the code imports of
``plugins`` and ``models`` has to be among them, or the release would not behave the same
tomorrow.

Read next: `bill_of_materials.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from adapters.bill_of_materials import (
    Model,
    bill_of_materials,
    datasets_of,
    party_of,
    without_local,
)
from audit.errors import ReleaseError
from governance.release import digest_of
from models.weights import store
from plugins.host.artifact import CODE, WEIGHTS
from plugins.host.discovery import InstalledPlugin
from plugins.host.manifest import Manifest

CARD, CRITERIA, SBOM = "card.md", "criteria.json", "sbom.json"
RISK_REGISTER = "risk_register.json"
"""Kept beside the code and recorded at a site: it changes with what is learned, not with code."""
_NOT_MEMBERS = (CRITERIA, RISK_REGISTER)
_NOT_CODE = ("releases", "tests", "weights", "__pycache__")


def release_members(installed: InstalledPlugin, manifest: Manifest) -> dict[str, bytes]:
    """Return every member of a release from the working tree, by name.

    Raises
    ------
    ReleaseError : card or weights are missing, or the code imports something of the suite
        that the release would not carry.
    """
    folder = package_folder(installed.package)
    if not (folder / CARD).is_file():
        raise ReleaseError(f"expected {CARD} in the folder of plugin {manifest.plugin}, found none")
    members = carried_code(manifest.plugin, installed.package, manifest.model_packages)
    members[CARD] = (folder / CARD).read_bytes()
    if (folder / CRITERIA).is_file():
        members[CRITERIA] = (folder / CRITERIA).read_bytes()
    for name in manifest.weights:
        members[WEIGHTS + name] = _weight(name, weight_folders(installed, folder))
    members[SBOM] = bill_of_materials(
        manifest.plugin,
        manifest.version,
        party_of(installed.distribution),
        _model(installed, manifest, members) if manifest.weights else None,
    )
    return members


def carried_code(plugin: str, package: str, model_packages: Sequence[str]) -> dict[str, bytes]:
    """Return the code that a release of a plugin carries, by member name.

    Raises
    ------
    ReleaseError : it imports something of the suite that would not be carried.
    """
    members = {
        CODE + path: content
        for own in (package, *model_packages)
        for path, content in _package_files(own)
    }
    _check_closed(plugin, members)
    return members


def _model(installed: InstalledPlugin, manifest: Manifest, members: Mapping[str, bytes]) -> Model:
    """Return what the bill says of the model: supplied with the plugin, under its licence."""
    return Model(
        party_of(installed.distribution),
        manifest.intended_purpose,
        ", ".join(sorted({item.kind.lower() for item in manifest.outputs})),
        ", ".join(manifest.model_packages),
        {WEIGHTS + name: digest_of(members[WEIGHTS + name]) for name in manifest.weights},
        {name: digest_of(members[name]) for name in (CARD, CRITERIA) if name in members},
        datasets_of(training_of(manifest)),
        tuple(f"{item.modality} as {item.role}" for item in manifest.inputs),
        tuple(
            f"{item.kind} {item.name} ({item.code_scheme} {item.code_value})"
            for item in manifest.outputs
        ),
    )


def library_pins(members: Mapping[str, bytes]) -> dict[str, str]:
    """Return the installed version of every distribution that released code imports."""
    owners = _owners()
    tops = {module.split(".")[0] for name in _code(members) for module in _imports(members[name])}
    names = {owners[top][0] for top in tops | {"numpy"} if top in owners} - {"osteon"}
    return {name: without_local(version(name)) for name in sorted(names)}


@cache
def _owners() -> Mapping[str, list[str]]:
    """Return import name -> distributions; reading it takes a second."""
    return packages_distributions()


def training_of(manifest: Manifest) -> list[dict[str, Any]]:
    """Return what each weight file was trained on, as the index of weights says."""
    return [
        {
            "file": entry.file,
            "role": entry.role,
            "fold": entry.fold,
            "recipe_digest": entry.recipe_digest,
            "trained_on": list(entry.trained_on),
            "source": entry.source,
            "licence": entry.licence,
        }
        for entry in store.read_index()
        if entry.file in manifest.weights
    ]


def weight_folders(installed: InstalledPlugin, package: Path) -> tuple[Path, ...]:
    """Return where weights may lie; the first is where publishing puts them."""
    if installed.package.startswith("plugins."):
        return (store.FOLDER,)
    return (package / "weights",)


def package_folder(package: str) -> Path:
    """Return the folder of an import package, also of one without ``__init__.py``."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ReleaseError(f"expected an import package {package}, found none")
    places = [Path(place) for place in spec.submodule_search_locations]
    return next((place for place in places if place.is_dir()), places[0]).resolve()


def _weight(name: str, folders: tuple[Path, ...]) -> bytes:
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).read_bytes()
    raise ReleaseError(f"expected weights {name} in the working tree, found none")


def _package_files(package: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path below code/, content) of a package and of the packages around it."""
    parts = package.split(".")
    for end in range(1, len(parts)):
        outer = package_folder(".".join(parts[:end])) / "__init__.py"
        if outer.is_file():
            yield "/".join((*parts[:end], "__init__.py")), outer.read_bytes()
    folder = package_folder(package)
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        wanted = path.suffix == ".py" or (path.suffix == ".json" and path.name not in _NOT_MEMBERS)
        if path.is_file() and wanted and not set(inner.parts) & set(_NOT_CODE):
            yield "/".join((*parts, *inner.parts)), path.read_bytes()


def _check_closed(plugin: str, members: Mapping[str, bytes]) -> None:
    """Raise ReleaseError where released code imports of the suite what is not released."""
    files = [name.removeprefix(CODE).removesuffix(".py") for name in _code(members)]
    carried = {name.removesuffix("/__init__").replace("/", ".") for name in files}
    open_rooms = ("plugins.host", "governance", "audit")
    for name in _code(members):
        for module in _imports(members[name]):
            parts = module.split(".")
            if parts[0] not in ("plugins", "models", "adapters", "validation"):
                continue
            if module in open_rooms or module.startswith("plugins.host."):
                continue
            if ".".join(parts[:2]) not in carried and module not in carried:
                raise ReleaseError(
                    f"{name} of plugin {plugin} imports {module}, which the release does not carry",
                    advice="Name the package in the manifest's model_packages.",
                )


def _code(members: Mapping[str, bytes]) -> list[str]:
    return [name for name in sorted(members) if name.startswith(CODE) and name.endswith(".py")]


def _imports(source: bytes) -> set[str]:
    """Return the absolute module names that a source file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            bare = node.module in ("plugins", "models")  # from models import unet
            found.update(
                f"{node.module}.{alias.name}" if bare else node.module for alias in node.names
            )
    return found
