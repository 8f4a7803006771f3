"""Read an ONNX or TorchScript file with a statement of everything that it does not know.

The file has a network and nothing else, so orientation, spacing, intensities, window,
activation and structures are all stated.  Operators beyond the standard and weights outside
of an ONNX file are refused.

Read next: `statement.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.errors import ModelImportError
from models.importers import fields
from models.importers.description import (
    ACTIVATIONS,
    Description,
    Inference,
    Label,
    Network,
    Outputs,
)
from models.importers.normalisation import METHODS, Normalisation
from models.importers.source import Imported
from models.importers.statement import Statement, chosen_explanation
from models.importers.steps import Crop, Normalise, Orient, Resample, Step

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_PREPROCESSING = ("orientation", "spacing_mm", "crop")
_INFERENCE = ("patch", "overlap", "blend", "mirror_axes")
_NORMALISE = ("method", "low", "high", "mean", "deviation", "to_low", "to_high", "clip")


def read_onnx(content: bytes, statement: Statement, document: Mapping[str, Any]) -> Imported:
    """Return the model of an ONNX file; ``document`` is the statement as it stands."""
    _check_onnx(content)
    return _imported("onnx", "model.onnx", content, statement, document)


def read_torchscript(content: bytes, statement: Statement, document: Mapping[str, Any]) -> Imported:
    """Return the model of a TorchScript file; ``document`` is the statement as it stands."""
    return _imported("torchscript", "model.ts", content, statement, document)


def _imported(
    kind: str, file: str, content: bytes, statement: Statement, document: Mapping[str, Any]
) -> Imported:
    inference = _inference(statement.inference)
    description = Description(
        kind,
        statement.channels,
        _steps(statement, document),
        Network(kind, (file,), {}),
        inference,
        _outputs(statement),
        chosen_explanation(statement, kind, inference.patch),
    )
    return Imported(description, {file: content}, {"tool": kind})


def _steps(statement: Statement, document: Mapping[str, Any]) -> tuple[Step, ...]:
    """Return orientation, crop, spacing, intensities: in this order."""
    values, place = statement.preprocessing, "statement: preprocessing"
    fields.only(values, _PREPROCESSING, place)
    spacing = fields.triple(
        fields.present(values, "spacing_mm", place, "three sizes"), f"{place}.spacing_mm", 0.0
    )
    steps: list[Step] = [Orient(fields.text(values, "orientation", place))]
    crop = fields.choice(values, "crop", place, ("none", "nonzero", "positive"), "none")
    if crop != "none":
        steps.append(Crop(crop))
    rules = [
        _normalisation(item, f"statement: inputs[{index}]")
        for index, item in enumerate(document["inputs"])
    ]
    return (*steps, Resample(spacing, "centres"), Normalise(tuple(rules)))


def _normalisation(item: Mapping[str, Any], place: str) -> Normalisation:
    values = fields.section(item, "normalise", place)
    fields.only(values, _NORMALISE, f"{place}.normalise")
    fields.choice(values, "method", f"{place}.normalise", METHODS)
    return Normalisation(**values)


def _inference(values: Mapping[str, Any]) -> Inference:
    place = "statement: inference"
    fields.only(values, _INFERENCE, place)
    patch = fields.integers(
        fields.present(values, "patch", place, "three sizes"), f"{place}.patch", 1
    )
    if len(patch) != 3:
        raise ModelImportError(f"{place}.patch", "three sizes", len(patch))
    blend = fields.choice(values, "blend", place, ("constant", "gaussian"), "gaussian")
    return Inference(
        (patch[0], patch[1], patch[2]),
        "interval",
        fields.number(values.get("overlap", 0.5), f"{place}.overlap", 0.0, 0.95),
        "gaussian-monai" if blend == "gaussian" else "constant",
        fields.integers(values.get("mirror_axes", ()), f"{place}.mirror_axes"),
    )


def _outputs(statement: Statement) -> Outputs:
    """Return the structures: values of the largest channel, or channels over a threshold."""
    values, place = statement.outputs, "statement: outputs"
    activation = fields.choice(values, "activation", place, ACTIVATIONS)
    count = fields.integer(
        fields.present(values, "channels", place, "the number of output channels"),
        f"{place}.channels",
        1,
        4096,
    )
    labels = []
    for own, label in statement.labels:
        if not own.isdigit():
            raise ModelImportError(f"{place}: {label.name}: from", "a number", own[:40])
        value = (int(own),)
        labels.append(Label(label.name, value, label.code, label.category, label.interpreted_type))
    threshold = values.get("threshold")
    if activation == "sigmoid" and threshold is None:
        raise ModelImportError(f"{place}.threshold", "a number, as channels are", fields.NOTHING)
    if threshold is None:
        return Outputs(count, activation, "after", "argmax", 0.5, (), tuple(labels))
    limit = fields.number(threshold, f"{place}.threshold", 0.0, 1.0)
    return Outputs(count, activation, "after", "threshold", limit, (), tuple(labels))


def _check_onnx(content: bytes) -> None:
    """Return when an ONNX file may be taken.

    Raises
    ------
    ModelImportError : it is no ONNX file, has weights elsewhere or foreign operators, or
        its one input is not a batch of three-dimensional images.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelImportError(
            "ONNX file",
            "the library onnx, to look into it",
            "no such library",
            advice="Install the extra `importers`: pip install 'osteon[importers]'.",
        ) from error
    try:
        model = onnx.load_model_from_string(content)
        tensors = [*model.graph.initializer, *_tensors_of(model.graph)]
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
            raise ModelImportError("ONNX file: weights", "in the file itself", "in other files")
        onnx.checker.check_model(model)
    except ModelImportError:
        raise
    except Exception as error:  # protobuf and checker errors share no base but Exception
        raise ModelImportError("ONNX file", "a valid ONNX model", type(error).__name__) from error
    strangers = sorted({item.domain for item in model.opset_import} - set(_DOMAINS))
    if strangers:
        raise ModelImportError("ONNX file: operators", "the standard ones", ", ".join(strangers))
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in weights]
    if len(inputs) != 1:
        raise ModelImportError("ONNX file: inputs", "one tensor", len(inputs))
    shape = inputs[0].type.tensor_type.shape.dim
    if len(shape) != 5:
        raise ModelImportError(
            "ONNX file: input", "five axes (windows, channels, three sizes)", len(shape)
        )


def _tensors_of(graph: Any) -> list[Any]:
    """Return tensors that are attributes of nodes, also of graphs within."""
    found = []
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t, *attribute.tensors]
            for inner in [attribute.g, *attribute.graphs]:
                found += [*inner.initializer, *_tensors_of(inner)]
    return found
