"""Train a stage: ``python -m models.training.dose --packs FOLDER --work FOLDER [--stage NAME]``.

Prepared patients, checkpoint, log and weights lie in the work folder; a second call goes on.
``--store FILE`` puts weights where the suite looks for them, with what they were trained on.
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

import torch

from models.training.dose.packs import correct_all, prepare_all, split
from models.training.dose.recipe import STAGES, VOXELS, recipe_digest
from models.training.dose.train import Training, run
from models.training.dose.voxels import train_voxels
from models.weights.store import store_role

SOURCE = "Trained on OpenKBP (Babier et al. 2021, Med Phys 48:5549; github.com/ababier/open-kbp)"
LICENCE = "MIT (data)"


def main() -> None:
    """Read the arguments; train, or store weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True, help="folder of training packs")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage", choices=[VOXELS.name, *sorted(STAGES)], default=VOXELS.name)
    parser.add_argument("--start", type=Path, help="weights of the stage before")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end the stage by then")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--every-s", type=float, default=600.0, help="between two scores")
    parser.add_argument("--store", type=Path, help="store these weights of the stage instead")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = sorted(path.stem for path in arguments.packs.glob("*.npz"))
    learnt, held_back = split(names)
    if arguments.store:
        stage = STAGES.get(arguments.stage, VOXELS)
        member = (arguments.store.read_bytes(), 0, recipe_digest(stage), learnt)
        store_role("dose", [member], SOURCE, LICENCE)
        return
    prepared = arguments.work / "cache" / "train"
    prepare_all(arguments.packs, prepared)
    if arguments.stage == VOXELS.name:
        train_voxels(VOXELS, prepared, learnt, held_back, arguments.work / VOXELS.name)
        return
    stage = STAGES[arguments.stage]
    training = Training(stage, arguments.work / stage.name, arguments.start)
    if training.voxels is not None:
        prepared = correct_all(prepared, names, training.voxels)
    training.resume()
    run(training, prepared, learnt, held_back, arguments.minutes, arguments.every_s)


if __name__ == "__main__":
    main()
