"""What the stages of the training are: values that their weights name by digest.

None hangs on another.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class FluenceStage:
    """State the stage that trains the network that plans.

    Parameters
    ----------
    steps : of the optimiser, `patients` each; the learning rate rises for `warm_up` steps and
        follows a cosine.
    dropped : shares of channels left out: of what is given, of the first maps, of the coarsest.
    upside_down, around : shares of patients shown with slices in reverse, and turned by fields.
    ema_decay : of the averaged weights, which are what is kept.
    half : multiply in bfloat16, with weights and sums in float32.
    """

    name: str = "fluence"
    steps: int = 4000
    patients: int = 2
    learning_rate: float = 1.5e-3
    warm_up: int = 100
    weight_decay: float = 2e-2
    dropped: tuple[float, float, float] = (0.0, 0.03, 0.15)
    upside_down: float = 0.3
    around: float = 0.3
    ema_decay: float = 0.997
    widths: tuple[int, ...] = (32, 48, 64)
    half: bool = True
    seed: int = 20261127


@dataclass(frozen=True, slots=True)
class VoxelStage:
    """State the stage that trains the voxel network.

    Parameters
    ----------
    voxels : drawn once from each patient. organs : most of them in organs, as a share.
    lot : rows of one step.
    facts_dropped : share of rows whose facts of the patient are replaced by their mean, so that
        160 patients are not known by heart; `dropout` is that of the hidden layers.
    half : multiply in bfloat16.
    paths : whether it reads what the rays cross, too (`inputs.RAYS`).
    """

    name: str = "voxels"
    steps: int = 2000
    voxels: int = 10000
    organs: float = 0.35
    lot: int = 8192
    facts_dropped: float = 0.6
    dropout: float = 0.25
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    ema_decay: float = 0.998
    widths: tuple[int, ...] = (256, 192, 96)
    half: bool = True
    paths: bool = False
    seed: int = 20261127


@dataclass(frozen=True, slots=True)
class PointStage:
    """State the stage that fits what histograms' points are foretold by.

    Parameters
    ----------
    bound : C of the support vector regression, for points in units of their spread.
    tolerance : errors below this are none, in the same unit.
    narrowness : of the Gaussian kernel, by the squared distance of standardised facts.
    least : patients, mirror images included, below which a point gets none.
    """

    name: str = "points"
    bound: float = 1.0
    tolerance: float = 0.1
    narrowness: float = 0.006
    least: int = 40


Stage = FluenceStage | VoxelStage | PointStage


def recipe_digest(*stages: Stage) -> str:
    """Return the digest of the values of some stages, which their weights name."""
    text = json.dumps([asdict(stage) for stage in stages], sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


FLUENCE = FluenceStage()
VOXELS = VoxelStage()
PATHS = VoxelStage(name="paths", dropout=0.3, paths=True)
VOXEL_STAGES = {stage.name: stage for stage in (VOXELS, PATHS)}
POINTS = PointStage()
STAGES: tuple[Stage, ...] = (FLUENCE, VOXELS, PATHS, POINTS)
