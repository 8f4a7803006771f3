"""The bill of materials of a release: CycloneDX 1.6, libraries and machine-learning model.

Libraries are those of ``constraints.txt`` where the suite runs from its repository, else the
distributions that are installed; their licences come from a table beside the pins.  A
release with weights has a component ``machine-learning-model`` with a model card: data,
inputs, outputs, purpose, limits, and where its performance is written.  What nobody stated
is not there, and `governance/components.py` finds it.  No time and no serial number are
written, so that the same release gives the same bytes.

cyclonedx-python-lib (11.12) has no model cards, so the document is written here; a test
holds it against the schema that the library carries.

Source: CycloneDX 1.6 JSON (ECMA-424); purl-spec, type ``pypi``.

Read next: `licences.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, distributions, version
from typing import Any

from packaging.requirements import Requirement

from adapters import licences
from adapters.licences import Licence
from governance.components import OPEN_SOURCE_MARK, is_open_source

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Party:
    """Who supplies something under which licence; ``unknown`` where nobody stated it."""

    supplier: str = UNKNOWN
    licence: str = UNKNOWN


@dataclass(frozen=True, slots=True)
class Dataset:
    """One source of training data."""

    name: str
    licence: str
    patient_count: int | None


@dataclass(frozen=True, slots=True)
class Model:
    """The machine-learning model of a release.

    Parameters
    ----------
    weights, documents : member name -> ``sha256:<hex>``.
    inputs, outputs : in words.
    task, architecture : in words; the latter empty where it is not stated.
    """

    party: Party
    purpose: str
    task: str
    architecture: str
    weights: Mapping[str, str]
    documents: Mapping[str, str]
    datasets: tuple[Dataset, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    limitations: tuple[str, ...] = ()


def bill_of_materials(
    plugin: str, plugin_version: str, product: Party, model: Model | None = None
) -> bytes:
    """Return the CycloneDX document of a plugin's release as JSON bytes.

    Parameters
    ----------
    product : of the plugin's code.
    model : where the release has weights.
    """
    reference = f"{plugin}@{plugin_version}"
    own: dict[str, Any] = {
        "type": "application",
        "bom-ref": reference,
        "name": plugin,
        "version": plugin_version,
        **_party(product),
    }
    components = [_library(name, pinned) for name, pinned in sorted(_pinned().items())]
    if model is not None:
        components.insert(0, _model(plugin, plugin_version, model))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
        "dependencies": [
            {"ref": reference, "dependsOn": [item["bom-ref"] for item in components]},
        ],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def party_of(distribution_name: str) -> Party:
    """Return supplier and licence as an installed distribution states them."""
    try:
        found = distribution(distribution_name)
    except PackageNotFoundError:
        return Party()
    licence = licences.licence_of(found)
    named = [licences.stated(found, key) for key in ("Author", "Maintainer", "Author-email")]
    supplier = next((name for name in named if name), UNKNOWN)
    return Party(supplier, licence.text if licence else UNKNOWN)


def datasets_of(training: Sequence[Mapping[str, Any]]) -> tuple[Dataset, ...]:
    """Return the sources of data that a manifest's training statement names, each once."""
    found: dict[tuple[str, str], Dataset] = {}
    for row in training:
        key = (str(row.get("source", UNKNOWN)), str(row.get("licence", UNKNOWN)))
        same = [r for r in training if (str(r.get("source")), str(r.get("licence"))) == key]
        patients = {name for r in same for name in r.get("trained_on", ())}
        stated = [r["patient_count"] for r in same if r.get("patient_count") is not None]
        found[key] = Dataset(*key, len(patients) or max(stated, default=None))
    return tuple(found[key] for key in sorted(found))


def without_local(text: str) -> str:
    """Return a version without its local part: ``2.13.0+cpu`` is ``2.13.0`` (PEP 440)."""
    return text.partition("+")[0]


def _model(plugin: str, plugin_version: str, model: Model) -> dict[str, Any]:
    """Return the component of the model with its card and its weight files."""
    reference = f"{plugin}-model@{plugin_version}"
    return {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": f"{plugin}-model",
        "version": plugin_version,
        "description": model.purpose,
        **_party(model.party),
        "externalReferences": [
            {"type": kind, "url": name, "hashes": [_hash(model.documents[name])]}
            for kind, name in (("model-card", "card.md"), ("quality-metrics", "criteria.json"))
            if name in model.documents
        ],
        "components": [
            {
                "type": "file",
                "bom-ref": f"{reference}/{name}",
                "name": name,
                "hashes": [_hash(digest)],
            }
            for name, digest in sorted(model.weights.items())
        ],
        "modelCard": _card(model),
    }


def _card(model: Model) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "task": model.task,
        "datasets": [_dataset(item) for item in model.datasets],
        "inputs": [{"format": text} for text in model.inputs],
        "outputs": [{"format": text} for text in model.outputs],
    }
    if model.architecture:
        parameters["modelArchitecture"] = model.architecture
    return {
        "modelParameters": parameters,
        "considerations": {
            "useCases": [model.purpose],
            "technicalLimitations": list(model.limitations),
        },
        "properties": [{"name": "osteon:performance", "value": "card.md"}],
    }


def _dataset(item: Dataset) -> dict[str, Any]:
    properties = [{"name": "osteon:licence", "value": item.licence}]
    if item.patient_count is not None:
        properties.append({"name": "osteon:patient-count", "value": str(item.patient_count)})
    return {
        "type": "dataset",
        "name": item.name,
        "contents": {"properties": properties},
    }


def _library(name: str, pinned: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{pinned}"
    licence = licences.licences().get(name)
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": pinned,
        "purl": purl,
        **_licence(licence),
    }


def _party(party: Party) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if party.supplier != UNKNOWN:
        found["supplier"] = {"name": party.supplier}
    if party.licence == UNKNOWN:
        return found
    open_source = is_open_source(party.licence)
    return {**found, **_licence(Licence(party.licence, open_source, open_source))}


def _licence(licence: Licence | None) -> dict[str, Any]:
    """Return ``licenses`` and the mark of open source; nothing where it is not known."""
    if licence is None:
        return {}
    choice = (
        {"expression": licence.text} if licence.is_spdx else {"license": {"name": licence.text}}
    )
    found: dict[str, Any] = {"licenses": [choice]}
    if licence.open_source:
        found["properties"] = [{"name": OPEN_SOURCE_MARK, "value": "true"}]
    return found


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}


def _pinned() -> dict[str, str]:
    """Return normalised distribution name -> version of what the suite needs to run.

    Tools of development and tests are pinned beside it and run nowhere: they are left out.
    """
    needed = _needed()
    found = {
        name: without_local(pinned)
        for name, pinned in licences.pins().items()
        if not needed or name in needed
    }
    if not found:
        return dict(_installed())
    if "torch" not in found:  # it is installed by itself, before the rest
        with suppress(PackageNotFoundError):
            found["torch"] = without_local(version("torch"))
    return found


def _needed() -> set[str]:
    """Return the distributions that the suite requires, and those that they require in turn."""
    waiting, found = [("osteon", frozenset[str]())], set[tuple[str, frozenset[str]]]()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        with suppress(PackageNotFoundError):
            for text in distribution(name).requires or ():
                needed = Requirement(text)
                asked = [{"extra": extra} for extra in extras or {""}]
                if needed.marker is None or any(needed.marker.evaluate(item) for item in asked):
                    waiting.append((licences.normal(needed.name), frozenset(needed.extras)))
    return {name for name, _ in found} - {"osteon"}


def _installed() -> Iterator[tuple[str, str]]:
    for item in distributions():
        name = licences.normal(str(item.metadata["Name"]))
        if name != "osteon":
            yield name, without_local(item.version)
