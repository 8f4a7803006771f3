"""Command line of the recipe: `python -m models.training.contouring train|second|evaluate|card`.

`train` makes the first members and `second` one more for each fold (a process may do one fold),
`--store` puts them under `models/weights`; `evaluate` judges each patient by the members that
never saw it; `card` writes the figures, intervals and calibration that the model card quotes.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from models.contouring.ensemble import Ensemble, MemberHeader, decode_member, encode_member
from models.contouring.inputs import CHANNELS
from models.contouring.uncertainty import CALIBRATION_PATH, Calibration
from models.training.contouring.calibrate import calibrate
from models.training.contouring.cases import data_folder, patient_ids, read_case
from models.training.contouring.evaluate import evaluate, measure_time, read_results
from models.training.contouring.recipe import FOLD_COUNT, Recipe, assign_folds
from models.training.contouring.second_stage import SecondStage, train_second_member
from models.training.contouring.summary import cross_validation
from models.training.contouring.train import train_member
from models.weights.store import FOLDER as WEIGHTS
from models.weights.store import WeightEntry, entry_names, read_index, store_role, weight_paths

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


def _second(arguments: argparse.Namespace) -> None:
    """Train the second members from the committed first ones; keep both where asked."""
    torch.set_num_threads(arguments.threads)
    stage = SecondStage()
    folder = data_folder()
    cases = [read_case(folder, patient) for patient in patient_ids(folder)]
    members = []
    for entry in first_members():
        if entry.fold not in arguments.folds:
            continue
        content = (WEIGHTS / entry.file).read_bytes()
        first, header = decode_member(content)
        outside = [case for case in cases if case.patient_id in header.trained_on]
        digest = stage.digest(entry.digest)
        checkpoint = arguments.work / f"second-fold{entry.fold}-{digest[7:15]}.pt"
        state = train_second_member(outside, first, stage, entry.fold, checkpoint)
        second = replace(header, recipe_digest=digest)
        trained_on = sorted(header.trained_on)
        members.append((content, entry.fold, entry.recipe_digest, trained_on))
        members.append((encode_member(state.average, second), entry.fold, digest, trained_on))
    if arguments.store:
        store_role(ROLE, members, SOURCE, LICENCE)


def first_members() -> list[WeightEntry]:
    """Return the committed members of the first stage, one for each fold."""
    digest = Recipe().digest
    return [e for e in read_index() if e.role == ROLE and e.recipe_digest == digest]


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
        "weights": entry_names(entries),
        "source": SOURCE,
        "measured": measure_time(ensemble, read_case(data_folder(), TIMED_PATIENT)),
    }
    report = cross_validation(results, Calibration.load(), facts)
    text = json.dumps(report, indent=1) + "\n"
    (RESULTS / "cross_validation.json").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the four commands."""
    parser = argparse.ArgumentParser(prog="models.training.contouring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train members, resuming from checkpoints")
    train.add_argument("--steps", type=int, help="shorter than the recipe, for a trial")
    second = commands.add_parser("second", help="train the second members from the first ones")
    for command, run in ((train, _train), (second, _second)):
        command.add_argument("--folds", type=int, nargs="+", default=list(range(FOLD_COUNT)))
        command.add_argument("--threads", type=int, default=2)
        command.add_argument("--work", type=Path, default=Path("build/contouring"))
        command.add_argument("--store", action="store_true", help="put them in models/weights")
        command.set_defaults(run=run)
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
