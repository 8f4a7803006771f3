"""Read a trained-model folder of nnU-Net v2: plans.json, dataset.json, fold_*/checkpoint_*.pth.

The plans say everything that inference needs; nnU-Net itself is not used, nor its trainer.
What its inference does is described in `steps.py`, `resampling.py` and `windows.py`; the
parity with the original is measured by a test (tests/models/test_nnunet_parity.py).

Source: Isensee et al. 2021 (doi 10.1038/s41592-020-01008-z); nnunetv2 2.8.

Read next: `nnunet_plans.py`, `nnunet_weights.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from audit.errors import ModelImportError
from models.importers import fields
from models.importers.description import Channel, Description, Inference, Network, Outputs
from models.importers.networks.unet import Plan
from models.importers.nnunet_plans import Configuration, configuration_of
from models.importers.nnunet_weights import Checkpoint, read_fold, weights_of
from models.importers.source import Imported, Source
from models.importers.statement import Statement, chosen_explanation, matched, without

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
_FOLD = re.compile(r"(fold_(\d+|all))/([\w.-]+\.pth)")
_CT = "CTNormalization"


def read(source: Source, statement: Statement) -> Imported:
    """Return the model of a trained-model folder.

    The folds that have a checkpoint become the members of an ensemble.  ``inference`` of the
    statement may choose: ``checkpoint`` (a file name), ``folds`` (numbers), ``overlap`` and
    ``mirror`` (false switches test-time mirroring off).

    Raises
    ------
    ModelImportError : a field of plans, dataset, checkpoint or statement is missing, not
        known here, or contradicts another one.
    """
    plans = fields.mapping(source.document(PLANS), PLANS)
    dataset = fields.mapping(source.document(DATASET), DATASET)
    without(statement.preprocessing, "preprocessing", (), "plans.json says it")
    chosen = ("checkpoint", "folds", "overlap", "mirror")
    without(statement.inference, "inference", chosen, "plans.json says it")
    without(statement.outputs, "outputs", ("labels", "ignored"), "dataset.json says it")
    folds = _folds(source, statement)
    name = _agreed(folds, "configuration")
    configuration = configuration_of(plans, name)
    channels = _channels(statement, dataset, configuration)
    outputs = _outputs(statement, dataset)
    plan = configuration.plan(len(channels), outputs.channel_count)
    weights = weights_of(folds, plan, residual=configuration.residual)
    description = Description(
        "nnunet-v2",
        channels,
        configuration.steps(),
        _network(configuration, plan, tuple(weights)),
        _inference(configuration, statement, folds),
        outputs,
        chosen_explanation(statement, "plain-unet", configuration.patch),
    )
    facts = {
        "tool": "nnU-Net v2",
        "configuration": name,
        "trainer": _agreed(folds, "trainer"),
        "dataset": fields.text(plans, "dataset_name", PLANS, "not stated"),
        "folds": ", ".join(fold.name for fold in folds),
    }
    return Imported(description, weights, facts)


def _folds(source: Source, statement: Statement) -> list[Checkpoint]:
    """Return the checkpoints of the wanted folds, by fold."""
    found: dict[str, dict[str, str]] = {}
    for name in sorted(source.files):
        match = _FOLD.fullmatch(name)
        if match:
            found.setdefault(match.group(3), {})[match.group(2)] = name
    wanted = statement.inference.get("checkpoint")
    file = wanted or next((name for name in CHECKPOINTS if name in found), None)
    if file not in found:
        expected = wanted or " or ".join(CHECKPOINTS)
        raise ModelImportError("fold_*/", f"a checkpoint {expected}", ", ".join(found) or "none")
    folds = statement.inference.get("folds")
    chosen = list(found[file]) if folds is None else [str(fold) for fold in folds]
    for fold in chosen:
        if fold not in found[file]:
            raise ModelImportError(f"fold_{fold[:9]}/", f"a checkpoint {file}", "no such file")
    return [read_fold(source.file(found[file][fold]), found[file][fold]) for fold in chosen]


def _agreed(folds: Sequence[Checkpoint], key: str) -> str:
    """Return what all folds state; they are one ensemble only where they agree."""
    values = sorted({getattr(fold, key) for fold in folds})
    if len(values) != 1:
        raise ModelImportError(f"fold_*: {key}", "the same in every fold", ", ".join(values))
    return str(values[0])


def _channels(
    statement: Statement, dataset: Mapping[str, Any], configuration: Configuration
) -> tuple[Channel, ...]:
    """Return the stated inputs after comparing them with the data the network was trained on."""
    names = fields.section(dataset, "channel_names", f"{DATASET}:")
    channels = statement.channels
    if len(channels) != len(names):
        raise ModelImportError(
            "statement: inputs", f"{len(names)} channels as in dataset.json", len(channels)
        )
    for index, channel in enumerate(channels):
        own = str(names.get(str(index), ""))
        scheme = configuration.normalisations[index]
        is_ct = own.upper() == "CT" or scheme == _CT
        if is_ct != (channel.modality == "CT"):
            raise ModelImportError(
                f"statement: inputs[{index}].modality",
                f"{'CT' if is_ct else 'another than CT'} (channel {own[:20]!r}, {scheme})",
                channel.modality,
            )
    return channels


def _outputs(statement: Statement, dataset: Mapping[str, Any]) -> Outputs:
    """Return the structures after dataset.json: labels, or regions made of several labels."""
    stated = fields.section(dataset, "labels", f"{DATASET}:")
    place = f"{DATASET}: labels"
    known: dict[str, tuple[int, ...]] = {}
    for name, value in stated.items():
        items = value if isinstance(value, list) else [value]
        known[name] = fields.integers(items, f"{place}.{name[:40]}", 0)
    background = known.pop("background", None)
    if background != (0,):
        raise ModelImportError(f"{place}.background", "0", background)
    known.pop("ignore", None)
    labels = matched(statement, known, "dataset.json")
    if not any(len(values) > 1 for values in known.values()):
        single = {name: values[0] for name, values in known.items()}
        if sorted(single.values()) != list(range(1, len(single) + 1)):
            raise ModelImportError(place, f"the values 1 to {len(single)}", sorted(single.values()))
        return Outputs(len(single) + 1, "softmax", "after", "argmax", 0.5, (), labels)
    order = fields.integers(
        fields.present(dataset, "regions_class_order", f"{DATASET}:", "a list, as regions have"),
        f"{DATASET}: regions_class_order",
        1,
    )
    if len(order) != len(known):
        raise ModelImportError(
            f"{DATASET}: regions_class_order", f"{len(known)} values, one a region", len(order)
        )
    written = tuple(
        replace(label, values=tuple(value for value in label.values if value in order))
        for label in labels
    )
    return Outputs(len(known), "sigmoid", "after", "threshold", 0.5, order, written)


def _network(configuration: Configuration, plan: Plan, files: tuple[str, ...]) -> Network:
    kind = "residual-unet" if configuration.residual else "plain-unet"
    return Network(kind, files, json.loads(json.dumps(asdict(plan))))


def _inference(
    configuration: Configuration, statement: Statement, folds: Sequence[Checkpoint]
) -> Inference:
    """Return the windows of the plans; nnU-Net's own default overlap is one half."""
    axes = {fold.mirror_axes for fold in folds}
    if len(axes) != 1:
        raise ModelImportError("fold_*: inference_allowed_mirroring_axes", "one set", len(axes))
    mirror = fields.flag(statement.inference, "mirror", "statement: inference", True)
    overlap = statement.inference.get("overlap", 0.5)
    shift = 1 if configuration.planar else 0
    return Inference(
        configuration.patch,
        "even",
        fields.number(overlap, "statement: inference.overlap", 0.0, 0.95),
        "gaussian-nnunet",
        tuple(axis + shift for axis in axes.pop()) if mirror else (),
        planar=configuration.planar,
    )
