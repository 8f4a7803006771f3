"""Command line of the recipe: `python -m models.training.contouring train|evaluate|card`.

`train` makes the members (one process may do one fold), `--store` puts them under
`models/weights`; `evaluate` judges each patient by the member that never saw it; `card` writes
the figures, intervals and calibration that the model card quotes.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from models.contouring.ensemble import Ensemble, MemberHeader, encode_member
from models.contouring.inputs import CHANNELS
from models.contouring.uncertainty import CALIBRATION_PATH, Calibration
from models.training.contouring.calibrate import calibrate
from models.training.contouring.cases import data_folder, patient_ids, read_case
from models.training.contouring.evaluate import evaluate, measure_time, read_results
from models.training.contouring.recipe import FOLD_COUNT, Recipe, assign_folds
from models.training.contouring.summary import cross_validation
from models.training.contouring.train import train_member
from models.weights.store import read_index, store_role, weight_paths

ROLE = "contouring"
SOURCE = (
    "Trained on TCIA Soft-tissue-Sarcoma (Vallieres et al. 2015, doi 10.7937/K9/TCIA.2015.7GO2GSKS;"
    " Phys Med Biol 60:5471; Clark et al. 2013)"
)
RESULTS = Path(__file__).resolve().parent / "results"
TIMED_PATIENT = "STS_046"
LICENCE = "CC-BY-3.0 (data)"


def _train(arguments: argparse.Namespace) -> None:
    """Train the chosen folds, and store all five where asked."""
    torch.set_num_threads(arguments.threads)
    recipe = Recipe() if arguments.steps is None else replace(Recipe(), step_count=arguments.steps)
    folder = data_folder()
    cases = [read_case(folder, patient) for patient in patient_ids(folder)]
    folds = assign_folds({case.patient_id: case.volume_ml for case in cases}, recipe.seed)
    members = []
    for fold in arguments.folds:
        outside = [case for case in cases if folds[case.patient_id] != fold]
        state = train_member(outside, recipe, fold, arguments.work)
        trained_on = [case.patient_id for case in outside]
        header = MemberHeader(fold, recipe.channels, CHANNELS, recipe.digest, frozenset(trained_on))
        content = encode_member(state.average, header)
        members.append((content, fold, recipe.digest, trained_on))
    if arguments.store:
        store_role(ROLE, members, SOURCE, LICENCE)


def _evaluate(arguments: argparse.Namespace) -> None:
    """Judge every patient and calibrate the uncertainty from the results."""
    torch.set_num_threads(arguments.threads)
    folder = data_folder()
    cases = [read_case(folder, patient) for patient in patient_ids(folder)]
    results = evaluate(Ensemble.load(weight_paths(ROLE)), cases, RESULTS / "contours.jsonl")
    CALIBRATION_PATH.write_text(calibrate(results).encode(), encoding="utf-8")


def _card(arguments: argparse.Namespace) -> None:
    """Write the figures of the model card from the results of `evaluate`."""
    torch.set_num_threads(arguments.threads)
    results = read_results(RESULTS / "contours.jsonl")
    ensemble = Ensemble.load(weight_paths(ROLE))
    entries = [entry for entry in read_index() if entry.role == ROLE]
    facts = {
        "recipe_digest": sorted({entry.recipe_digest for entry in entries}),
        "recipe": asdict(Recipe()),
        "weights": {f"fold-{entry.fold}": entry.digest for entry in entries},
        "source": SOURCE,
        "measured": measure_time(ensemble, read_case(data_folder(), TIMED_PATIENT)),
    }
    report = cross_validation(results, Calibration.load(), facts)
    text = json.dumps(report, indent=1) + "\n"
    (RESULTS / "cross_validation.json").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the three commands."""
    parser = argparse.ArgumentParser(prog="models.training.contouring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train members, resuming from checkpoints")
    train.add_argument("--folds", type=int, nargs="+", default=list(range(FOLD_COUNT)))
    train.add_argument("--steps", type=int, help="shorter than the recipe, for a trial")
    train.add_argument("--threads", type=int, default=2)
    train.add_argument("--work", type=Path, default=Path("build/contouring"))
    train.add_argument("--store", action="store_true", help="put the members in models/weights")
    train.set_defaults(run=_train)
    for name, run, text in (
        ("evaluate", _evaluate, "judge each patient by members that never saw it"),
        ("card", _card, "write the figures of the model card"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--threads", type=int, default=2)
        command.set_defaults(run=run)
    chosen = parser.parse_args(arguments)
    chosen.run(chosen)


if __name__ == "__main__":
    main()
