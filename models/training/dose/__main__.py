"""Train a stage: ``python -m models.training.dose --packs FOLDER --work FOLDER [--stage NAME]``.

Prepared patients, checkpoint, log and weights lie in the work folder; a second call goes on.
``--store FILE`` puts weights where the suite looks for them, with what they were trained on.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from models.dose import points, trees
from models.dose.predict import voxel_networks_of
from models.dose.voxels import PREFIX, named_weights
from models.training.dose.packs import prepare_all, split
from models.training.dose.points import fit_points
from models.training.dose.recipe import (
    PATHS,
    POINTS,
    STAGES,
    TREES,
    VOXEL_STAGES,
    VOXELS,
    VoxelStage,
    recipe_digest,
)
from models.training.dose.train import Training, run
from models.training.dose.trees import grow
from models.training.dose.voxels import draw_all, train_voxels
from models.weights.store import store_role

SOURCE = "Trained on OpenKBP (Babier et al. 2021, Med Phys 48:5549; github.com/ababier/open-kbp)"
LICENCE = "MIT (data)"
QUICK = (*VOXEL_STAGES, TREES.name, POINTS.name)
"""Stages of minutes; those of `STAGES` train the U-Net."""


def together(paths: list[Path]) -> bytes:
    """Return one weights file: all voxel networks, of everything else that of the last file."""
    kept: dict[str, torch.Tensor] = {}
    count = 0
    for path in paths:
        values = load_file(path)
        own = {name: value for name, value in values.items() if not name.startswith(PREFIX)}
        kept |= own
        for network in voxel_networks_of({name: value.float() for name, value in values.items()}):
            kept |= named_weights(network, count)
            count += 1
    return bytes(save(kept))


def released_digest(paths: list[Path]) -> str:
    """Return the digest of the recipes of a file's parts; a U-Net's is that of `turns`."""
    names = {name for path in paths for name in load_file(path)}
    stages: list[Any] = [VOXELS, PATHS]
    for prefix, stage in ((trees.PREFIX, TREES), (points.PREFIX, POINTS)):
        stages += [stage] if any(name.startswith(prefix) for name in names) else []
    others = (PREFIX, trees.PREFIX, points.PREFIX)
    stages += [STAGES["shapes"]] if any(not name.startswith(others) for name in names) else []
    return recipe_digest(*stages)


def learn_voxels(arguments: argparse.Namespace, prepared: Path) -> None:
    """Train a stage that learns from drawn voxels, or from whole patients' facts."""
    names = sorted(path.stem for path in arguments.packs.glob("*.npz"))
    learnt, held_back = split(names)
    kept = [] if arguments.every else held_back
    chosen = [name for name in names if name not in kept]
    ending = "-every" if arguments.every else ""
    if arguments.stage == POINTS.name:
        fit_points(POINTS, prepared, chosen, arguments.work / f"{POINTS.name}{ending}")
        return
    stage: VoxelStage = VOXEL_STAGES.get(arguments.stage, VOXELS)
    if arguments.seed is not None:
        stage = replace(stage, seed=arguments.seed)
    drawn = draw_all(prepared, [*learnt, *held_back], stage)
    if arguments.stage == TREES.name:
        grow(TREES, drawn, chosen, arguments.work / f"{TREES.name}{ending}")
        return
    work = arguments.work / f"{stage.name}-{stage.seed}{ending}"
    train_voxels(stage, drawn, chosen, kept, work)


def main() -> None:
    """Read the arguments; train, or store weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True, help="folder of training packs")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage", choices=[*QUICK, *sorted(STAGES)], default=VOXELS.name)
    parser.add_argument("--start", type=Path, help="weights of the stage before")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end the stage by then")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--every-s", type=float, default=600.0, help="between two scores")
    parser.add_argument("--seed", type=int, help="of a voxel stage; else the recipe's")
    parser.add_argument("--every", action="store_true", help="hold nobody back (not for the U-Net)")
    parser.add_argument(
        "--store", type=Path, nargs="+", help="store the parts of the weights together"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = sorted(path.stem for path in arguments.packs.glob("*.npz"))
    learnt, held_back = split(names)
    if arguments.store:
        trained_on = names if arguments.every else learnt
        recipe = released_digest(arguments.store)
        member = (together(arguments.store), 0, recipe, trained_on)
        store_role("dose", [member], SOURCE, LICENCE)
        return
    prepared = arguments.work / "cache" / "train"
    prepare_all(arguments.packs, prepared)
    if arguments.stage in QUICK:
        learn_voxels(arguments, prepared)
        return
    stage = STAGES[arguments.stage]
    training = Training(stage, arguments.work / stage.name, arguments.start)
    training.resume()
    run(training, prepared, learnt, held_back, arguments.minutes, arguments.every_s)


if __name__ == "__main__":
    main()
