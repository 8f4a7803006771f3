"""Read a MONAI bundle: configs/metadata.json, configs/inference.json, models/model.ts or .pt.

The preprocessing, the inferer and the postprocessing are read from the configuration and
become steps of our own; nothing of the bundle is executed.  A TorchScript model is taken as
it is.  A state dict needs its network: the class is built from MONAI (at import only),
filled, and kept as an exported program without any pickle.

Source: MONAI 1.6, "MONAI Bundle Specification".

Read next: `monai_config.py`, `monai_steps.py`, `monai_network.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.errors import ModelImportError
from models.importers import fields
from models.importers.description import Channel, Description, Inference, Network, Outputs
from models.importers.monai_config import Config
from models.importers.monai_network import exported_network
from models.importers.monai_steps import Decision, read_postprocessing, read_preprocessing
from models.importers.source import Imported, Source
from models.importers.statement import Statement, chosen_explanation, matched, without

METADATA = "configs/metadata.json"
INFERENCE = tuple(f"configs/inference.{ending}" for ending in ("json", "yaml", "yml"))
SCRIPT, STATE = "models/model.ts", "models/model.pt"
_INFERER = ("roi_size", "sw_batch_size", "overlap", "mode", "padding_mode", "cval", "sigma_scale")
_OF_MACHINE = ("sw_device", "device", "progress", "cache_roi_weight_map", "cpu_thresh")


def read(source: Source, statement: Statement) -> Imported:
    """Return the model of a bundle.

    Raises
    ------
    ModelImportError : a field of the bundle or the statement is missing, not known here, or
        contradicts another one.
    """
    without(statement.preprocessing, "preprocessing", ("orientation",), "the bundle says it")
    without(statement.inference, "inference", (), "the bundle says it")
    without(statement.outputs, "outputs", ("labels", "ignored"), "the bundle says it")
    metadata = fields.mapping(source.document(METADATA), METADATA)
    name = next((name for name in INFERENCE if name in source.documents), INFERENCE[0])
    config = Config(fields.mapping(source.document(name), name), name)
    channels = _channels(statement, metadata)
    steps = read_preprocessing(config, len(channels), statement)
    names = _output_channels(metadata)
    count = len(names)
    decision = read_postprocessing(config, count)
    labels = matched(statement, _structures(names, decision), METADATA)
    outputs = Outputs(
        count,
        decision.activation,
        "before",
        decision.decision,
        decision.threshold,
        (),
        labels,
        tuple(label.name for label in labels if set(label.values) & set(decision.largest)),
    )
    inference = _inference(config)
    if SCRIPT in source.files:
        kind, file, content = "torchscript", "model.ts", source.file(SCRIPT)
    else:
        window = (len(channels), *inference.patch)
        kind, file = "exported", "model.pt2"
        content = exported_network(config, source.file(STATE), STATE, window)
    description = Description(
        "monai-bundle",
        channels,
        steps,
        Network(kind, (file,), {}),
        inference,
        outputs,
        chosen_explanation(statement, kind, inference.patch),
    )
    return Imported(description, {file: content}, _facts(metadata))


def _channels(statement: Statement, metadata: Mapping[str, Any]) -> tuple[Channel, ...]:
    """Return the stated inputs after comparing them with network_data_format."""
    place = f"{METADATA}: network_data_format"
    formats = fields.section(metadata, "network_data_format", f"{METADATA}:")
    image = fields.section(fields.section(formats, "inputs", place), "image", f"{place}.inputs")
    count = fields.integer(image.get("num_channels"), f"{place}.inputs.image.num_channels", 1)
    if count != len(statement.channels):
        raise ModelImportError(
            "statement: inputs", f"{count} channels as in metadata.json", len(statement.channels)
        )
    stated = str(image.get("modality", "")).upper()
    for index, channel in enumerate(statement.channels):
        words = {"CT": ("CT",), "PT": ("PT", "PET"), "MR": ("MR", "MRI")}[channel.modality]
        known = [word for word in ("CT", "PT", "PET", "MR", "MRI") if word in stated.split()]
        if count == 1 and known and not set(known) & set(words):
            raise ModelImportError(
                f"statement: inputs[{index}].modality", f"{known[0]} as in metadata.json", words[0]
            )
    return statement.channels


def _output_channels(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the output channels in their order."""
    place = f"{METADATA}: network_data_format.outputs.pred"
    formats = fields.section(metadata, "network_data_format", f"{METADATA}:")
    outputs = fields.section(formats, "outputs", f"{METADATA}: network_data_format")
    pred = fields.section(outputs, "pred", f"{METADATA}: network_data_format.outputs")
    count = fields.integer(pred.get("num_channels"), f"{place}.num_channels", 1)
    named = fields.section(pred, "channel_def", place)
    if sorted(named) != sorted(str(index) for index in range(count)):
        raise ModelImportError(
            f"{place}.channel_def", f"the channels 0 to {count - 1}", ", ".join(sorted(named))
        )
    names = tuple(str(named[str(index)]) for index in range(count))
    if len(set(names)) != count:
        raise ModelImportError(f"{place}.channel_def", "different names", "one name twice")
    return names


def _structures(names: Sequence[str], decision: Decision) -> dict[str, tuple[int, ...]]:
    """Return structure -> its value: the channel itself, counted from 1 where it may overlap."""
    empty = [index for index, name in enumerate(names) if name.strip().lower() == "background"]
    if decision.decision == "argmax" and empty != [0]:
        place = f"{METADATA}: network_data_format.outputs.pred.channel_def.0"
        raise ModelImportError(place, "background, as the largest channel decides", names[0][:40])
    shift = int(decision.decision == "threshold")
    return {name: (index + shift,) for index, name in enumerate(names) if index not in empty}


def _inference(config: Config) -> Inference:
    """Return the windows of MONAI's sliding-window inferer."""
    name, arguments = config.component(config.value("inferer"), "inferer")
    place = f"{config.name}: inferer"
    if name not in ("SlidingWindowInferer", "SlidingWindowInfererAdapt"):
        raise ModelImportError(place, "SlidingWindowInferer", name[:40])
    fields.only(arguments, (*_INFERER, *_OF_MACHINE), place)
    values = {
        key: config.plain(item, f"inferer::{key}")
        for key, item in arguments.items()
        if key in _INFERER
    }
    for key, usual in (("padding_mode", "constant"), ("cval", 0.0), ("sigma_scale", 0.125)):
        if values.get(key, usual) != usual:
            raise ModelImportError(f"{place}::{key}", str(usual), fields.shown(values[key]))
    sizes = values.get("roi_size")
    patch = fields.integers(
        [sizes] * 3 if isinstance(sizes, int) else sizes, f"{place}::roi_size", 1
    )
    if len(patch) != 3:
        raise ModelImportError(f"{place}::roi_size", "three sizes", len(patch))
    mode = fields.choice(values, "mode", place, ("constant", "gaussian"), "constant")
    return Inference(
        (patch[0], patch[1], patch[2]),
        "interval",
        fields.number(values.get("overlap", 0.25), f"{place}::overlap", 0.0, 0.95),
        "gaussian-monai" if mode == "gaussian" else "constant",
    )


def _facts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what the bundle says of itself, as text."""
    wanted = {
        "name": "name", "version": "version", "authors": "authors", "copyright": "copyright",
        "data_source": "data", "monai_version": "monai", "intended_use": "intended use",
        "description": "description", "task": "task",
    }  # fmt: skip
    found = {
        word: str(metadata[key])[:500]
        for key, word in wanted.items()
        if isinstance(metadata.get(key), (str, int, float))
    }
    return {"tool": "MONAI bundle", **found}
