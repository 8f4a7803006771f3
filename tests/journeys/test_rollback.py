"""The way back under load: nothing lost, nothing doubled, the recall list equal to the truth."""

from pathlib import Path

import pytest

from adapters.compose import open_site
from adapters.governance.drill import open_exercise, phases_of
from adapters.governance.drill_checks import LIMIT_S, Report, examine
from adapters.home import Home


def played(root: Path, studies: int) -> Report:
    """Return the report of a drill of so many studies."""
    exercise = open_exercise(root, studies, lambda _: None)
    settings = exercise.site.configuration
    with open_site(Home(root / "home"), configuration=settings) as site:
        return examine(site, exercise)


def check(report: Report, studies: int) -> None:
    """Every check of a drill holds, and it was a drill under load."""
    assert report.passed, [line for line in report.checks if not line.ok]
    assert len(report.checks) == 8
    figures, phases = report.figures, phases_of(studies)
    assert figures["studies"] == phases.total == studies
    assert figures["open at rollback"]["queued"] >= 2
    assert figures["rerouted"] >= 2
    assert figures["cancelled"] == 0
    assert figures["agreement"]["n"] == phases.shadow + phases.inside
    assert max(figures["seconds"]["switch"], figures["seconds"]["drained"]) < LIMIT_S


@pytest.mark.slow
@pytest.mark.reg("AIA-20")
def test_rollback_of_a_small_site_under_load(tmp_path: Path) -> None:
    """Twelve studies through certificate, shadow, canary, activation and back."""
    check(played(tmp_path, 12), 12)


@pytest.mark.acceptance
def test_rollback_with_fifty_studies_flowing(tmp_path: Path) -> None:
    """Fifty studies, half of them under load: the stated size of issue 3, acceptance 1."""
    check(played(tmp_path, 50), 50)
