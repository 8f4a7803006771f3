"""The architecture of C3D, the winner of OpenKBP, to be timed beside ours.

Rebuilt from its description: two U-Nets in cascade, 16 to 256 and 32 to 512 features over five
levels, the second one reading the input and the first one's answer; 3 x 3 x 3 convolutions with
instance normalisation and ReLU, trilinear upsampling (Liu et al. 2021, Med Phys 48:5567). Weights
are random: it answers how long, never how well.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

CHANNELS = 9
SIZE = 128


def _convolution(channels: int, features: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels, features, 3, stride, padding=1, bias=True),
        nn.InstanceNorm3d(features, affine=True),
        nn.ReLU(inplace=True),
    )


class Stage(nn.Module):
    """A U-Net of five levels that keeps the grid."""

    def __init__(self, channels: int, first: int) -> None:
        super().__init__()
        widths = [first * 2**level for level in range(5)]
        self.encoder = nn.ModuleList()
        for level, width in enumerate(widths):
            before = channels if level == 0 else widths[level - 1]
            stride = 1 if level == 0 else 2
            self.encoder.append(
                nn.Sequential(_convolution(before, width, stride), _convolution(width, width))
            )
        self.rise, self.decoder = nn.ModuleList(), nn.ModuleList()
        for level in range(3, -1, -1):
            self.rise.append(_convolution(widths[level + 1], widths[level]))
            self.decoder.append(
                nn.Sequential(
                    _convolution(2 * widths[level], widths[level]),
                    _convolution(widths[level], widths[level]),
                )
            )

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return features (N, first, …)."""
        kept = []
        for block in self.encoder:
            batch = block(batch)
            kept.append(batch)
        for level, (rise, block) in enumerate(zip(self.rise, self.decoder, strict=True)):
            finer = functional.interpolate(batch, scale_factor=2, mode="trilinear")
            batch = block(torch.cat([rise(finer), kept[3 - level]], dim=1))
        return batch


class CascadePeer(nn.Module):
    """Two stages in cascade; answers one channel."""

    def __init__(self, first: int = 16, second: int = 32) -> None:
        super().__init__()
        self.first = Stage(CHANNELS, first)
        self.second = Stage(CHANNELS + first, second)
        self.head = nn.Conv3d(second, 1, 1)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the dose (N, 1, …) of channels (N, 9, …)."""
        answer: torch.Tensor = self.head(self.second(torch.cat([self.first(batch), batch], dim=1)))
        return answer
