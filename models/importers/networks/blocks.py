"""Building blocks of the networks that nnU-Net v2 plans describe.

Their parameters bear the names that nnU-Net's checkpoints use, so that weights fit by name.
Written from Isensee et al. 2021 (nnU-Net, doi 10.1038/s41592-020-01008-z), Isensee et al.
2024 (arXiv:2404.09556, residual encoder) and He et al. 2019 (arXiv:1812.01187, ResNet-D).

Read next: `unet.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

Sizes = Sequence[int]


@dataclass(frozen=True, slots=True)
class Style:
    """What all blocks of one network share.

    Parameters
    ----------
    dimensions : 2 or 3.
    bias : whether convolutions have one.
    norm : makes a normalisation for so many channels; None leaves it out.
    activation : makes a non-linearity; None leaves it out.
    activation_first : non-linearity before normalisation.
    """

    dimensions: int
    bias: bool
    norm: Callable[[int], nn.Module] | None
    activation: Callable[[], nn.Module] | None
    activation_first: bool = False

    def convolution(
        self, inputs: int, outputs: int, kernel: Sizes, stride: Sizes, bias: bool
    ) -> nn.Module:
        """Return a convolution that keeps the size but for its stride."""
        kind = nn.Conv3d if self.dimensions == 3 else nn.Conv2d
        padding = tuple((size - 1) // 2 for size in kernel)
        return kind(inputs, outputs, tuple(kernel), tuple(stride), padding, bias=bias)  # type: ignore[arg-type]

    def widening(self, inputs: int, outputs: int, stride: Sizes) -> nn.Module:
        """Return a transposed convolution that enlarges by its stride."""
        kind = nn.ConvTranspose3d if self.dimensions == 3 else nn.ConvTranspose2d
        return kind(inputs, outputs, tuple(stride), tuple(stride), bias=self.bias)  # type: ignore[arg-type]

    def pooling(self, stride: Sizes) -> nn.Module:
        """Return average pooling over windows of the stride."""
        kind = nn.AvgPool3d if self.dimensions == 3 else nn.AvgPool2d
        return kind(tuple(stride), tuple(stride))  # type: ignore[arg-type]

    def ones(self) -> tuple[int, ...]:
        """Return the stride, or kernel, that changes nothing."""
        return (1,) * self.dimensions


class ConvUnit(nn.Module):
    """Convolution, normalisation, non-linearity; the last two may be left out."""

    def __init__(
        self,
        style: Style,
        inputs: int,
        outputs: int,
        sizes: tuple[Sizes, Sizes],
        *,
        bias: bool | None = None,
        activated: bool = True,
    ) -> None:
        super().__init__()
        kernel, stride = sizes
        wanted = style.bias if bias is None else bias
        self.conv = style.convolution(inputs, outputs, kernel, stride, wanted)
        self.norm = style.norm(outputs) if style.norm is not None else nn.Identity()
        there = activated and style.activation is not None
        self.nonlin = style.activation() if there and style.activation else nn.Identity()
        self._activation_first = style.activation_first

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the strided size."""
        features = self.conv(features)
        if self._activation_first:
            result: torch.Tensor = self.norm(self.nonlin(features))
        else:
            result = self.nonlin(self.norm(features))
        return result


class ConvStack(nn.Module):
    """Several units in a row; the stride belongs to the first."""

    def __init__(
        self, style: Style, count: int, inputs: int, outputs: int, sizes: tuple[Sizes, Sizes]
    ) -> None:
        super().__init__()
        kernel, stride = sizes
        units = [ConvUnit(style, inputs, outputs, (kernel, stride))]
        units += [
            ConvUnit(style, outputs, outputs, (kernel, style.ones())) for _ in range(count - 1)
        ]
        self.convs = nn.Sequential(*units)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the strided size."""
        result: torch.Tensor = self.convs(features)
        return result


class ResidualBlock(nn.Module):
    """Two units added to their input; a stride or other width is matched as in ResNet-D."""

    def __init__(self, style: Style, inputs: int, outputs: int, sizes: tuple[Sizes, Sizes]) -> None:
        super().__init__()
        kernel, stride = sizes
        ones = style.ones()
        self.conv1 = ConvUnit(style, inputs, outputs, (kernel, stride))
        self.conv2 = ConvUnit(style, outputs, outputs, (kernel, ones), activated=False)
        skip: list[nn.Module] = []
        if any(size != 1 for size in stride):
            skip.append(style.pooling(stride))
        if inputs != outputs:
            skip.append(ConvUnit(style, inputs, outputs, (ones, ones), bias=False, activated=False))
        self.skip = nn.Sequential(*skip)
        self.nonlin2 = style.activation() if style.activation is not None else nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the strided size."""
        result: torch.Tensor = self.nonlin2(self.conv2(self.conv1(features)) + self.skip(features))
        return result


class ResidualStack(nn.Module):
    """Several residual blocks in a row; the stride belongs to the first."""

    def __init__(
        self, style: Style, count: int, inputs: int, outputs: int, sizes: tuple[Sizes, Sizes]
    ) -> None:
        super().__init__()
        kernel, stride = sizes
        blocks = [ResidualBlock(style, inputs, outputs, (kernel, stride))]
        blocks += [
            ResidualBlock(style, outputs, outputs, (kernel, style.ones())) for _ in range(count - 1)
        ]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the strided size."""
        result: torch.Tensor = self.blocks(features)
        return result
