"""Read the checkpoints of nnU-Net v2 and turn them into safetensors of our own network.

nnU-Net saves some tensors under several names (a convolution as ``conv`` and within
``all_modules``; the encoder once more below the decoder).  The copies must be equal and
are left out.

Read next: `pickles.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.errors import ModelImportError
from models.importers import fields
from models.importers.networks.unet import Plan, UNet
from models.importers.pickles import read_checkpoint, state_of, to_safetensors

_COPY = re.compile(r"^(.*)\.all_modules\.\d+\.(weight|bias|running_\w+|num_batches_tracked)$")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One trained fold.

    Parameters
    ----------
    name : the fold's folder, e.g. ``fold_0``.
    mirror_axes : spatial axes over which nnU-Net mirrors at inference.
    state : tensors by nnU-Net's names.
    """

    name: str
    file: str
    configuration: str
    trainer: str
    mirror_axes: tuple[int, ...]
    state: Mapping[str, Any]


def read_fold(content: bytes, file: str) -> Checkpoint:
    """Return the checkpoint of one fold.

    Raises
    ------
    ModelImportError : it holds objects beyond plain tensors and values, or lacks a field.
    """
    checkpoint = fields.mapping(read_checkpoint(content, file), file)
    fields.present(checkpoint, "network_weights", f"{file}:", "tensors")
    arguments = fields.section(checkpoint, "init_args", f"{file}:")
    axes = checkpoint.get("inference_allowed_mirroring_axes") or ()
    return Checkpoint(
        file.partition("/")[0],
        file,
        fields.text(arguments, "configuration", f"{file}: init_args"),
        fields.text(checkpoint, "trainer_name", f"{file}:", "not stated"),
        fields.integers(axes, f"{file}: inference_allowed_mirroring_axes", 0),
        state_of(checkpoint, file),
    )


def weights_of(folds: Sequence[Checkpoint], plan: Plan, *, residual: bool) -> dict[str, bytes]:
    """Return a safetensors file for each fold, all of which fit the network of the plan.

    Raises
    ------
    ModelImportError : a tensor is missing, left over, or of another shape than the plan says.
    """
    expected = UNet(plan, residual=residual).state_dict()
    return {f"{fold.name}.safetensors": to_safetensors(_fitted(fold, expected)) for fold in folds}


def _fitted(fold: Checkpoint, expected: Mapping[str, Any]) -> dict[str, Any]:
    own = _without_copies(fold.state)
    missing, left = sorted(set(expected) - set(own)), sorted(set(own) - set(expected))
    if missing or left:
        named = ", ".join([*missing[:_SHOWN], *left[:_SHOWN]])
        raise ModelImportError(
            f"{fold.file}: network_weights",
            f"the {len(expected)} tensors of the network in plans.json",
            f"{len(missing)} missing and {len(left)} others: {named}",
        )
    for name, tensor in own.items():
        if tensor.shape != expected[name].shape:
            raise ModelImportError(
                f"{fold.file}: network_weights: {name}",
                f"the shape {tuple(expected[name].shape)} of plans.json",
                tuple(tensor.shape),
            )
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ModelImportError(f"{fold.file}: {name}", "finite numbers", "others")
    return {name: own[name].to(expected[name].dtype) for name in expected}


def _without_copies(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return each tensor once, under the first of its names."""
    found = {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith("decoder.encoder.") and not _COPY.match(name)
    }
    for name, tensor in state.items():
        match = _COPY.match(name)
        originals = [name.removeprefix("decoder.")]
        if match:
            originals = [f"{match.group(1)}.{part}.{match.group(2)}" for part in ("conv", "norm")]
        if name not in found and not any(_equal(tensor, state.get(own)) for own in originals):
            raise ModelImportError(f"network_weights: {name}", "a copy of another", "a new tensor")
    return found


def _equal(copy: Any, original: Any) -> bool:
    return original is not None and copy.shape == original.shape and bool((copy == original).all())
