"""A release is judged at the command line: criteria, run with explanations, report, certificate."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.cli.main import app
from tests.simulators.validation_kit import PASSWORD, PATIENTS, judge, make_site, write_kit


@pytest.fixture(autouse=True)
def _streams() -> Iterator[None]:
    """The engine's log keeps the error stream of its first start, which ends with a command."""
    yield
    logging.getLogger("dbos").handlers.clear()


def osteon(*arguments: str, env: dict[str, str] | None = None) -> str:
    """Run a command in this process and return its standard output."""
    found = CliRunner().invoke(app, list(arguments), env=env)
    assert found.exit_code == 0, (arguments, found.output, found.exception)
    return found.stdout


@pytest.mark.reg("VAL-1")
def test_a_run_that_explains_is_judged_by_its_explanations(tmp_path: Path) -> None:
    """Faithfulness is in the results, judged by the criteria, and shown in the report."""
    kit, home = write_kit(tmp_path / "kit"), tmp_path / "home"
    make_site(osteon, kit, home)
    run = judge(osteon, kit, home, "--explain")
    folder = Path(run["folder"])
    cases = json.loads((folder / "results.json").read_text())["cases"]
    plain = [c for c in cases if c["condition"]["repeat"] == 0]
    assert [c["metrics"]["explanation_deletion_auc"] for c in plain] == [0.3] * PATIENTS
    again = [c for c in cases if c["condition"]["repeat"]]
    assert not any(name.startswith("explanation") for c in again for name in c["metrics"])
    said = json.loads(osteon("validate", "report", run["run_id"], "--no-pdf", "--json",
                             "--home", str(home)))  # fmt: skip
    assert {v["criterion"]: (v["verdict"], v["value"], v["n"]) for v in said["verdicts"]} == {
        "dsc": ("pass", 1.0, PATIENTS), "random": ("pass", 0.1, PATIENTS),
        "deletion": ("pass", 0.4, PATIENTS),
    }  # fmt: skip
    page = (folder / "report-en.html").read_text("utf-8")
    assert "Likeness to the attribution of shuffled weights" in page
    assert len(list((folder / "pictures").iterdir())) == PATIENTS
    assert page.count("data:image/png;base64,") == PATIENTS
    certified = json.loads(osteon("validate", "certify", run["run_id"], "--json",
                                  "--home", str(home)))  # fmt: skip
    assert certified["verdict"] == "pass"


@pytest.mark.reg("VAL-1")
def test_a_run_keeps_the_cohort_that_it_judged(tmp_path: Path) -> None:
    """Sealed, the cohort has another manifest; report, certificate and verification go on."""
    kit, home = write_kit(tmp_path / "kit"), tmp_path / "home"
    make_site(osteon, kit, home)
    at = ("--home", str(home))
    run = judge(osteon, kit, home)
    before = (home / "cohorts" / "small" / "cohort.json").read_bytes()
    osteon("login", "admin", *at, env={"OSTEON_PASSWORD": PASSWORD})
    once = osteon("account", "add", "phil", "--role", "physicist", *at).split("password: ")[1]
    words = {"OSTEON_PASSWORD": once.split()[0], "OSTEON_NEW_PASSWORD": PASSWORD}
    osteon("login", "phil", *at, env=words)
    sealed = osteon("cohort", "seal", "small", "--openings", "2", *at)
    assert "1 of them used up" in sealed
    (row,) = json.loads(osteon("cohort", "list", "--json", *at))
    assert (row["seal"], row["looks"], row["openings"]) == ("sealed", 1, 2)
    assert (home / "cohorts" / "small" / "cohort.json").read_bytes() != before
    osteon("login", "erin", *at, env={"OSTEON_PASSWORD": PASSWORD})
    osteon("validate", "report", run["run_id"], "--no-pdf", *at)
    osteon("validate", "certify", run["run_id"], *at)
    folder = Path(run["folder"])
    assert (folder / "cohort.json").read_bytes() == before
    assert "verified, verdict insufficient" in osteon("validate", "verify", str(folder), *at)


@pytest.mark.reg("VAL-1")
def test_without_explanations_their_criteria_are_insufficient(tmp_path: Path) -> None:
    """What was not measured is never a pass, and the report says how to measure it."""
    kit, home = write_kit(tmp_path / "kit"), tmp_path / "home"
    make_site(osteon, kit, home)
    run = judge(osteon, kit, home)
    said = json.loads(osteon("validate", "report", run["run_id"], "--no-pdf", "--json",
                             "--home", str(home)))  # fmt: skip
    assert said["verdict"] == "insufficient"
    assert {v["criterion"]: v["reason"] for v in said["verdicts"]} == {
        "dsc": "LIMIT_KEPT", "random": "NOT_MEASURED", "deletion": "NOT_MEASURED",
    }  # fmt: skip
    assert "--explain" in (Path(run["folder"]) / "report-en.html").read_text("utf-8")
