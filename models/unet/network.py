"""A small three-dimensional U-Net that two processor cores can train and run.

Follows Çiçek et al. 2016 (3D U-Net, arXiv:1606.06650) with the choices of Isensee et al. 2021
(nnU-Net, doi 10.1038/s41592-020-01008-z): instance normalisation, leaky ReLU, strided
convolutions for descent and an auxiliary loss on the coarser decoder level. It differs in one
point: the decoder adds the skip connection instead of concatenating it, which halves the work
at full resolution. Used by `models/contouring/ensemble.py`.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

NEGATIVE_SLOPE = 0.01


class ConvBlock(nn.Module):
    """Apply two 3x3x3 convolutions, each with instance normalisation and leaky ReLU.

    The second one is residual (He et al. 2016, arXiv:1512.03385): its result is added to its
    input. `stride` belongs to the first convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv3d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        # One channel a group is instance normalisation; this kernel keeps the layout of the
        # features, which takes a third off the time of a pass on a processor (torch 2.13).
        self.first_norm = nn.GroupNorm(out_channels, out_channels)
        self.second = nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(out_channels, out_channels)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of shape (N, out_channels, D / stride, H / stride, W / stride)."""
        features = self.activation(self.first_norm(self.first(features)))
        residual = self.second_norm(self.second(features))
        result: torch.Tensor = self.activation(features + residual)
        return result


class UNet3d(nn.Module):
    """Map (N, in_channels, D, H, W) to logits (N, 1, D, H, W).

    Parameters
    ----------
    in_channels
        Number of input channels.
    channels
        Features of each level, from full resolution downwards; every level halves the grid.

    D, H and W are multiples of `stride`, 2 to the power of (levels - 1).
    """

    def __init__(self, in_channels: int, channels: Sequence[int] = (24, 48, 96, 160)) -> None:
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"a U-Net needs two levels or more, found {len(channels)}")
        self.in_channels = in_channels
        self.channels = tuple(channels)
        self.stride = 2 ** (len(channels) - 1)
        self.encoder = nn.ModuleList([ConvBlock(in_channels, channels[0])])
        self.widen = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for upper, lower in pairwise(channels):
            self.encoder.append(ConvBlock(upper, lower, stride=2))
            self.widen.append(nn.ConvTranspose3d(lower, upper, 2, stride=2))
            self.decoder.append(ConvBlock(upper, upper))
        self.head = nn.Conv3d(channels[0], 1, 1)
        self.coarse_head = nn.Conv3d(channels[1], 1, 1)

    def encode(self, batch: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of every level; the last is the bottleneck."""
        sizes = tuple(batch.shape[2:])
        if batch.ndim != 5 or batch.shape[1] != self.in_channels:
            raise ValueError(f"expected (N, {self.in_channels}, D, H, W), found {batch.shape}")
        if any(size % self.stride for size in sizes):
            raise ValueError(f"expected sizes in multiples of {self.stride}, found {sizes}")
        features: list[torch.Tensor] = []
        for block in self.encoder[:-1]:
            batch = block(batch)
            features.append(batch)
        # The bottleneck leaves autocast: oneDNN of torch 2.13 reads memory that it never wrote
        # in the bfloat16 weight gradient of a convolution over two slices (NaN now and then).
        # Remove when two equal backward passes over a box of 32 voxels give equal gradients.
        with torch.autocast("cpu", enabled=False):
            features.append(self.encoder[-1](batch.float()))
        return features

    def decode(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the decoder's features, full resolution first."""
        levels = [features[-1]]
        for level in range(len(self.channels) - 2, -1, -1):
            levels.append(self.decoder[level](features[level] + self.widen[level](levels[-1])))
        return levels[::-1]

    def forward_levels(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits at full resolution and, for the auxiliary loss, at half of it."""
        levels = self.decode(self.encode(batch))
        return self.head(levels[0]), self.coarse_head(levels[1])

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 1, D, H, W)."""
        logits: torch.Tensor = self.head(self.decode(self.encode(batch))[0])
        return logits
