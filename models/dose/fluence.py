"""A network that plans: from what nine fields see to the fluence of each, and so to a dose.

Where `voxels.py` corrects the quick plan voxel by voxel, this network changes its fluence. What it
answers can be delivered by nine fields, a whole ray moves at once, and all fields learn from each
other: convolutions run within the map of a field and around the circle of fields. Its errors are
others than those of the voxel networks, so that the mean of both is better than either.
Read `predict.py` next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from models.dose.beams import ANGLES_DEGREES, BIXEL_MM, dose_of
from models.dose.eye import EYE, View
from models.dose.patient import TOP_GY
from models.unet.processor import native_bf16

FloatArray = NDArray[np.float32]

PREFIX = "fluence."
"""Of the names of these weights in a file: ``fluence.0.enter.weight``, ``fluence.1.…``."""
PLACES = ("across", "along")
SIDES = ("sine", "cosine", "known", "mirrored", "upside_down")
GIVEN = (*EYE, "ordinary", "sparing", "open", *PLACES, *SIDES)
"""Channels: what fields see, three fluences in units of the open one, the bixel's place in units of
100 mm, where the field stands (zero where that is not told), and how the patient was turned."""
GROUPS = 4
STRONGEST = 2.0
"""Natural logarithm of the most by which a fluence is multiplied."""
HALVINGS = 2
HIGHEST = np.float32(1.8)


@dataclass(frozen=True, slots=True)
class Turn:
    """How a patient is shown to the network; the nine fields look alike after each of these.

    Parameters
    ----------
    mirrored : left to right. upside_down : slices in reverse.
    fields : by how many fields the patient is turned about the isocentre.
    known : whether the network is told where its fields stand.
    """

    mirrored: bool = False
    upside_down: bool = False
    fields: int = 0
    known: bool = True


AS_IT_IS = Turn()
COUNT = len(ANGLES_DEGREES)
REVERSED = [-number % COUNT for number in range(COUNT)]


def _other_side(name: str) -> str:
    if "Right" in name:
        return name.replace("Right", "Left")
    return name.replace("Left", "Right")


MIRRORED_EYE = [EYE.index(_other_side(name)) for name in EYE]


def turned(maps: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Return maps (…, fields, across, along) of the patient turned; names are not changed."""
    if turn.mirrored:
        maps = maps[..., REVERSED, :, :].flip(-2)
    if turn.upside_down:
        maps = maps.flip(-1)
    return maps.roll(turn.fields, -3) if turn.fields else maps


def turned_back(maps: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Return maps of the turned patient as those of the patient."""
    maps = maps.roll(-turn.fields, -3) if turn.fields else maps
    if turn.upside_down:
        maps = maps.flip(-1)
    return maps[..., REVERSED, :, :].flip(-2) if turn.mirrored else maps


def channels(maps: torch.Tensor, fluences: torch.Tensor, turn: Turn = AS_IT_IS) -> torch.Tensor:
    """Return `GIVEN` (channels, fields, across, along) of a patient turned.

    Parameters
    ----------
    maps, fluences : of a `View`.
    """
    unit = open_unit(fluences)
    shares = fluences / torch.tensor([2 * unit, 2 * unit, unit])[:, None, None, None]
    shown = turned(maps[MIRRORED_EYE] if turn.mirrored else maps, turn)
    shape = maps.shape[1:]
    step = float(BIXEL_MM) / 100
    across, along = (step * (torch.arange(size) - (size - 1) / 2) for size in shape[1:])
    angle = torch.deg2rad(torch.tensor(ANGLES_DEGREES, dtype=torch.float32))
    sides = torch.stack([angle.sin(), angle.cos(), torch.ones(COUNT)]) * float(turn.known)
    flags = torch.tensor([[float(turn.mirrored)], [float(turn.upside_down)]]).expand(2, COUNT)
    told = torch.cat([sides, flags])[:, :, None, None].expand(len(SIDES), *shape)
    places = torch.stack([across[:, None].expand(shape), along.expand(shape)])
    return torch.cat([shown, turned(shares, turn), places, told])


def open_unit(fluences: torch.Tensor) -> float:
    """Return the fluence of the open fields where they are open."""
    opened = fluences[2]
    return float(opened[opened > 0].mean())


class Mixed(nn.Module):
    """Add to maps what their surroundings, the fields beside and the whole patient say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.within = nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1))
        self.around = nn.Conv3d(width, width, (3, 1, 1))
        self.whole = nn.Linear(width, width)
        self.out = nn.Conv3d(width, width, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the maps (1, width, fields, across, along) and what is added."""
        inner = functional.silu(self.within(self.norm(maps)))
        circle = torch.cat([inner[:, :, -1:], inner, inner[:, :, :1]], dim=2)
        whole = self.whole(inner.mean((2, 3, 4)))[:, :, None, None, None]
        added: torch.Tensor = self.out(functional.silu(self.around(circle) + whole))
        return maps + added


class FluenceNet(nn.Module):
    """Change fluences by a small U-Net over the maps of the fields.

    Parameters
    ----------
    widths : of full, half and quarter resolution.
    dropped : shares of channels left out while it is trained: of what is given, of the first
        maps, of the coarsest.
    """

    def __init__(
        self, widths: Sequence[int], dropped: tuple[float, float, float] = (0, 0, 0)
    ) -> None:
        super().__init__()
        if len(widths) != HALVINGS + 1:
            raise ValueError(f"expected {HALVINGS + 1} widths, found {len(widths)}")
        self.dropped = nn.ModuleList([nn.Dropout3d(share) for share in dropped])
        self.enter = nn.Conv3d(len(GIVEN), widths[0], (1, 3, 3), padding=(0, 1, 1))
        self.down = nn.ModuleList([Mixed(width) for width in widths])
        self.bottom = Mixed(widths[-1])
        self.up = nn.ModuleList([Mixed(width) for width in widths[:-1]])
        pairs = list(pairwise(widths))
        self.coarser = nn.ModuleList([nn.Conv3d(a, b, (1, 2, 2), (1, 2, 2)) for a, b in pairs])
        self.finer = nn.ModuleList([nn.Conv3d(b, a, 1) for a, b in pairs])
        self.leave = nn.Conv3d(widths[0], 2, 1)
        for values in self.leave.parameters():
            nn.init.zeros_(values)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Return log factors, and what is added, (2, fields, across, along), of `GIVEN`."""
        across, along = given.shape[2:]
        block = 2**HALVINGS
        padded = functional.pad(given[None], (0, -along % block, 0, -across % block))
        maps = self.dropped[1](self.enter(self.dropped[0](padded)))
        kept = []
        for mixed, coarser in zip(self.down, self.coarser, strict=False):
            kept.append(mixed(maps))
            maps = coarser(kept[-1])
        maps = self.dropped[2](self.bottom(self.down[-1](maps)))
        for mixed, finer in zip(reversed(self.up), reversed(self.finer), strict=True):
            beside = kept.pop()
            wide = functional.interpolate(finer(maps), size=beside.shape[2:])
            maps = mixed(wide + beside)
        answer: torch.Tensor = self.leave(maps)[0, :, :, :across, :along]
        return answer.float()

    def fluence(
        self, maps: torch.Tensor, fluences: torch.Tensor, turn: Turn = AS_IT_IS
    ) -> torch.Tensor:
        """Return the planned fluence (fields, across, along) of a patient shown turned."""
        factor, added = self.forward(channels(maps, fluences, turn))
        factor = factor.clamp(-STRONGEST, STRONGEST).exp()
        before = turned(fluences[0], turn)
        after = functional.relu(before * factor + open_unit(fluences) * added)
        return turned_back(after, turn)


def planned(networks: Sequence[FluenceNet], view: View) -> FloatArray:
    """Return the dose (N,) of the networks' mean fluence at the points of the view, in 70 Gy."""
    maps, fluences = torch.from_numpy(view.maps), torch.from_numpy(view.fluences)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, native_bf16()):
        answers = [network.fluence(maps, fluences) for network in networks]
    mean = torch.stack(answers).mean(0).numpy()
    dose = dose_of(view.fields, np.ascontiguousarray(mean), view.rays) / np.float32(TOP_GY)
    return np.asarray(np.minimum(dose, HIGHEST), np.float32)


def named_weights(network: FluenceNet, number: int) -> dict[str, torch.Tensor]:
    """Return the weights in half precision, named as a file holds them."""
    values = network.state_dict().items()
    return {f"{PREFIX}{number}.{name}": value.half().contiguous() for name, value in values}


def networks_of(values: Mapping[str, torch.Tensor]) -> tuple[FluenceNet, ...]:
    """Return the networks of stored weights, in the order of their numbers."""
    own: dict[int, dict[str, torch.Tensor]] = {}
    for name, kept in values.items():
        if name.startswith(PREFIX):
            number, _, inner = name.removeprefix(PREFIX).partition(".")
            own.setdefault(int(number), {})[inner] = kept.float()
    networks = []
    for _, part in sorted(own.items()):
        widths = [part[f"down.{level}.out.weight"].shape[0] for level in range(HALVINGS + 1)]
        networks.append(FluenceNet(widths))
        networks[-1].load_state_dict(part)
    return tuple(networks)
