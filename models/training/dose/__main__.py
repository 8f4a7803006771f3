"""Train a stage: ``python -m models.training.dose --packs FOLDER --work FOLDER [--minutes N]``.

Prepared patients, checkpoint, log and weights lie in the work folder; a second call goes on.
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

import torch

from models.training.dose.packs import prepare_all, split
from models.training.dose.recipe import STAGES
from models.training.dose.train import Training, run


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True, help="folder of training packs")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage", choices=sorted(STAGES), default="one")
    parser.add_argument("--start", type=Path, help="weights of the stage before")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end the stage by then")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--every-s", type=float, default=600.0, help="between two scores")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    prepared = arguments.work / "cache" / "train"
    learnt, held_back = split(prepare_all(arguments.packs, prepared))
    stage = STAGES[arguments.stage]
    training = Training(stage, arguments.work / stage.name, arguments.start)
    training.resume()
    run(training, prepared, learnt, held_back, arguments.minutes, arguments.every_s)


if __name__ == "__main__":
    main()
