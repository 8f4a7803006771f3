"""Load the members of the contouring ensemble and let them vote.

Each member is a safetensors file in half precision whose header names the patients that it was
trained on, so that a patient can be judged by members that never saw it. Inference is float32
and deterministic for a given number of threads. Read next: `postprocess.py`, `uncertainty.py`.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from models.contouring.inputs import CHANNELS, FloatArray
from models.unet.network import UNet3d

FORMAT = "osteon.contouring.member/1"
EMBEDDING_SIZE = 64
MIRRORS: tuple[tuple[int, ...], ...] = ((), (-1,), (-3, -2), (-3, -2, -1))
"""Axes of the batch reversed in each pass when `mirrored`; x alone, z with y, and all three."""


@dataclass(frozen=True, slots=True)
class MemberHeader:
    """Say what a member is: its fold, network, recipe and the patients it was trained on."""

    fold: int
    channels: tuple[int, ...]
    inputs: tuple[str, ...]
    recipe_digest: str
    trained_on: frozenset[str]


def encode_member(network: UNet3d, header: MemberHeader) -> bytes:
    """Return the bytes of a member file; `decode_member` reads them."""
    tensors = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in sorted(network.state_dict().items())
    }
    text = {
        "format": FORMAT,
        "fold": header.fold,
        "channels": list(header.channels),
        "inputs": list(header.inputs),
        "recipe_digest": header.recipe_digest,
        "trained_on": sorted(header.trained_on),
    }
    # one metadata entry: safetensors writes several in no fixed order, and the digest must hold
    content: bytes = save_tensors(tensors, {"osteon": json.dumps(text, sort_keys=True)})
    return content


def decode_member(content: bytes) -> tuple[UNet3d, MemberHeader]:
    """Return network (float32, evaluation mode) and header of a member file.

    Raises
    ------
    ValueError
        The bytes are not a member file, or its input channels are not those of this code.
    """
    try:
        (length,) = struct.unpack("<Q", content[:8])
        text = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["osteon"])
        if text["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT}, found {text['format']}")
        header = MemberHeader(
            int(text["fold"]),
            tuple(text["channels"]),
            tuple(text["inputs"]),
            str(text["recipe_digest"]),
            frozenset(text["trained_on"]),
        )
    except (struct.error, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError("expected a safetensors file of a contouring member") from error
    if header.inputs != CHANNELS:
        raise ValueError(f"expected input channels {CHANNELS}, found {header.inputs}")
    network = UNet3d(len(CHANNELS), header.channels)
    network.load_state_dict({name: value.float() for name, value in load_tensors(content).items()})
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval(), header


def members_unseen(trained_on: Sequence[frozenset[str]], patient_id: str) -> tuple[int, ...]:
    """Return the members that were not trained on the patient; all of them for a new patient."""
    return tuple(i for i, patients in enumerate(trained_on) if patient_id not in patients)


class Ensemble:
    """Hold several members, of which each new patient is judged by all.

    A patient of the training data is judged by `members_unseen` alone (one member of five).
    """

    def __init__(self, members: Sequence[tuple[UNet3d, MemberHeader]]) -> None:
        if not members:
            raise ValueError("an ensemble needs at least one member")
        self.networks = tuple(network for network, _ in members)
        self.headers = tuple(header for _, header in members)

    @classmethod
    def load(
        cls, paths_or_bytes: Sequence[Path | str | bytes], members: Sequence[int] | None = None
    ) -> "Ensemble":
        """Return the ensemble of the given member files, or of some of them by position."""
        chosen = range(len(paths_or_bytes)) if members is None else members
        contents = []
        for index in chosen:
            if not 0 <= index < len(paths_or_bytes):
                raise ValueError(f"expected a member below {len(paths_or_bytes)}, found {index}")
            item = paths_or_bytes[index]
            contents.append(item if isinstance(item, bytes) else Path(item).read_bytes())
        return cls([decode_member(content) for content in contents])

    @property
    def member_names(self) -> tuple[str, ...]:
        """Name each member by its fold."""
        return tuple(f"fold-{header.fold}" for header in self.headers)

    @property
    def trained_on(self) -> tuple[frozenset[str], ...]:
        """Return the training patients of each member."""
        return tuple(header.trained_on for header in self.headers)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the mean logits of the members (N, 1, D, H, W), differentiable in the batch."""
        return torch.stack([network(batch) for network in self.networks]).mean(dim=0)

    def passes(self, channels: FloatArray, *, mirrored: bool = True) -> FloatArray:
        """Return probabilities (members, passes, D, H, W) of every member and mirror pass."""
        reversals = MIRRORS if mirrored else MIRRORS[:1]
        single = torch.from_numpy(np.ascontiguousarray(channels, dtype=np.float32))
        # One batch for all passes: alone, an image this small is convolved 5 times slower,
        # because torch uses its fast kernels only for batches and large images.
        batch = torch.stack([single.flip(axes) for axes in reversals])
        results = []
        with torch.inference_mode():
            for network in self.networks:
                votes = torch.sigmoid(network(batch)[:, 0])
                for vote, axes in zip(votes, reversals, strict=True):
                    results.append(vote.flip(axes).numpy())
        shape = (len(self.networks), -1, *channels.shape[1:])
        return np.stack(results).astype(np.float32).reshape(shape)

    def probabilities(self, channels: FloatArray, *, mirrored: bool = True) -> FloatArray:
        """Return the probability of tumour (members, D, H, W), float32, on the network grid.

        Parameters
        ----------
        channels
            (C, D, H, W) as from `inputs.build_channels`.
        mirrored
            Average the passes of `MIRRORS`; otherwise one pass a member.
        """
        result: FloatArray = self.passes(channels, mirrored=mirrored).mean(axis=1)
        return result

    def embedding(self, channels: FloatArray) -> npt.NDArray[np.float32]:
        """Return the mean bottleneck features (64,) of the first member, for input monitoring.

        Neighbouring features are averaged down to 64 values.
        """
        batch = torch.from_numpy(np.ascontiguousarray(channels, dtype=np.float32))[None]
        with torch.inference_mode():
            features = self.networks[0].encode(batch)[-1].mean(dim=(0, 2, 3, 4))
        groups = np.array_split(features.numpy(), min(EMBEDDING_SIZE, features.numel()))
        return np.array([group.mean() for group in groups], dtype=np.float32)
