"""Make the reference window of the contouring release: what its members say of unseen patients.

    python -m validation.reference_window RELEASE_DIGEST OUT [--patients N]

Each of the patients that the ensemble was trained on is outlined by the members that never saw
it, and its statistics are those that a run stores.  The CTs of that collection are averaged 2 x 2
in plane and cut around the tumour: texture, pixel size and extent are therefore those of the
collection, and the shipped plan watches them against the first cases of the site instead.

Read next: `governance/monitoring/reference.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from governance.monitoring.reference import encode, make_reference
from models.contouring.ensemble import Ensemble, members_unseen
from models.contouring.uncertainty import Calibration
from models.training.contouring.cases import data_folder, patient_ids, read_case
from models.weights.store import weight_paths
from plugins.contouring.plugin import Contouring
from plugins.host.observation import observation
from plugins.host.texture import with_texture
from validation.benchmarks.explanation_faithfulness import host_case

ROLE = "contouring"
SOURCE = "34 patients of Soft-tissue-Sarcoma (TCIA), each by the members that never saw it"

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the window of a release as JSON."""
    parser = argparse.ArgumentParser(prog="python -m validation.reference_window")
    parser.add_argument("release_digest")
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", type=int, default=None)
    chosen = parser.parse_args(arguments)
    plugin = Contouring()
    plugin.prepare(Ensemble.load(weight_paths(ROLE)), Calibration.load())
    folder = data_folder()
    found = []
    for patient_id in patient_ids(folder)[: chosen.patients]:
        unseen = members_unseen(plugin.ensemble.trained_on, patient_id)
        members = ",".join(plugin.ensemble.member_names[index] for index in unseen)
        case = host_case(read_case(folder, patient_id), pet_given=True)
        statistics = plugin.predict(case, {"members": members}).statistics
        found.append(observation(patient_id, with_texture(case, statistics)))
        log.info("outlined", patient=patient_id)
    window = make_reference(chosen.release_digest, SOURCE, found)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(encode(window), indent=1, sort_keys=True) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
