"""Everything that a site needs to judge a small plugin from the command line, as files.

    trial.osteon       a release that outlines what is bright, and explains it
    arrays/            three patients with a bright box each, their table and a plan
    criteria.json      floors, and what is asked of explanations

Read next: `tests/journeys/test_validate_commands.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adapters.validation import building
from tests.simulators.released_plugins import bundle

PATIENTS = 3
PASSWORD = "a password for tests only"
METHODS = """
def predict(self, case, parameters):
    return answer(case)

def explain(self, case, prediction):
    measured = {
        "randomisation_rank_correlation": -0.1, "deletion_auc": 0.3, "deletion_auc_random": 0.7,
        "completeness_error": 0.01,
    }
    return Explanation("trial", "volume", (("ct", 1.0),), None, None, measured)
"""
Osteon = Callable[..., str]
"""Runs a command with arguments and environment, and returns what it printed."""


def write_kit(folder: Path, *, seed: int = 0, patients: int = PATIENTS, **criteria: Any) -> Path:
    """Write the kit into a folder and return it; ``criteria`` replace fields of the document.

    Parameters
    ----------
    seed : above 0 the reference of some patients is a row larger than what is bright.
    """
    (folder / "arrays").mkdir(parents=True)
    (folder / "trial.osteon").write_bytes(bundle(METHODS))
    rows = ["patient_id,age,sex,mskcc_type,site,grade"]
    for number in range(patients):
        larger = 0 if not seed else (number + seed) % 3
        _patient(folder / "arrays" / f"P_{number}.npz", number + 10 * seed, larger)
        rows.append(f"P_{number},{30 + number * 5},Female,Other,left thigh,High")
    (folder / "arrays" / "clinical.csv").write_text("\n".join(rows))
    plan = json.loads((building.PLANS / "sts51-cohort.json").read_text("utf-8"))
    plan |= {"name": "small", "linkage": ""}
    (folder / "arrays" / "cohort-plan.json").write_text(json.dumps(plan))
    document: dict[str, Any] = {
        "schema": "osteon.criteria/2", "plugin": "trial", "method": "held-out",
        "purpose": "tests", "known_before": "nothing", "smallest_stratum": PATIENTS,
        "criteria": [
            {"id": "dsc", "kind": "floor", "metric": "dsc", "at_least": 0.9, "reason": "a test"},
            {"id": "random", "kind": "explanation-randomisation", "at_most": 0.3,
             "reason": "an attribution hangs on the weights"},
            {"id": "deletion", "kind": "explanation-deletion", "at_least": 0.2,
             "reason": "what is attributed matters"},
        ],
    }  # fmt: skip
    (folder / "criteria.json").write_text(json.dumps(document | criteria))
    return folder


def _patient(path: Path, number: int, larger: int) -> None:
    random = np.random.default_rng(number)
    ct = np.full((12, 40, 40), -1000, dtype=np.int16)
    body = (slice(None), slice(6, 34), slice(6, 34))
    ct[body] = random.normal(40, 20, ct[body].shape).astype(np.int16)
    top = 12 + number % 3
    ct[4:8, top:24, 14:26] = 700
    mask = np.zeros(ct.shape, dtype=np.bool_)
    mask[4:8, top - larger : 24, 14:26] = True
    np.savez(
        path, ct=ct, ct_mask=np.packbits(mask), ct_spacing=[3.0, 2.0, 2.0],
        ct_origin=[0.0, 0.0, 0.0],
    )  # fmt: skip


def make_site(osteon: Osteon, kit: Path, home: Path) -> None:
    """Make a site with an engineer, the release and the cohort; the engineer is signed in."""
    at = ("--home", str(home))
    once = _password(osteon("init", *at, "--name", "site-b"))
    osteon("login", "admin", *at, env=_words(once))
    added = osteon("account", "add", "erin", "--role", "engineer", *at)
    osteon("login", "erin", *at, env=_words(_password(added)))
    osteon("release", "sign", str(kit / "trial.osteon"), *at)
    osteon("release", "add", str(kit / "trial.osteon"), *at)
    osteon("cohort", "build", str(kit / "arrays"), *at)


def judge(osteon: Osteon, kit: Path, home: Path, *options: str) -> Mapping[str, Any]:
    """Fix the criteria, run the harness, and return what the command said of the run."""
    at = ("--home", str(home))
    named = ("--release", "trial", "--cohort", "small")
    osteon("validate", "criteria", str(kit / "criteria.json"), *named, *at)
    asked = ("--criteria", str(kit / "criteria.json"), "--sweeps", "none", "--phantoms", "0")
    said = osteon("validate", "run", *named, *asked, *options, "--json", *at)
    found: Mapping[str, Any] = json.loads(said)
    return found


def _words(password: str) -> dict[str, str]:
    return {"OSTEON_PASSWORD": password, "OSTEON_NEW_PASSWORD": PASSWORD}


def _password(said: str) -> str:
    found = re.search(r"password: (\S+)", said)
    assert found is not None, said
    return found.group(1)
