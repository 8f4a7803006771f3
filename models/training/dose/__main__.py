"""Train a stage: ``python -m models.training.dose --packs FOLDER --work FOLDER [--stage NAME]``.

Prepared patients, log and weights lie in the work folder.
``--store FILE`` puts weights where the suite looks for them, with what they were trained on.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from models.dose import fluence, points, voxels
from models.training.dose.fluence import train_fluence
from models.training.dose.packs import PARTS, parts, prepare_all, split
from models.training.dose.points import fit_points
from models.training.dose.recipe import (
    FLUENCE,
    PATHS,
    POINTS,
    STAGES,
    VOXELS,
    FluenceStage,
    PointStage,
    Stage,
    VoxelStage,
    recipe_digest,
)
from models.training.dose.views import keep_views, load_view
from models.training.dose.voxels import draw_all, train_voxels
from models.weights.store import store_role

SOURCE = "Trained on OpenKBP (Babier et al. 2021, Med Phys 48:5549; github.com/ababier/open-kbp)"
LICENCE = "MIT (data)"
KINDS: dict[str, tuple[Stage, ...]] = {
    voxels.PREFIX: (VOXELS, PATHS),
    fluence.PREFIX: (FLUENCE,),
    points.PREFIX: (POINTS,),
}
"""By the prefix of their names in a file, of which stages weights can be."""
NUMBERED = (voxels.PREFIX, fluence.PREFIX)


def together(paths: Sequence[Path]) -> bytes:
    """Return one weights file: all networks in the order given, of the rest the last file's."""
    kept: dict[str, torch.Tensor] = {}
    counts = dict.fromkeys(NUMBERED, 0)
    for path in paths:
        values = load_file(path)
        for prefix in KINDS:
            own = {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}
            if prefix not in NUMBERED:
                kept |= {prefix + name: value for name, value in own.items()}
                continue
            numbers = sorted({int(name.partition(".")[0]) for name in own})
            for number in numbers:
                for name, value in own.items():
                    if name.startswith(f"{number}."):
                        inner = name.partition(".")[2]
                        kept[f"{prefix}{counts[prefix]}.{inner}"] = value
                counts[prefix] += 1
    return bytes(save(kept))


def released_digest(paths: Sequence[Path]) -> str:
    """Return the digest of the recipes of a file's parts."""
    names = {name for path in paths for name in load_file(path)}
    found = [
        stages for prefix, stages in KINDS.items() if any(name.startswith(prefix) for name in names)
    ]
    return recipe_digest(*(stage for stages in found for stage in stages))


def learn(arguments: argparse.Namespace) -> None:
    """Train one stage on prepared patients."""
    names = sorted(path.stem for path in arguments.packs.glob("*.npz"))
    learnt, held_back = split(names)
    kept = [] if arguments.every else parts(names)[arguments.part]
    chosen = [name for name in names if name not in kept]
    stage = {stage.name: stage for stage in STAGES}[arguments.stage]
    ending = "-every" if arguments.every else f"-part{arguments.part}" if arguments.part else ""
    if isinstance(stage, FluenceStage | VoxelStage):
        stage = replace(stage, seed=stage.seed if arguments.seed is None else arguments.seed)
        ending = f"-{stage.seed}{ending}"
    work = arguments.work / f"{stage.name}{ending}"
    if isinstance(stage, FluenceStage):
        folder = arguments.work / "cache" / "views"
        keep_views(arguments.packs, folder, arguments.threads)
        train_fluence(stage, {name: load_view(folder, name) for name in names}, kept, work)
        return
    prepared = arguments.work / "cache" / "train"
    prepare_all(arguments.packs, prepared, arguments.threads)
    if isinstance(stage, PointStage):
        fit_points(stage, prepared, chosen, work)
    else:
        drawn = draw_all(prepared, [*learnt, *held_back], stage)
        train_voxels(stage, drawn, chosen, kept, work)


def main() -> None:
    """Read the arguments; train, or store weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True, help="folder of training packs")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage", choices=[stage.name for stage in STAGES], default=VOXELS.name)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="of a network's stage; else the recipe's")
    parser.add_argument("--every", action="store_true", help="hold nobody back")
    parser.add_argument(
        "--part",
        type=int,
        choices=range(PARTS),
        default=0,
        help="part to hold back",
    )
    parser.add_argument(
        "--store", type=Path, nargs="+", help="store the parts of the weights together"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.store:
        names = sorted(path.stem for path in arguments.packs.glob("*.npz"))
        trained_on = names if arguments.every else split(names)[0]
        recipe = released_digest(arguments.store)
        member = (together(arguments.store), 0, recipe, trained_on)
        store_role("dose", [member], SOURCE, LICENCE)
        return
    learn(arguments)


if __name__ == "__main__":
    main()
