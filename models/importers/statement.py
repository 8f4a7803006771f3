"""What a person states of a model: inputs, structures with codes, and what its files leave open.

A model knows that its second channel is "spleen"; it does not know a coded concept, or
that PET comes in SUV.  The statement is a short YAML document (docs/import-a-model.md).
Its parts on purpose, envelope and supplier are read where the release is built.

Read next: `nnunet.py`, `monai_bundle.py`, `single_file.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.errors import ModelImportError
from models.importers import fields
from models.importers.description import EXPLANATIONS, MODALITIES, TYPES, Channel, Concept, Label

PLACE = "statement:"
LARGEST_EXPLAINED_VOXELS = 96**3
"""About 40 evaluations of a window explain a finding; on two cores a larger one takes minutes."""
_ANATOMY = Concept("91723000", "SCT", "Anatomical Structure")
_ABNORMAL = Concept("49755003", "SCT", "Morphologically Abnormal Structure")
_SPATIAL = Concept("309825002", "SCT", "Spatial and Relational Concept")
CATEGORIES = {"GTV": _ABNORMAL, "CTV": _SPATIAL, "PTV": _SPATIAL}
"""Interpreted type -> segmented property category (PS3.16 CID 7150); else the first."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The parts of a statement that concern the network.

    Parameters
    ----------
    labels : (the model's own name or number of a structure, the label), in order.
    ignored : structures of the model that are not given on.
    preprocessing, inference, outputs, tool : sections as they stand, empty where absent.
    explanation : one of `EXPLANATIONS`, or ``auto``.
    """

    channels: tuple[Channel, ...]
    labels: tuple[tuple[str, Label], ...]
    ignored: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    inference: Mapping[str, Any]
    outputs: Mapping[str, Any]
    explanation: str


def read_statement(document: Mapping[str, Any]) -> Statement:
    """Return the statement of a model.

    Raises
    ------
    ModelImportError : a field is missing or of another kind.
    """
    inputs = fields.listed(fields.present(document, "inputs", PLACE, "a list"), f"{PLACE} inputs")
    outputs = fields.section(document, "outputs", PLACE)
    place = f"{PLACE} outputs"
    fields.only(outputs, ("labels", "ignored", "activation", "threshold", "channels"), place)
    labels = fields.listed(fields.present(outputs, "labels", place, "a list"), f"{place}.labels")
    ignored = fields.listed(outputs.get("ignored", ()), f"{place}.ignored")
    sections = {
        key: fields.mapping(document.get(key) or {}, f"{PLACE} {key}")
        for key in ("preprocessing", "inference")
    }
    return Statement(
        tuple(_channel(item, index) for index, item in enumerate(inputs)),
        tuple(_label(item, index) for index, item in enumerate(labels)),
        tuple(str(name) for name in ignored),
        **sections,
        outputs=outputs,
        explanation=fields.choice(document, "explanation", PLACE, (*EXPLANATIONS, "auto"), "auto"),
    )


def matched(
    statement: Statement, known: Mapping[str, tuple[int, ...]], place: str
) -> tuple[Label, ...]:
    """Return the labels with the values that the model gives them.

    Parameters
    ----------
    known : the model's own name of each structure -> its values; without background.
    place : where the names stand, for messages.

    Raises
    ------
    ModelImportError : a structure of the model is not stated, or a stated one is not there.
    """
    own = [name for name, _ in statement.labels]
    for name in (*own, *statement.ignored):
        if name not in known:
            found = ", ".join(known) or fields.NOTHING
            raise ModelImportError(
                f"{PLACE} outputs: {name[:40]}", f"a structure of {place}", found
            )
    for name in known:
        if (name in own) == (name in statement.ignored):
            state = "both" if name in own else "neither"
            raise ModelImportError(
                f"{PLACE} outputs: {name[:40]}",
                f"the structure of {place} among `labels` with its code, or among `ignored`",
                state,
            )
    return tuple(
        Label(label.name, known[name], label.code, label.category, label.interpreted_type)
        for name, label in statement.labels
    )


def without(section: Mapping[str, Any], name: str, allowed: Sequence[str], reason: str) -> None:
    """Refuse what a statement says although the model itself says it."""
    for key in section:
        if key not in allowed:
            raise ModelImportError(f"{PLACE} {name}.{key}", f"nothing, as {reason}", "a value")


def _channel(item: Any, index: int) -> Channel:
    place = f"{PLACE} inputs[{index}]"
    values = fields.mapping(item, place)
    fields.only(values, ("role", "modality", "unit", "normalise", "minimum_instances"), place)
    modality = fields.choice(values, "modality", place, tuple(MODALITIES))
    unit, outside = MODALITIES[modality]
    if modality == "PT" and values.get("unit") is None:
        raise ModelImportError(f"{place}.unit", f"{unit} (SUV by body weight)", fields.NOTHING)
    stated = fields.text(values, "unit", place, unit)
    return Channel(fields.text(values, "role", place), modality, stated, outside)


def _label(item: Any, index: int) -> tuple[str, Label]:
    place = f"{PLACE} outputs.labels[{index}]"
    values = fields.mapping(item, place)
    fields.only(values, ("from", "name", "code", "category", "type"), place)
    own = values.get("from", values.get("name"))
    if not isinstance(own, (str, int)) or isinstance(own, bool):
        raise ModelImportError(
            f"{place}.from", "the model's name or number of it", fields.shown(own)
        )
    kind = fields.choice(values, "type", place, TYPES, "ORGAN")
    category = (
        concept(values, "category", place)
        if "category" in values
        else CATEGORIES.get(kind, _ANATOMY)
    )
    label = Label(
        fields.text(values, "name", place), (1,), concept(values, "code", place), category, kind
    )
    return str(own), label


def chosen_explanation(statement: Statement, kind: str, patch: Sequence[int]) -> str:
    """Return how findings are explained; ``auto`` explains where a window is small enough.

    Integrated gradients need a network that autograd can follow, which ONNX is not.
    """
    wanted = statement.explanation
    if wanted == "auto":
        if math.prod(patch) > LARGEST_EXPLAINED_VOXELS:
            return "none"
        return "occlusion" if kind == "onnx" else "integrated-gradients"
    if wanted == "integrated-gradients" and kind == "onnx":
        raise ModelImportError(
            f"{PLACE} explanation", "occlusion or none, as ONNX has no gradients", wanted
        )
    return wanted


def concept(document: Mapping[str, Any], key: str, place: str) -> Concept:
    """Return the coded concept under a key."""
    if document.get(key) is None:
        raise ModelImportError(
            fields.join(place, key), "a code: {value, scheme, meaning}", fields.NOTHING
        )
    values = fields.section(document, key, place)
    inner = fields.join(place, key)
    fields.only(values, ("value", "scheme", "meaning"), inner)
    return Concept(
        fields.text({"value": _as_text(values.get("value"))}, "value", inner),
        fields.text(values, "scheme", inner),
        fields.text(values, "meaning", inner),
    )


def _as_text(value: Any) -> Any:
    """Return a code that YAML took for a number as its text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
