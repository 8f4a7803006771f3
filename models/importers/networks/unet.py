"""The two U-Nets that nnU-Net v2 plans name, rebuilt from the plan's numbers.

``plain-unet`` is nnU-Net's PlainConvUNet, ``residual-unet`` its ResidualEncoderUNet; both
have a decoder of transposed convolutions and concatenated skips, of which only the finest
output is computed here (the coarser ones serve training).  `Plan` is what the manifest
carries; it is checked before a network is built, because it comes from a stranger.

Read next: `../nnunet_weights.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from models.importers import fields
from models.importers.networks.blocks import ConvStack, ResidualStack, Style

LARGEST_WIDTH = 4096
MOST_STAGES = 10
_ARGUMENTS = (
    *("dimensions", "inputs", "outputs", "features", "kernels", "strides", "encoder"),
    *("decoder", "bias", "norm", "norm_eps", "norm_affine", "activation", "slope"),
    *("activation_first", "stem"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The numbers of a U-Net.

    Parameters
    ----------
    features, kernels, strides, encoder : by stage, finest first; ``encoder`` counts
        convolutions or residual blocks, ``decoder`` convolutions, coarsest first.
    norm : instance, batch or none.
    activation : leaky-relu, relu or none.
    stem : width of the residual encoder's first convolution; None takes that of stage 0.
    """

    dimensions: int
    inputs: int
    outputs: int
    features: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    bias: bool
    norm: str
    norm_eps: float
    norm_affine: bool
    activation: str
    slope: float
    activation_first: bool = False
    stem: int | None = None

    def style(self) -> Style:
        """Return what all blocks share."""
        three = self.dimensions == 3
        norms: dict[str, Any] = {
            "instance": nn.InstanceNorm3d if three else nn.InstanceNorm2d,
            "batch": nn.BatchNorm3d if three else nn.BatchNorm2d,
        }
        kind = norms.get(self.norm)
        make = partial(kind, eps=self.norm_eps, affine=self.norm_affine) if kind else None
        activations: dict[str, Any] = {
            "leaky-relu": partial(nn.LeakyReLU, self.slope),
            "relu": nn.ReLU,
        }
        return Style(
            self.dimensions,
            self.bias,
            make,
            activations.get(self.activation),
            self.activation_first,
        )


def decode_plan(document: Mapping[str, Any], place: str = "network:") -> Plan:
    """Return the plan that a document states.

    Raises
    ------
    ModelImportError : a number is missing, beyond reason, or does not fit the others.
    """
    fields.only(document, _ARGUMENTS, place)
    dimensions = fields.integer(document.get("dimensions"), f"{place} dimensions", 2, 3)
    features = fields.integers(document.get("features"), f"{place} features", 1)
    stages = fields.integer(len(features), f"{place} stages", 2, MOST_STAGES)
    fields.integer(max(features), f"{place} features", 1, LARGEST_WIDTH)
    return Plan(
        dimensions,
        fields.integer(document.get("inputs"), f"{place} inputs", 1, LARGEST_WIDTH),
        fields.integer(document.get("outputs"), f"{place} outputs", 1, LARGEST_WIDTH),
        features,
        _sizes(document.get("kernels"), f"{place} kernels", stages, dimensions),
        _sizes(document.get("strides"), f"{place} strides", stages, dimensions),
        _counts(document.get("encoder"), f"{place} encoder", stages),
        _counts(document.get("decoder"), f"{place} decoder", stages - 1),
        fields.flag(document, "bias", place, True),
        fields.choice(document, "norm", place, ("instance", "batch", "none")),
        fields.number(document.get("norm_eps", 1e-5), f"{place} norm_eps", 0.0, 1.0),
        fields.flag(document, "norm_affine", place, True),
        fields.choice(document, "activation", place, ("leaky-relu", "relu", "none")),
        fields.number(document.get("slope", 0.01), f"{place} slope", -1.0, 1.0),
        fields.flag(document, "activation_first", place, False),
        None
        if document.get("stem") is None
        else fields.integer(document["stem"], f"{place} stem", 1, LARGEST_WIDTH),
    )


class UNet(nn.Module):
    """A U-Net after a plan; maps (N, inputs, ...) to logits (N, outputs, ...)."""

    def __init__(self, plan: Plan, *, residual: bool) -> None:
        super().__init__()
        style = plan.style()
        self.encoder = _Encoder(plan, style, residual=residual)
        self.decoder = _Decoder(plan, style)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return logits at full resolution."""
        result: torch.Tensor = self.decoder(self.encoder(batch))
        return result


class _Encoder(nn.Module):
    def __init__(self, plan: Plan, style: Style, *, residual: bool) -> None:
        super().__init__()
        width = plan.inputs
        if residual:
            stem = plan.stem or plan.features[0]
            self.stem: nn.Module = ConvStack(style, 1, width, stem, (plan.kernels[0], style.ones()))
            width = stem
        else:
            self.stem = nn.Identity()
        stages: list[nn.Module] = []
        for stage, features in enumerate(plan.features):
            sizes = (plan.kernels[stage], plan.strides[stage])
            count = plan.encoder[stage]
            if residual:
                stages.append(ResidualStack(style, count, width, features, sizes))
            else:
                stages.append(nn.Sequential(ConvStack(style, count, width, features, sizes)))
            width = features
        self.stages = nn.Sequential(*stages)

    def forward(self, batch: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of every stage, finest first."""
        batch = self.stem(batch)
        found: list[torch.Tensor] = []
        for stage in self.stages:
            batch = stage(batch)
            found.append(batch)
        return found


class _Decoder(nn.Module):
    def __init__(self, plan: Plan, style: Style) -> None:
        super().__init__()
        stages, widening, heads = [], [], []
        for place in range(1, len(plan.features)):
            below, skip = plan.features[-place], plan.features[-(place + 1)]
            widening.append(style.widening(below, skip, plan.strides[-place]))
            sizes = (plan.kernels[-(place + 1)], style.ones())
            stages.append(ConvStack(style, plan.decoder[place - 1], 2 * skip, skip, sizes))
            ones = style.ones()
            heads.append(style.convolution(skip, plan.outputs, ones, ones, bias=True))
        self.stages = nn.ModuleList(stages)
        self.transpconvs = nn.ModuleList(widening)
        self.seg_layers = nn.ModuleList(heads)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Return logits at full resolution."""
        below = features[-1]
        for place, stage in enumerate(self.stages):
            widened = self.transpconvs[place](below)
            below = stage(torch.cat((widened, features[-(place + 2)]), 1))
        result: torch.Tensor = self.seg_layers[-1](below)
        return result


def _sizes(value: Any, place: str, stages: int, dimensions: int) -> tuple[tuple[int, ...], ...]:
    rows = fields.listed(value, place)
    fields.integer(len(rows), f"{place}: stages", stages, stages)
    found = tuple(
        (row,) * dimensions
        if isinstance(row, int) and not isinstance(row, bool)
        else fields.integers(row, f"{place}[{index}]", 1)
        for index, row in enumerate(rows)
    )
    for index, row in enumerate(found):
        fields.integer(len(row), f"{place}[{index}]: sizes", dimensions, dimensions)
        fields.integer(max(row), f"{place}[{index}]", 1, 64)
    return found


def _counts(value: Any, place: str, stages: int) -> tuple[int, ...]:
    found = (value,) * stages if isinstance(value, int) else fields.integers(value, place, 1)
    fields.integer(len(found), f"{place}: stages", stages, stages)
    return tuple(fields.integer(count, place, 1, 64) for count in found)
