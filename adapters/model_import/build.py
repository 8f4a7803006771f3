"""`import_model`: from a model of another tool to a release bundle.

1. open the model and the statement beside it
2. read it into a description and weights of our own formats
3. try it on one window
4. build the release: manifest, code of `plugins/imported` and `models/importers`, weights,
   card, bill of materials

Read next: `models/importers/description.py`.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

from adapters.bill_of_materials import (
    Model,
    Party,
    bill_of_materials,
    datasets_of,
    party_of,
)
from adapters.model_import.card import write_card
from adapters.model_import.source import Opened, open_model, read_document
from adapters.model_import.statement import ReleaseStatement, read_release_statement
from adapters.release_members import CARD, SBOM, carried_code, library_pins
from adapters.writing import write_whole
from audit.errors import ModelImportError, NotFoundError
from governance.release import build, digest_of
from models.importers import description as descriptions
from models.importers import fields, monai_bundle, nnunet, single_file
from models.importers.probe import probe
from models.importers.source import Imported
from models.importers.statement import PLACE, Statement, read_statement
from plugins.host.artifact import WEIGHTS
from plugins.host.discovery import installed_plugins
from plugins.host.manifest import encode

PACKAGE, SUITE = "plugins.imported", "osteon"
ENTRY_POINT = f"{PACKAGE}.plugin:Imported"
STATEMENT = "osteon-model.yaml"
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_AT_IMPORT_ONLY = ("monai", "onnx")
_RESERVED = ("host", "imported")


def import_model(
    path: Path,
    statement_path: Path | None,
    out: Path,
    *,
    name: str | None = None,
    version: str | None = None,
) -> Path:
    """Make ``NAME-VERSION.osteon`` of a model in ``out`` and return its path.

    The same model and statement give the same bytes.

    Parameters
    ----------
    statement_path : the statement; None takes ``osteon-model.yaml`` in the model's folder.
    name, version : go before those of the statement.

    Raises
    ------
    NotFoundError : there is no model, or no statement.
    ModelImportError : a field is missing, not known or contradicts another one; nothing was
        written.
    """
    opened = open_model(path)
    document = _statement(path, statement_path, opened)
    stated = read_release_statement(document, name, version)
    _check_name(stated)
    imported = _read(opened, read_statement(document), document)
    probe(imported)
    raw = _bundle(stated, imported)
    target = out / f"{stated.name}-{stated.version}.osteon"
    write_whole(target, raw, make_folder=True)
    return target


def _statement(path: Path, statement_path: Path | None, opened: Opened) -> Mapping[str, Any]:
    if statement_path is not None:
        if not statement_path.is_file():
            raise NotFoundError(f"expected a statement at {statement_path.name}, found no file")
        content, label = statement_path.read_bytes(), statement_path.name
    elif STATEMENT in opened.source.files:
        content, label = opened.source.files[STATEMENT], STATEMENT
    else:
        raise NotFoundError(
            f"expected a statement of {path.name}, found none",
            advice=f"Write one (docs/import-a-model.md); name it with --statement, or put it "
            f"into the model's folder as {STATEMENT}.",
        )
    return fields.mapping(read_document(content, label), label)


def _read(opened: Opened, statement: Statement, document: Mapping[str, Any]) -> Imported:
    if opened.format == "onnx":
        return single_file.read_onnx(opened.content, statement, document)
    if opened.format == "torchscript":
        return single_file.read_torchscript(opened.content, statement, document)
    reader = monai_bundle.read if opened.format == "monai-bundle" else nnunet.read
    return reader(opened.source, statement)


def _check_name(stated: ReleaseStatement) -> None:
    """Refuse a name that another plugin has: a release of it would stand in its place."""
    if not _VERSION.fullmatch(stated.version):
        raise ModelImportError(f"{PLACE} version", "a version like 1.2.3", stated.version[:20])
    taken = {*_RESERVED, *(plugin.name for plugin in installed_plugins())}
    if stated.name in taken or not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", stated.name):
        known = ", ".join(sorted(taken))
        raise ModelImportError(
            f"{PLACE} name", f"a word like spleen_ct, other than {known}", stated.name[:40]
        )


def _bundle(stated: ReleaseStatement, imported: Imported) -> bytes:
    described = imported.description
    manifest = stated.manifest(described)
    members = carried_code(stated.name, PACKAGE, manifest.model_packages)
    pins = library_pins(members)
    for library in _AT_IMPORT_ONLY:
        pins.pop(library, None)
    if described.network.kind != "onnx":
        pins.pop("onnxruntime", None)
    members[CARD] = write_card(stated, described, imported.facts)
    for file, content in imported.weights.items():
        members[WEIGHTS + file] = content
    training = [_training(stated, file, fold) for fold, file in enumerate(imported.weights)]
    model = _model(stated, imported, members, training)
    members[SBOM] = bill_of_materials(stated.name, stated.version, party_of(SUITE), model)
    declaration = encode(manifest) | {
        "built_by": f"osteon {distribution_version('osteon')}",
        "entry_point": ENTRY_POINT,
        "runtime": {
            "python": ".".join(platform.python_version_tuple()[:2]),
            "pins": pins,
        },
        "training": training,
        "imported": descriptions.encode(described),
    }
    return build(declaration, members)


def _model(
    stated: ReleaseStatement,
    imported: Imported,
    members: Mapping[str, bytes],
    training: list[dict[str, Any]],
) -> Model:
    """Return what the bill says of the model: supplied by whom it was stated."""
    described = imported.description
    return Model(
        Party(stated.supplier, stated.licence),
        stated.intended_purpose,
        "segmentation",
        f"{described.format}, {described.network.kind}",
        {WEIGHTS + file: digest_of(members[WEIGHTS + file]) for file in imported.weights},
        {CARD: digest_of(members[CARD])},
        datasets_of(training),
        tuple(f"{channel.modality} as {channel.role}" for channel in described.channels),
        tuple(
            f"Segmentation {label.name} ({label.code.scheme} {label.code.value})"
            for label in described.outputs.labels
        ),
        stated.known_limits,
    )


def _training(stated: ReleaseStatement, file: str, fold: int) -> dict[str, Any]:
    training = stated.training
    return {
        "file": file,
        "role": stated.name,
        "fold": fold,
        "trained_on": list(training.patients),
        "patient_count": training.patient_count,
        "source": training.source,
        "licence": training.licence,
    }
