"""Shared servers and settings of all tests."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

# No test is timed: on a loaded machine a deadline would fail by chance.
hypothesis.settings.register_profile("osteon", deadline=None)
hypothesis.settings.load_profile("osteon")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

pytest_plugins = [
    "tests.simulators.delivery_site",
    "tests.simulators.dimse_peer",
    "tests.simulators.faulty_pacs",
    "tests.simulators.fhir_run",
    "tests.simulators.fhir_server",
    "tests.simulators.orthanc",
    "tests.simulators.postgresql",
    "tests.simulators.rsyslog",
    "tests.simulators.site_database",
    "tests.simulators.skipped",
    "tests.simulators.tiny_pacs",
]


@pytest.fixture(autouse=True)
def _log_as_found() -> Iterator[None]:
    """Leave the program log as it was: its stream may belong to one test only."""
    yield
    structlog.reset_defaults()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """After a whole run, print the rows of the regulatory matrix that no test names."""
    config = terminalreporter.config
    if list(config.args) not in ([], ["tests"]) or config.option.keyword:
        return
    from governance.applicability import shipped
    from governance.requirement_map import requirement_map, without_test

    folder = Path(__file__).parent
    mapped = requirement_map({str(p): p.read_text("utf-8") for p in folder.rglob("test_*.py")})
    rows = [duty.duty_id for duty in shipped().duties]
    missing = without_test(rows, mapped)
    terminalreporter.write_line(
        f"requirements: {len(rows) - len(missing)} of {len(rows)} rows have a test; "
        f"without: {', '.join(missing) or 'none'}"
    )
