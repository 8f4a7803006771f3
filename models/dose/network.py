"""A residual U-Net that works at half resolution and answers at full resolution.

Every 2 x 2 x 2 block of voxels is folded into channels (the three-dimensional form of Shi et al.
2016, arXiv:1609.05158), so the body costs an eighth; the head unfolds eight features a block, and
a narrow full-resolution stage joins them with the channels that carry detail. The result is added
to the quick plan (`plan.py`): the network learns what the planner did beyond it. The body follows
Çiçek et al. 2016 (arXiv:1606.06650) with residual blocks and group normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from models.dose.inputs import CHANNELS, CONTINUOUS, MASK, PLAN

GROUP = 8
CHANGE = 0.1
"""One unit of the answer, in units of 70 Gy: a step of the optimiser moves the dose little.
Without it the first 760 steps (learning rate 1e-3) won 0.06 Gy."""
DETAIL = tuple(range(len(CONTINUOUS)))
"""Channels that the full-resolution stage reads."""


class Residual(nn.Module):
    """Add two normalised 3x3x3 convolutions to the input (He et al. 2016, arXiv:1603.05027).

    While it is trained, they are left out by chance with probability `left_out` (stochastic depth,
    Huang et al. 2016, arXiv:1603.09382), and weigh more when they are not.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.left_out = 0.0
        self.body = nn.Sequential(
            nn.GroupNorm(channels // GROUP, channels),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(channels // GROUP, channels),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        left_out = self.left_out if self.training else 0.0
        if left_out and float(torch.rand(())) < left_out:
            return features
        change = self.body(features)
        result: torch.Tensor = features + (change / (1 - left_out) if left_out else change)
        return result


class DoseNet(nn.Module):
    """Map channels (N, 16, R, C, S) to the dose (N, R, C, S) in units of 70 Gy.

    Parameters
    ----------
    widths : features by level, from half resolution downwards.
    depths : residual blocks by level, the same on both sides.
    detail : features of the full-resolution stage.

    R, C and S are multiples of 16.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128, 160),
        depths: Sequence[int] = (1, 1, 1, 2),
        detail: int = 16,
    ) -> None:
        super().__init__()
        self.fold = nn.Conv3d(len(CHANNELS), widths[0], 2, stride=2)
        self.down = nn.ModuleList([_blocks(widths[0], depths[0])])
        self.narrow, self.up, self.widen = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for (upper, lower), depth in zip(pairwise(widths), depths[1:], strict=True):
            self.narrow.append(nn.Conv3d(upper, lower, 2, stride=2))
            self.down.append(_blocks(lower, depth))
        for (upper, lower), depth in zip(pairwise(widths), depths[:-1], strict=True):
            self.widen.append(nn.ConvTranspose3d(lower, upper, 2, stride=2))
            self.up.append(_blocks(upper, depth))
        self.unfold = nn.ConvTranspose3d(widths[0], 8, 2, stride=2)
        self.detail = nn.Sequential(
            nn.Conv3d(8 + len(DETAIL), detail, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv3d(detail, 1, 3, padding=1),
        )
        with torch.no_grad():
            for value in self.detail[-1].parameters():
                value.zero_()

    def forward(self, channels: torch.Tensor) -> torch.Tensor:
        """Return the dose, zero outside the possible-dose mask and never negative in use."""
        features = self.down[0](self.fold(channels))
        levels = [features]
        for narrow, blocks in zip(self.narrow, self.down[1:], strict=True):
            features = blocks(narrow(features))
            levels.append(features)
        for level in range(len(levels) - 2, -1, -1):
            features = self.up[level](levels[level] + self.widen[level](features))
        fine = torch.cat([self.unfold(features), channels[:, DETAIL]], dim=1)
        change: torch.Tensor = self.detail(fine)[:, 0]
        return (channels[:, PLAN] + CHANGE * change) * channels[:, MASK]


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels) for _ in range(count)))
