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

import torch
from safetensors.torch import load_file, save

from models.dose.predict import networks_of
from models.dose.voxels import PREFIX, named_weights
from models.training.dose.packs import prepare_all, split
from models.training.dose.recipe import STAGES, VOXEL_STAGES, VOXELS, recipe_digest
from models.training.dose.train import Training, run
from models.training.dose.voxels import draw_all, train_voxels
from models.weights.store import store_role

SOURCE = "Trained on OpenKBP (Babier et al. 2021, Med Phys 48:5549; github.com/ababier/open-kbp)"
LICENCE = "MIT (data)"


def together(paths: list[Path]) -> bytes:
    """Return one weights file: the U-Net of the last file that has one, all voxel networks."""
    kept: dict[str, torch.Tensor] = {}
    count = 0
    for path in paths:
        values = load_file(path)
        kept |= {name: value for name, value in values.items() if not name.startswith(PREFIX)}
        for network in networks_of({name: value.float() for name, value in values.items()})[1]:
            kept |= named_weights(network, count)
            count += 1
    return bytes(save(kept))


def main() -> None:
    """Read the arguments; train, or store weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True, help="folder of training packs")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage", choices=[*VOXEL_STAGES, *sorted(STAGES)], default=VOXELS.name)
    parser.add_argument("--start", type=Path, help="weights of the stage before")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end the stage by then")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--every-s", type=float, default=600.0, help="between two scores")
    parser.add_argument("--seed", type=int, help="of a voxel stage; else the recipe's")
    parser.add_argument("--every", action="store_true", help="hold nobody back (voxel stages)")
    parser.add_argument(
        "--store", type=Path, nargs="+", help="store the stage's weights; several voxel networks"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = sorted(path.stem for path in arguments.packs.glob("*.npz"))
    learnt, held_back = split(names)
    if arguments.store:
        voxel_stage = VOXEL_STAGES.get(arguments.stage, VOXELS)
        recipe = recipe_digest(STAGES.get(arguments.stage, voxel_stage))
        trained_on = names if arguments.every else learnt
        member = (together(arguments.store), 0, recipe, trained_on)
        store_role("dose", [member], SOURCE, LICENCE)
        return
    prepared = arguments.work / "cache" / "train"
    prepare_all(arguments.packs, prepared)
    if arguments.stage in VOXEL_STAGES:
        voxels = VOXEL_STAGES[arguments.stage]
        if arguments.seed is not None:
            voxels = replace(voxels, seed=arguments.seed)
        kept = [] if arguments.every else held_back
        work = arguments.work / f"{voxels.name}-{voxels.seed}{'-every' if arguments.every else ''}"
        drawn = draw_all(prepared, [*learnt, *held_back], voxels)
        train_voxels(voxels, drawn, [n for n in names if n not in kept], kept, work)
        return
    stage = STAGES[arguments.stage]
    training = Training(stage, arguments.work / stage.name, arguments.start)
    training.resume()
    run(training, prepared, learnt, held_back, arguments.minutes, arguments.every_s)


if __name__ == "__main__":
    main()
