"""The published releases, commissioned on real patients by the documents' own steps and examples.

Two patients of sts_dicom and one of openkbp_dicom: the verdict has to be that this is too little.
"""

from __future__ import annotations

import json
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.given_data import folder_of
from tests.simulators.ward import Ward

EXAMPLES = Path(__file__).parents[2] / "docs/examples/validation"
ENOUGH = ("known-answer", "end-to-end", "failure-behaviour", "training")


@dataclass(frozen=True)
class Real:
    """A release and the patients that it is commissioned on.

    Parameters
    ----------
    changes : what the site puts in place of the example plan's words.
    baseline : answers that routine QA can ask again.
    """

    release: str
    data: str
    example: str
    changes: tuple[tuple[str, str], ...]
    scanner: tuple[str, str]
    patients: int
    headline: str

    @property
    def plugin(self) -> str:
        """Return whose release it is."""
        return self.release.split("-")[0]


CONTOURING = Real(
    "contouring", "sts_dicom", "site-cohort.toml",
    (("approved = true ", "approved = false"),),
    ("GE MEDICAL SYSTEMS", "Discovery ST"), 2, "dsc",
)  # fmt: skip
DOSE = Real(
    "dose-0.2.0", "openkbp_dicom", "site-cohort-dose.toml",
    (("approved = true ", "approved = false"), ('"Parotid_R"', '"RightParotid"'),
     ('"Parotid_L"', '"LeftParotid"')),
    ("OpenKBP-to-DICOM", "OpenKBP converter"), 1, "dose_score_gy",
)  # fmt: skip


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    """A site with both published releases and two trained persons.

    Dose is 0.2.0, whose networks have not learnt from the one patient who is here.
    """
    place = Ward(tmp_path_factory.mktemp("real"))
    place.by("erin")
    for real in (CONTOURING, DOSE):
        place.osteon("release", "add", real.release)
    place.by("anna")
    for plugin in ("contouring", "dose"):
        for person in ("phil", "petra"):
            place.osteon(
                "personnel", "train", plugin, person, "--topic", "limits", "--by", "provider",
                "--until", "2099-01-01",
            )  # fmt: skip
    return place


def fixed(
    ward: Ward, real: Real, *, name: str, criteria: dict[str, Any], cases: int, baseline: int
) -> str:
    """Build the cohort, fix criteria and plan, and return the plan's id."""
    studies, folder = ward.folder / real.data, ward.folder / name
    folder.mkdir()
    for archive in sorted(folder_of(real.data).glob("*.zip")):
        if not (studies / archive.stem).exists():
            zipfile.ZipFile(archive).extractall(studies / archive.stem)
    text = (EXAMPLES / real.example).read_text("utf-8")
    for before, after in (*real.changes, (tomllib.loads(text)["name"], name)):
        assert before in text
        text = text.replace(before, after)
    (folder / "cohort.toml").write_text(text)
    ward.by("erin")
    built = ward.json(
        "cohort", "build", "--from", str(studies), "--plan", str(folder / "cohort.toml"),
        "--release", real.release,
    )  # fmt: skip
    assert (built["cases"], built["left_out"]) == (real.patients, {})
    (folder / "criteria.json").write_text(json.dumps(criteria))
    ward.osteon(
        "validate", "criteria", str(folder / "criteria.json"), "--release", real.release,
        "--cohort", name,
    )  # fmt: skip
    plan = (EXAMPLES / "commissioning.toml").read_text("utf-8")
    for before, after in (
        ("cases = 20", f"cases = {cases}"),
        ("baseline_cases = 3", f"baseline_cases = {baseline}"),
        ("SIEMENS", real.scanner[0]),
        ("SOMATOM go.Open Pro", real.scanner[1]),
    ):
        assert before in plan
        plan = plan.replace(before, after)
    (folder / "commissioning.toml").write_text(plan)
    ward.by("petra")
    sealed = ward.json(
        "validate", "commission", "plan", str(folder / "commissioning.toml"), "--release",
        real.release, "--cohort", name,
    )  # fmt: skip
    return str(sealed["plan_id"])


def tried_end_to_end(ward: Ward, real: Real) -> str:
    """Run the release on one study from files to objects read back; return the run's id."""
    study = sorted((ward.folder / real.data).iterdir())[0]
    output = ward.folder / f"{real.plugin}-out"
    ended = ward.json(
        "run", "--plugin", real.release, "--input", str(study), "--output", str(output)
    )
    return str(ended["runs"][0]["run_id"])


@pytest.mark.acceptance
@pytest.mark.reg("ESTRO-1")
@pytest.mark.parametrize("real", [CONTOURING, DOSE], ids=["contouring", "dose"])
def test_few_real_patients_are_too_few(ward: Ward, real: Real) -> None:
    """Everything is tried as the documents say; too few patients are insufficient, and cannot be
    signed for."""
    criteria = json.loads((EXAMPLES / f"site-criteria-{real.plugin}.json").read_text("utf-8"))
    plan_id = fixed(ward, real, name=f"ours-{real.plugin}", criteria=criteria, cases=20, baseline=3)
    run_id = tried_end_to_end(ward, real)
    ward.by("phil")
    found = ward.json("validate", "commission", "run", plan_id, "--end-to-end", run_id, code=3)
    assert found["verdict"] == "insufficient"
    checks = {item["name"]: item for item in found["checks"]}
    assert all(checks[name]["verdict"] == "pass" for name in (*ENOUGH, "scanners")), checks
    assert checks["local-cases"]["reason"] == "TOO_FEW_PATIENTS"
    assert checks["local-cases"]["figures"]["patients"] == real.patients
    outside = checks["failure-behaviour"]["figures"]
    assert outside["held_back"] == outside["tried"] == 4 * real.patients
    assert checks["baseline"]["reason"] == "TOO_FEW_ANSWERS"
    assert checks["baseline"]["figures"]["kept"] == real.patients
    for language in ("en", "de"):
        page = Path(found["folder"]) / f"commissioning-{language}.html"
        assert real.scanner[1] in page.read_text("utf-8")
        assert "STS_0" not in page.read_text("utf-8")
    ward.by("petra")
    said = ward.osteon(
        "validate", "commission", "sign", plan_id, "--reason", "fit for our patients", code=1
    )
    assert "NOT_PASSED" in said
    assert "local-cases insufficient" in said


@pytest.mark.acceptance
@pytest.mark.reg("ESTRO-1")
def test_the_steps_to_the_end_on_a_real_release(ward: Ward) -> None:
    """With a plan of two patients, which says that it only tries the steps, two real ones are
    signed for, and routine QA gets the same answers again."""
    criteria = json.loads((EXAMPLES / "site-criteria-contouring.json").read_text("utf-8"))
    criteria |= {"purpose": "Try the steps; no statement about patients", "smallest_stratum": 1}
    plan_id = fixed(ward, CONTOURING, name="steps", criteria=criteria, cases=2, baseline=2)
    run_id = tried_end_to_end(ward, CONTOURING)
    ward.by("phil")
    running = ("validate", "commission", "run", plan_id, "--end-to-end", run_id, "--no-pdf")
    found = ward.json(*running)
    assert found["verdict"] == "pass", found["checks"]
    ward.by("petra")
    signed = ward.json(
        "validate", "commission", "sign", plan_id, "--reason", "to try the steps only"
    )
    assert signed["objections"] == []
    ward.by("phil")
    routine = ward.json("validate", "commission", "routine", "contouring")
    assert (routine["verdict"], routine["asked"], routine["the_same"]) == ("pass", 2, 2)
