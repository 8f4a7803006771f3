"""The way back under load: nothing lost, nothing doubled, the recall list equal to the truth."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.compose import open_site
from adapters.config_sections import DatabaseSection
from adapters.governance.drill import open_exercise, phases_of
from adapters.governance.drill_checks import LIMIT_S, Report, examine
from adapters.home import Home
from audit.errors import ConfigurationError
from tests.simulators.postgresql import beside


def played(root: Path, studies: int, database: DatabaseSection | None = None) -> Report:
    """Return the report of a drill of so many studies."""
    exercise = open_exercise(root, studies, lambda _: None, database)
    settings = exercise.site.configuration
    with open_site(Home(root / "home"), configuration=settings) as site:
        return examine(site, exercise)


def check(report: Report, studies: int) -> None:
    """Every check of a drill holds, and it was a drill under load."""
    assert report.passed, [line for line in report.checks if not line.ok]
    assert len(report.checks) == 11
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
@pytest.mark.server
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rollback_with_fifty_studies_flowing(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """Fifty studies, half of them under load: the stated size of issue 3, acceptance 1."""
    database = None
    if kind == "postgresql":
        url = request.getfixturevalue("postgresql_url")
        engine, vault = beside(url, "_engine"), beside(url, "_vault")
        database = DatabaseSection.model_validate(
            {"url": url, "engine_url": engine, "vault_url": vault}
        )
    report = played(tmp_path, 50, database)
    print(json.dumps(report.as_json(), indent=1))  # noqa: T201
    check(report, 50)


def test_a_drill_touches_no_database_that_holds_something(tmp_path: Path) -> None:
    """Databases that are named for a drill have to be empty, and all three have to be named."""
    with open_site(Home(tmp_path / "home").create()):
        pass
    used = f"sqlite:///{tmp_path}/home/site.db"
    other = [f"sqlite:///{tmp_path}/{name}.db" for name in ("vault", "engine")]
    settings = tmp_path / "drill.toml"
    for lines, said in (
        (f'url = "{used}"\nvault_url = "{other[0]}"\nengine_url = "{other[1]}"', "empty"),
        (f'url = "{other[0]}"', "vault_url"),
    ):
        settings.write_text(f"[database]\n{lines}\n")
        with pytest.raises(ConfigurationError, match=said):
            run_drill(tmp_path, settings)


def run_drill(root: Path, settings: Path) -> None:
    """Run the command as a person types it, so that its errors come out."""
    CliRunner().invoke(
        app, ["governance", "drill", "--config", str(settings)], catch_exceptions=False
    )
