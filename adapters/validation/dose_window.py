"""Make what a dose release is watched by: its reference window, and the plan that uses it.

    python -m adapters.validation.dose_window RELEASE_DIGEST FOLDER [--packs ../shared/data/openkbp]

The window holds what the plugin says of the 40 training patients by which the recipe chooses and
calibrates; up to 0.2.0 no network learnt from them, since 0.4.0 every part of the weights does. The
window is of answers, not of errors, and those would be a little small.
Its CTs are coarse (about 4 mm), so that pixels, noise and edges are watched against the first
cases of the site instead.

Read next: `governance/monitoring/reference.py`, `governance/monitoring/default_plan.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from adapters.validation.building_doses import case_of_pack
from governance.monitoring import plan as plans
from governance.monitoring import reference as references
from governance.monitoring.default_plan import DOSE, default_plan
from governance.monitoring.reference import Observation, make_reference
from models.dose.predict import DosePredictor
from models.dose.uncertainty import Calibration
from models.training.dose.packs import split
from models.weights.store import weight_paths
from plugins.dose.plugin import Dose
from plugins.host.observation import observation
from plugins.host.texture import with_texture
from validation.benchmarks.dose import data_folder

SOURCE = "40 training patients of OpenKBP by which the recipe chooses and calibrates"

log = structlog.get_logger()


def observations(plugin: Dose, packs: Sequence[Path]) -> Iterator[Observation]:
    """Yield what a run of each pack leaves behind."""
    for number, path in enumerate(packs):
        with TemporaryDirectory() as place:
            case = case_of_pack(path, Path(place))
        statistics = plugin.predict(case, {}).statistics
        yield observation(f"case-{number:03}", with_texture(case, statistics))
        log.info("predicted", case=number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write window and plan of a release as JSON."""
    parser = argparse.ArgumentParser(prog="python -m adapters.validation.dose_window")
    parser.add_argument("release_digest")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packs", type=Path, default=data_folder() / "train")
    parser.add_argument("--patients", type=int, default=None)
    chosen = parser.parse_args(arguments)
    plugin = Dose()
    plugin.prepare(DosePredictor.load(weight_paths(DOSE)[0]), Calibration.load())
    _, held_back = split([path.stem for path in chosen.packs.glob("*.npz")])
    packs = [chosen.packs / f"{name}.npz" for name in held_back[: chosen.patients]]
    found = list(observations(plugin, packs))
    written = {
        references.ATTACHMENT: references.encode(
            make_reference(chosen.release_digest, SOURCE, found)
        ),
        plans.ATTACHMENT: plans.encode(default_plan(DOSE, has_window=True)),
    }
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name, document in written.items():
        text = json.dumps(document, indent=1, sort_keys=True) + "\n"
        (chosen.folder / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
